# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decision about a worker and a bundle: one row per state, and one per reason to refuse it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.worker_upgrade import (
    HostUpgrade,
    UpgradeAction,
    UpgradePlan,
    plan_upgrade,
)
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._api.test_join import CONF, NOW_S, TARGET, THEIRS, WANTED, facts

NEWER = replace(TARGET, version="v1.37.2")
BUNDLE = replace(WANTED, bundle_version="v1.37.2", minimum_free_mb=1024)
KUBELET = "/usr/local/bin/kubelet"
BEGUN = {"version": "v1.36.3", "cordoned": False, "workloads": []}


def seen(membership: dict[str, Any] | None = None, **changed: Any) -> HostUpgrade:
    own = {"kubelet_conf": CONF, "kubelet_version": "v1.36.3", **(membership or {})}
    host = {name: changed.pop(name) for name in list(changed) if name not in ("snapshot", "pending", "cordoned")}
    given: dict[str, Any] = {"snapshot": None, "pending": [KUBELET], "cordoned": False, **changed}
    return HostUpgrade(facts=facts(own, **host), **given)


def plan(host: HostUpgrade) -> UpgradePlan:
    return plan_upgrade("w1", host, NEWER, BUNDLE, now_s=NOW_S)


@pytest.mark.parametrize(
    ("host", "action", "before", "said"),
    [
        pytest.param(seen(), UpgradeAction.UPGRADE, "v1.36.3", "kubelet v1.36.3 becomes v1.37.2", id="next minor"),
        pytest.param(seen({"kubelet_version": "v1.34.0"}), UpgradeAction.UPGRADE, "v1.34.0", "becomes v1.37.2", id="three minors at once"),
        pytest.param(seen({"kubelet_version": "v1.37.5"}), UpgradeAction.UPGRADE, "v1.37.5", "becomes v1.37.2", id="a patch back"),
        pytest.param(
            seen({"kubelet_version": "v1.37.2"}, pending=["/usr/local/bin/containerd"]),
            UpgradeAction.UPGRADE,
            "v1.37.2",
            "files of the bundle of v1.37.2 differ",
            id="containerd alone",
        ),
        pytest.param(seen({"kubelet_version": "v1.37.2"}, pending=[]), UpgradeAction.NONE, "v1.37.2", "it runs all of", id="done"),
        pytest.param(seen(snapshot=BEGUN), UpgradeAction.RESUME, "v1.36.3", "begun and not ended", id="killed before the kubelet"),
        pytest.param(
            seen({"kubelet_version": "v1.37.2"}, pending=[], snapshot=BEGUN),
            UpgradeAction.RESUME,
            "v1.36.3",
            "begun and not ended",
            id="killed after the kubelet",
        ),
        # What was kept needs no room any more.
        pytest.param(seen(snapshot=BEGUN, free_mb={"/": 1}), UpgradeAction.RESUME, "v1.36.3", "", id="killed, and the disk is full now"),
    ],
)
def test_what_is_done(host: HostUpgrade, action: UpgradeAction, before: str, said: str) -> None:
    made = plan(host)
    assert (made.action, made.before, made.after) == (action, before, "v1.37.2")
    assert said in made.reason


def test_a_node_that_took_no_pods_takes_none_afterwards() -> None:
    assert plan(seen(cordoned=True)).cordoned
    assert plan(seen(cordoned=False, snapshot={**BEGUN, "cordoned": True})).cordoned
    # The cordon of the run that was killed is not somebody else's.
    assert not plan(seen(cordoned=True, snapshot=BEGUN)).cordoned


@pytest.mark.parametrize(
    ("host", "said"),
    [
        pytest.param(seen({"kubelet_conf": None}), "has not joined any cluster; join it first (playbook worker)", id="not joined"),
        pytest.param(
            seen({"kubelet_conf": {**CONF, "client_not_after_s": NOW_S}}),
            "has expired; mend it first (playbook worker_refresh",
            id="expired",
        ),
        pytest.param(seen({"kubelet_conf": {**CONF, "ca_hashes": [THEIRS]}}), "it has joined another cluster", id="foreign"),
        pytest.param(seen({"static_pods": ["kube-apiserver.yaml"]}), "it runs a control plane", id="control plane"),
        pytest.param(seen({"kubelet_version": "v1.38.0"}), "kubelet v1.38.0 is of a newer minor than the bundle (v1.37.2)", id="downgrade"),
        pytest.param(
            seen({"kubelet_version": "v1.37.2"}, snapshot={**BEGUN, "version": "v1.38.0"}),
            "kubelet v1.38.0 is of a newer minor",
            id="downgrade that was begun",
        ),
        pytest.param(
            seen(free_mb={"/usr/local/bin": 500}), "/usr/local/bin: 500 MiB free, 1024 MiB are needed for the new files", id="no room"
        ),
        pytest.param(seen(architecture="arm64"), "it is arm64, the bundle is for amd64", id="architecture"),
        pytest.param(seen(is_root=False), "does not become root", id="no root"),
    ],
)
def test_what_is_refused(host: HostUpgrade, said: str) -> None:
    with pytest.raises(InvalidError) as caught:
        plan(host)
    assert said in caught.value.msg
    assert caught.value.msg.startswith("host w1: ")


@pytest.mark.parametrize(
    ("tenant", "said"),
    [
        ("v1.36.3", "kubelet v1.37.2 is newer than the API server v1.36.3; upgrade the control plane first"),
        ("v1.41.0", "more than 3 minors older"),
    ],
)
def test_skew_is_refused_whatever_the_host_has(tenant: str, said: str) -> None:
    for host in (seen(), seen(pending=[]), seen(snapshot=BEGUN)):
        with pytest.raises(InvalidError) as caught:
            plan_upgrade("w1", host, replace(TARGET, version=tenant), BUNDLE, now_s=NOW_S)
        assert said in caught.value.msg
