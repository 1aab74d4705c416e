# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables that look like options of our roles and are none."""

from __future__ import annotations

from typing import Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.variables import KnownVariables, unknown_variables

KNOWN: Final = KnownVariables(
    {
        "worker": frozenset({"worker_tenant", "worker_labels", "worker_wait", "worker_wait_timeout"}),
        "tenant_control_plane": frozenset({"tenant_control_plane_definitions", "tenant_control_plane_names"}),
        "load_balancer": frozenset({"load_balancer_addresses", "load_balancer_memberlist_port"}),
        "host": frozenset({"host_swap"}),
    },
    frozenset({"worker_batch", "host_info", "tenant_control_plane_failed"}),
)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("worker_tennat", "worker_tenant"),
        ("worker_label", "worker_labels"),
        ("worker_wait_time", "worker_wait_timeout"),
        ("tenant_control_plane_definition", "tenant_control_plane_definitions"),
        ("load_balancer_adresses", "load_balancer_addresses"),
        ("load_balancer_memberlist", "load_balancer_memberlist_port"),
    ],
)
def test_a_misspelt_option_is_told_with_its_right_name(name: str, nearest: str) -> None:
    role = KNOWN.role_of(nearest)
    assert unknown_variables({"one": [name]}, KNOWN) == [f"{name} (one): role {role} has no such option; did you mean {nearest}?"]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("loadbalancer_addresses", "load_balancer_addresses"),
        ("workers_tenant", "worker_tenant"),
        ("tenant_controlplane_definitions", "tenant_control_plane_definitions"),
    ],
)
def test_a_misspelt_prefix_is_told_when_the_rest_is_right(name: str, nearest: str) -> None:
    assert unknown_variables({"one": [name]}, KNOWN) == [f"{name} (one): no role has such an option; did you mean {nearest}?"]


def test_what_resembles_nothing_is_told_without_a_proposal() -> None:
    assert unknown_variables({"one": ["host_rack"]}, KNOWN) == [
        "host_rack (one): role host has no such option; 'ansible-doc -t role hosted.kubernetes.host' shows those it has"
    ]


@pytest.mark.parametrize(
    "name",
    [
        "worker_tenant",
        "worker_batch",
        "host_info",
        "tenant_control_plane_failed",
        "__worker_plan",
        "_worker_own",
        "worker",
        "ansible_host",
        "my_worker_tenant",
        "tenant_name",
        "workers_rack",
        "hostname",
    ],
)
def test_no_false_alarms(name: str) -> None:
    assert unknown_variables({"one": [name]}, KNOWN) == []


@pytest.mark.parametrize(
    ("count", "said"),
    [(1, "(h0)"), (2, "(h0, h1)"), (3, "(h0, h1, h2)"), (5, "(h0, h1, h2 and 2 others)"), (6, "(all hosts)")],
)
def test_hosts_are_named(count: int, said: str) -> None:
    names = {f"h{number}": ["worker_tennat"] if number < count else [] for number in range(6)}
    (found,) = unknown_variables(names, KNOWN)
    assert found.startswith(f"worker_tennat {said}: ")


def test_each_variable_is_told_once_in_order() -> None:
    found = unknown_variables({"a": ["worker_z", "host_y"], "b": ["host_y"]}, KNOWN)
    assert [text.partition(" ")[0] for text in found] == ["host_y", "worker_z"]
