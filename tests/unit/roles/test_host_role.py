# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernel settings the role host asks for, as the roles that include it give its variables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION
from ansible_collections.hosted.kubernetes.tests.support.playbooks import run_playbook

IPV6 = {"net.ipv6.conf.all.forwarding", "net.ipv6.conf.default.forwarding"}


def sysctls(folder: Path, needs_ipv6: str, *roles: str, **variables: Any) -> set[str]:
    """Names of the settings; needs_ipv6: what such a role passes on, roles: whose variables it is made of."""
    files = [str(COLLECTION / f"roles/{role}/{part}/main.yml") for role in ("host", *roles) for part in ("defaults", "vars")]
    write = {"dest": str(folder / "sysctls.json"), "content": "{{ __host_sysctls | to_json }}", "mode": "0600"}
    task = {"ansible.builtin.copy": write, "vars": {"__host_needs_ipv6": needs_ipv6}}
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "vars_files": files, "tasks": [task]}]
    path = folder / "play.json"
    path.write_text(json.dumps(play), encoding="utf-8")
    done = run_playbook(path, **variables)
    assert done.status == 0, done.output
    return set(json.loads((folder / "sysctls.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, set()),
        ({"management_cluster_endpoint": "api.example.com:6443"}, set()),
        ({"management_cluster_advertise_address": "2001:db8::1"}, IPV6),
        ({"management_cluster_endpoint": "[2001:db8::1]:6443"}, IPV6),
        ({"management_cluster_pod_cidr": "10.244.0.0/16,fd00::/56"}, IPV6),
        ({"management_cluster_pod_cidr": "fd00::/56", "host_ipv6_forwarding": False}, set()),
    ],
)
def test_a_management_cluster_with_ipv6_forwards_it(tmp_path: Path, variables: dict[str, Any], expected: set[str]) -> None:
    found = sysctls(tmp_path, "{{ __management_cluster_has_ipv6 }}", "management_cluster", **variables)
    assert found & IPV6 == expected
    assert "net.ipv4.ip_forward" in found


@pytest.mark.parametrize(("needs", "expected"), [("{{ true }}", IPV6), ("{{ false }}", set())])
def test_a_worker_of_a_tenant_with_ipv6_forwards_it(tmp_path: Path, needs: str, expected: set[str]) -> None:
    assert sysctls(tmp_path, needs) & IPV6 == expected
