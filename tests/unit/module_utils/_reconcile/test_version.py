# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's version and what it refuses."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.version import ENGINE_VERSION, refuse_newer
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION


def test_engine_version_is_that_of_the_collection() -> None:
    galaxy = yaml.safe_load((COLLECTION / "galaxy.yml").read_text(encoding="utf-8"))
    assert galaxy["version"] == ENGINE_VERSION


@pytest.mark.parametrize("recorded", [None, "", ENGINE_VERSION, "0.0.9", f"{ENGINE_VERSION}-rc.1"])
def test_own_and_older_tenants_are_taken(recorded: str | None) -> None:
    refuse_newer("tenants/acme", recorded)


@pytest.mark.parametrize("recorded", ["0.1.1", "0.10.0", "1.0.0", "1.0.0-rc.1"])
def test_newer_tenants_are_refused(recorded: str) -> None:
    with pytest.raises(HostedKubernetesError) as failure:
        refuse_newer("tenants/acme", recorded)
    assert failure.value.msg == (
        f"TenantControlPlane tenants/acme: last changed by hosted.kubernetes {recorded}, this is {ENGINE_VERSION}; "
        f"install hosted.kubernetes {recorded} or newer here"
    )
