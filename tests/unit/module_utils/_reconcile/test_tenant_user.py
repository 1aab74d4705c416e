# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubeconfigs for people: who may have one, and when an existing one is made anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import new_ca
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import KeyAlgorithm
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_user import (
    TenantAuthority,
    User,
    check,
    expires,
    issue,
    problem,
)
from ansible_collections.hosted.kubernetes.tests.support.tenant_cases import definition

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
CA = new_ca("kubernetes", algorithm=KeyAlgorithm.ECDSA_P256, now=NOW)
AUTHORITY = TenantAuthority(parse(definition()), "https://192.0.2.7:6443", CA)
JANE = User("jane", ("developers", "testers"), 8 * HOUR)
JANES = issue(AUTHORITY, JANE, NOW)


def test_a_new_one_serves_and_ends_after_its_lifetime() -> None:
    assert problem(JANES, AUTHORITY, JANE, NOW) is None
    assert expires(JANES) == NOW + JANE.lifetime


@pytest.mark.parametrize(
    ("user", "age", "reason"),
    [
        (JANE, timedelta(), None),
        (JANE, 5 * HOUR, None),
        (JANE, 6 * HOUR, "expires at 2026-11-22T20:00:00Z"),
        (JANE, 9 * HOUR, "expired at 2026-11-22T20:00:00Z"),
        # Made by a machine whose clock is a little ahead.
        (JANE, timedelta(minutes=-4), None),
        (replace(JANE, lifetime=4 * HOUR), timedelta(), "is good for longer than lifetime allows"),
        (replace(JANE, lifetime=4 * HOUR), 4 * HOUR, None),
        (replace(JANE, lifetime=25 * HOUR), timedelta(), "expires at 2026-11-22T20:00:00Z"),
        (replace(JANE, groups=("developers",)), timedelta(), "organizations are developers, testers, not developers"),
        (replace(JANE, name="joe"), timedelta(), "common name is jane, not joe"),
    ],
)
def test_when_an_existing_one_is_made_anew(user: User, age: timedelta, reason: str | None) -> None:
    assert problem(JANES, AUTHORITY, user, NOW + age) == reason


def test_another_tenant_under_the_same_name() -> None:
    other = new_ca("kubernetes", algorithm=KeyAlgorithm.ECDSA_P256, now=NOW)
    assert problem(JANES, replace(AUTHORITY, ca=other), JANE, NOW) == "the CA certificate it trusts is not the present one"
    moved = replace(AUTHORITY, server="https://192.0.2.8:6443")
    assert problem(JANES, moved, JANE, NOW) == "server is https://192.0.2.7:6443, not https://192.0.2.8:6443"


@pytest.mark.parametrize("content", [b"", b"not a kubeconfig", b"\xff\x00", JANES[: len(JANES) // 2]])
def test_what_cannot_be_read_is_made_anew(content: bytes) -> None:
    assert problem(content, AUTHORITY, JANE, NOW)


def test_longest_name() -> None:
    user = replace(JANE, name="j" * 64)
    check(user)
    assert problem(issue(AUTHORITY, user, NOW), AUTHORITY, user, NOW) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "user must not be empty; name the person"),
        ({"name": "j" * 65}, f'user "{"j" * 65}" is 65 bytes long; a certificate names a user with at most 64, so shorten it'),
        ({"name": "ü" * 33}, "is 66 bytes long"),
        ({"groups": ("a", "")}, r"groups\[1\] is empty; name a group, or leave it out"),
        ({"groups": ("system:masters",)}, '"system:masters" cannot be limited or revoked by RBAC'),
        ({"lifetime": timedelta(minutes=9)}, "lifetime must be between 10 minutes and 365 days"),
        ({"lifetime": timedelta(days=366)}, "lifetime must be between 10 minutes and 365 days"),
    ],
)
def test_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        check(replace(JANE, **changes))  # type: ignore[arg-type]
