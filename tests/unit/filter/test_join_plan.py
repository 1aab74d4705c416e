# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter passes the decision on, a refusal included."""

from __future__ import annotations

from dataclasses import asdict

from ansible_collections.hosted.kubernetes.plugins.filter.join_plan import join_plan
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._api.test_join import FOREIGN, TARGET, WANTED, facts


def test_join() -> None:
    assert join_plan(facts(), "w", asdict(TARGET), asdict(WANTED)) == {"action": "join", "reason": "the host has not joined any cluster"}


def test_numbers_may_be_text() -> None:
    wanted = {**asdict(WANTED), "minimum_free_mb": "3072", "minimum_memory_mb": "900"}
    assert join_plan(facts(), "w", asdict(TARGET), wanted)["action"] == "join"


def test_refusal() -> None:
    plan = join_plan(facts(is_root=False), "w", asdict(TARGET), asdict(WANTED))
    assert plan["action"] == "refuse"
    assert plan["reason"].startswith("host w: the connecting user does not become root")


def test_whose_node_a_host_is_moved_from() -> None:
    owners = [{"namespace": "tenants", "name": "blue", "endpoint": ""}]
    seen = facts({"kubelet_conf": FOREIGN})
    assert join_plan(seen, "w", asdict(TARGET), asdict(WANTED), owners)["action"] == "refuse"
    assert join_plan(seen, "w", asdict(TARGET), asdict(WANTED), owners, True) == {
        "action": "move",
        "reason": "it is a node of tenant tenants/blue and becomes one of tenant default/acme",
        "leaves": {"namespace": "tenants", "name": "blue"},
    }
