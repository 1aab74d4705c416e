# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where our objects are not kubeadm's, and why. Everything else must be equal."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.tests.golden.make import COMPONENT_HASH, component_hash
from ansible_collections.hosted.kubernetes.tests.golden.scenarios import Json


@dataclass(frozen=True)
class Difference:
    """Turns an object of kubeadm's into ours. scenarios: where it holds, all when empty. ref: "Kind name", "" for every object."""

    reason: str
    change: Callable[[Json], None]
    ref: str = ""
    scenarios: tuple[str, ...] = ()


def _label(obj: Json) -> None:
    obj["metadata"].setdefault("labels", {})[names.LABEL_PROJECT] = names.PROJECT


def _replace(key: str, before: str, after: str) -> Callable[[Json], None]:
    """Replace a text that must occur in one key of a ConfigMap; a checksum of the data follows."""

    def change(obj: Json) -> None:
        assert before in obj["data"][key], f"kubeadm no longer writes {before!r}"
        obj["data"][key] = obj["data"][key].replace(before, after)
        if COMPONENT_HASH in obj["metadata"].get("annotations", {}):
            obj["metadata"]["annotations"][COMPONENT_HASH] = component_hash(obj)

    return change


def _dual_stack_service(obj: Json) -> None:
    obj["spec"].update(clusterIPs=["fd00:96::a", "10.96.0.10"], ipFamilyPolicy="PreferDualStack")


DIFFERENCES: Final = (
    Difference("ours are found by one label, for constant LISTs and for clean-up", _label),
    Difference(
        "the tenant's data is not in an etcd of its own; no worker reads this section",
        _replace("ClusterConfiguration", "etcd:\n  local:\n    dataDir: /var/lib/etcd\n", ""),
        "ConfigMap kubeadm-config",
    ),
    Difference(
        "a dual-stack tenant's DNS answers on both families (field dnsServiceIPs); kubeadm uses the first family only",
        _replace("kubelet", "- fd00:96::a\n", "- fd00:96::a\n- 10.96.0.10\n"),
        "ConfigMap kubelet-config",
        ("dual-stack",),
    ),
    Difference(
        "as above: the Service has an address of each family",
        _dual_stack_service,
        "Service kube-dns",
        ("dual-stack",),
    ),
)

# What is ours alone, in every minor.
ADDITIONS: Final = {
    "Endpoints kubernetes": "the API servers do not write them (--endpoint-reconciler-type=none)",
    "EndpointSlice kubernetes": "as above",
}
# What kubeadm makes from a minor on, and we in all minors.
EARLIER: Final = {
    "ClusterRoleBinding kubeadm:apiserver-kubelet-client": (
        36,
        "before, kubeadm put the API server's kubelet client into kubeadm:cluster-admins; ours is in no group",
    ),
}

# kubeadm reads its own templates with the API's decoder, which fills in defaults before it sends them; we leave them to the server.
DECODER_DEFAULTS: Final[tuple[tuple[str, Any], ...]] = (
    ("apiVersion", "v1"),  # of fieldRef
    ("defaultMode", 420),
    ("deprecated.daemonset.template.generation", "0"),
    ("dnsPolicy", "ClusterFirst"),
    ("failureThreshold", 3),
    ("internalTrafficPolicy", "Cluster"),
    ("maxSurge", "25%"),
    ("periodSeconds", 10),
    ("progressDeadlineSeconds", 600),
    ("restartPolicy", "Always"),
    ("revisionHistoryLimit", 10),
    ("rollingUpdate", {"maxSurge": 0, "maxUnavailable": 1}),
    ("schedulerName", "default-scheduler"),
    ("serviceAccount", "coredns"),
    ("serviceAccount", "kube-proxy"),
    ("sessionAffinity", "None"),
    ("successThreshold", 1),
    ("terminationGracePeriodSeconds", 30),
    ("terminationMessagePath", "/dev/termination-log"),
    ("terminationMessagePolicy", "File"),
    ("timeoutSeconds", 1),
    ("type", ""),  # of hostPath
    ("type", "ClusterIP"),
)


def additions(minor: str) -> set[str]:
    """Return the refs of what is ours alone in a minor such as "1.36"."""
    number = int(minor.partition(".")[2])
    return set(ADDITIONS) | {ref for ref, (since, _reason) in EARLIER.items() if number < since}


def ref_of(obj: Json) -> str:
    """Kind and name; no two objects of ours differ by their namespace alone."""
    return f"{obj['kind']} {obj['metadata']['name']}"


def expected(scenario: str, golden: list[Json]) -> dict[str, Json]:
    """Return kubeadm's objects by ref with the differences of a scenario put in. Changes the objects in place."""
    by_ref = {ref_of(obj): obj for obj in golden}
    for difference in DIFFERENCES:
        if difference.scenarios and scenario not in difference.scenarios:
            continue
        for obj in [by_ref[difference.ref]] if difference.ref else by_ref.values():
            difference.change(obj)
    return by_ref


def without_decoder_defaults(theirs: Any, ours: Any) -> Any:
    """Return kubeadm's value without what our value lacks and the decoder fills in. Annotations left empty are dropped."""
    if isinstance(theirs, dict):
        mine = ours if isinstance(ours, dict) else {}
        kept = {key: value for key, value in theirs.items() if key in mine or (key, value) not in DECODER_DEFAULTS}
        kept = {key: without_decoder_defaults(value, mine.get(key)) for key, value in kept.items()}
        return {key: value for key, value in kept.items() if value != {} or key in mine}
    if isinstance(theirs, list):
        items = ours if isinstance(ours, list) else []
        return [without_decoder_defaults(item, mine) for item, mine in itertools.zip_longest(theirs, items)]
    return theirs
