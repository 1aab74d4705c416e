# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What role load_balancer and the playbook preflight say of addresses that cannot be."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.address_pool import EXCLUDED_INTERFACES
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.host_fleet import FLEET_CHECKS
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import networks
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.preflight import checks
from ansible_collections.hosted.kubernetes.tests.support.bundle import cache_directory
from ansible_collections.hosted.kubernetes.tests.support.playbooks import run_playbook, run_role

HOST = f"m ansible_connection=local ansible_become=false ansible_python_interpreter={sys.executable} ansible_host=192.0.2.10"
INVENTORY = f"[management]\n{HOST}\n"


@pytest.mark.parametrize(
    ("addresses", "said"),
    [
        (["198.18.0.60-198.18.0.50"], 'load_balancer_addresses: "198.18.0.60-198.18.0.50" is reversed; write 198.18.0.50-198.18.0.60'),
        (["198.18.0.0/28", "198.18.0.8/29"], 'load_balancer_addresses: "198.18.0.0/28" and "198.18.0.8/29" overlap'),
        ("198.18.0.50-60", 'load_balancer_addresses: "198.18.0.50-60" is no range'),
        ([], "load_balancer_addresses is empty"),
    ],
)
def test_the_role_refuses_them(tmp_path: Path, addresses: list[str] | str, said: str) -> None:
    done = run_role(tmp_path, "load_balancer", tasks_from="preflight", load_balancer_addresses=addresses)
    assert done.status == 2, done.output
    assert said in done.text


def test_the_role_takes_good_ones_and_none_when_it_is_removed(tmp_path: Path) -> None:
    assert run_role(tmp_path, "load_balancer", tasks_from="preflight", load_balancer_addresses="198.18.0.0/28,198.18.1.0/28").status == 0
    assert run_role(tmp_path, "load_balancer", tasks_from="preflight", load_balancer_state="absent").status == 0


@pytest.mark.parametrize(
    ("addresses", "said"),
    [
        ("192.0.2.60-192.0.2.50", '"192.0.2.60-192.0.2.50" is reversed; write 192.0.2.50-192.0.2.60'),
        ("192.0.2.0/28", '"192.0.2.0/28" has 192.0.2.10, which is the address of host m'),
    ],
)
def test_the_preflight_refuses_them_before_anything_is_made(tmp_path: Path, addresses: str, said: str) -> None:
    (tmp_path / "inventory").write_text(INVENTORY, encoding="utf-8")
    done = run_playbook("hosted.kubernetes.preflight", inventory=str(tmp_path / "inventory"), load_balancer_addresses=[addresses])
    assert done.status == 2, done.output
    assert said in done.text
    assert "Log in and become root" not in done.output


def test_the_preflight_warns_of_those_of_another_network(tmp_path: Path) -> None:
    """This machine is the management host; one address is of its own network, the others are of none it is in."""
    seen = networks.on_link(*(Path("/proc/net", name).read_text(encoding="utf-8") for name in ("route", "ipv6_route")))
    own = ipaddress.ip_network(next(item["network"] for item in seen if not item["interface"].startswith(EXCLUDED_INTERFACES)))
    (tmp_path / "inventory").write_text(INVENTORY, encoding="utf-8")
    done = run_playbook(
        "hosted.kubernetes.preflight",
        inventory=str(tmp_path / "inventory"),
        load_balancer_addresses=["203.0.113.200-203.0.113.220", f"{own[-2]}/{own.max_prefixlen}"],
        bundle_cache_dir=str(cache_directory()),
        # What this machine is like otherwise is not asked here.
        host_preflight_ignore=[*checks.names(), *FLEET_CHECKS],
    )
    assert done.status == 0, done.output
    assert done.text.count("is not of a network that a node of the management cluster is in") == 1, done.output
    assert '"203.0.113.200-203.0.113.220" is not of a network' in done.text
