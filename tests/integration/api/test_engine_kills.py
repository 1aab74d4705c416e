# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are killed (SIGKILL) after each of their changes: the next run converges, and nothing is left over."""

from __future__ import annotations

from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Tenant, later

# A killed run leaves its Lease behind; it ends after 15 seconds, or when it is older than clocks may differ.
AFTER_THE_LEASE = {"now": later(80)}


def remaining(tenant: Tenant, *, absent: bool) -> list[tuple[str, str]]:
    return tenant.run(absent=absent, check=True).summary


def test_killed_while_it_is_made(ground: Ground) -> None:
    total = len(ground.tenant().run(check=True).plan)
    assert total > 20
    for number in range(1, total + 1):
        tenant = ground.tenant()
        tenant.die_after(number)
        left = remaining(tenant, absent=False)
        assert len(left) <= total - number, f"after change {number}: {left}"
        tenant.run(settings=AFTER_THE_LEASE)
        assert not remaining(tenant, absent=False), f"killed after change {number}"
        tenant.absent()
        assert tenant.left() == [], f"killed after change {number}"


def test_killed_while_it_is_made_then_unwanted(ground: Ground) -> None:
    """What a killed run has made is found and removed without the tenant being made whole first; a sample of all changes."""
    total = len(ground.tenant().run(check=True).plan)
    for number in range(1, total + 1, 4):
        tenant = ground.tenant()
        tenant.die_after(number)
        tenant.absent(settings=AFTER_THE_LEASE)
        assert tenant.left() == [], f"killed after change {number}"


def test_killed_while_it_is_deleted(ground: Ground) -> None:
    number, total = 0, 1
    while number < total:
        number += 1
        tenant = ground.tenant()
        tenant.run()
        tenant.put_keys()
        total = len(remaining(tenant, absent=True))
        tenant.die_after(number, absent=True)
        tenant.absent(settings=AFTER_THE_LEASE)
        assert tenant.left() == [], f"killed after change {number}"
        assert not tenant.absent().changed
    assert number > 20
