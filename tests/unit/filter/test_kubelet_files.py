# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of a joined kubelet, as `kubeadm upgrade node` would write it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ansible_collections.hosted.kubernetes.plugins.filter.kubelet_files import CONFIGURATION, FLAGS, kubelet_files
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.kubelet_configuration import (
    is_same,
    merged,
    wanted_configuration,
    without_removed_flags,
)

# As kubeadm 1.36.3 uploads it, and as it writes it on a host with resolved.
UPLOADED: dict[str, Any] = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "authentication": {"anonymous": {"enabled": False}, "webhook": {"cacheTTL": "0s", "enabled": True}},
    "cgroupDriver": "systemd",
    "clusterDNS": ["10.96.0.10"],
    "containerRuntimeEndpoint": "",
    "cpuManagerReconcilePeriod": "0s",
    "logging": {"flushFrequency": 0, "options": {"json": {"infoBufferSize": "0"}}},
    "memorySwap": {},
    "rotateCertificates": True,
}
PRESENT = {
    **UPLOADED,
    "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
    "resolvConf": "/run/systemd/resolve/resolv.conf",
}


def test_what_a_host_has_of_its_own_stays() -> None:
    assert wanted_configuration(UPLOADED, {}, PRESENT) == PRESENT
    assert is_same(wanted_configuration(UPLOADED, {}, PRESENT), PRESENT)


def test_what_the_cluster_or_the_host_says_wins_over_it() -> None:
    assert wanted_configuration({**UPLOADED, "resolvConf": "/etc/own"}, {}, PRESENT)["resolvConf"] == "/etc/own"
    assert wanted_configuration(UPLOADED, {"resolvConf": "/etc/patch"}, PRESENT)["resolvConf"] == "/etc/patch"
    made = wanted_configuration(UPLOADED, {"authentication": {"webhook": {"cacheTTL": "1m"}}, "maxPods": 200}, PRESENT)
    assert made["authentication"] == {"anonymous": {"enabled": False}, "webhook": {"cacheTTL": "1m", "enabled": True}}
    assert made["maxPods"] == 200


def test_what_is_no_longer_wanted_goes() -> None:
    assert "maxPods" not in wanted_configuration(UPLOADED, {}, {**PRESENT, "maxPods": 200})
    assert not is_same(wanted_configuration(UPLOADED, {}, {**PRESENT, "maxPods": 200}), {**PRESENT, "maxPods": 200})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": "0s", "b": {"c": {}}, "d": None, "e": []}, {}, True),
        ({"a": False}, {}, False),
        ({"a": 0}, {}, False),
        ({"a": [{"b": ""}]}, {"a": [{}]}, True),
        ({"a": ["x", "y"]}, {"a": ["y", "x"]}, False),
        ({"a": "1m"}, {"a": "2m"}, False),
    ],
)
def test_what_says_nothing_does_not_count(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    assert is_same(one, other) is same


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [  # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"a": "foo"}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches(document: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]) -> None:
    before = str(document)
    assert merged(document, patch) == result
    assert str(document) == before


@pytest.mark.parametrize(
    ("before", "version", "after"),
    [
        # As kubeadm 1.34.4 writes it; its kubelet says that the flag goes in 1.35.
        ('KUBELET_KUBEADM_ARGS="--node-ip=192.0.2.1 --pod-infra-container-image=registry.k8s.io/pause:3.10.1 --v=2"\n', "v1.34.4", None),
        (
            'KUBELET_KUBEADM_ARGS="--node-ip=192.0.2.1 --pod-infra-container-image=registry.k8s.io/pause:3.10.1 --v=2"\n',
            "v1.36.3",
            'KUBELET_KUBEADM_ARGS="--node-ip=192.0.2.1 --v=2"\n',
        ),
        (
            'KUBELET_KUBEADM_ARGS="--pod-infra-container-image=registry.k8s.io/pause:3.10.1"\n',
            "v1.35.0",
            'KUBELET_KUBEADM_ARGS=""\n',
        ),
        ('KUBELET_KUBEADM_ARGS="--node-ip=192.0.2.1"\n', "v1.37.2", None),
    ],
)
def test_flags_that_a_kubelet_does_not_know_any_more(before: str, version: str, after: str | None) -> None:
    assert without_removed_flags(before, version) == (before if after is None else after)


def files(texts: dict[str, str | None], uploaded: str, patch: dict[str, Any] | None = None) -> dict[str, str]:
    return {item["path"]: item["content"] for item in kubelet_files(texts, uploaded, patch or {}, "v1.36.3")}


def test_a_file_that_is_right_is_given_as_it_is() -> None:
    text = "# by hand\n" + yaml.safe_dump(PRESENT)
    made = files({CONFIGURATION: text, FLAGS: "A=1\n"}, yaml.safe_dump(UPLOADED))
    assert made == {CONFIGURATION: text, FLAGS: "A=1\n"}


def test_a_file_that_differs_is_written_anew_and_is_right_then() -> None:
    text, uploaded = yaml.safe_dump(PRESENT), yaml.safe_dump({**UPLOADED, "clusterDNS": ["10.97.0.10"]})
    made = files({CONFIGURATION: text, FLAGS: None}, uploaded, {"maxPods": 50})
    assert yaml.safe_load(made[CONFIGURATION]) == {**PRESENT, "clusterDNS": ["10.97.0.10"], "maxPods": 50}
    assert files(dict(made), uploaded, {"maxPods": 50}) == made


def test_a_cluster_that_has_uploaded_none_leaves_it_alone() -> None:
    assert files({CONFIGURATION: "kind: KubeletConfiguration\n", FLAGS: None}, "") == {}


class Tagged(int):
    """As ansible-core from 2.19 on gives numbers from variables."""


def test_a_number_from_a_variable_is_a_number() -> None:
    made = files({CONFIGURATION: yaml.safe_dump(PRESENT), FLAGS: None}, yaml.safe_dump(UPLOADED), {"maxPods": Tagged(42)})
    assert yaml.safe_load(made[CONFIGURATION])["maxPods"] == 42
