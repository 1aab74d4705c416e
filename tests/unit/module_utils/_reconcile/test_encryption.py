# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys come and go step by step; each step waits until all pods have taken the last one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.encryption import (
    IDENTITY,
    Key,
    Layout,
    next_layout,
    read_layout,
    render,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired, Observed
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Action, Barrier, Plan
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.planner import plan
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._reconcile.world import (
    NOW,
    complete,
    desired,
    edit,
    follow,
    later,
    nothing,
    read,
    recorded,
    reference,
    summary,
)

SECRET: Final = f"acme{names.ENCRYPTION}"
A, B, C = (Key("secretbox", name) for name in "abc")
ON: Final[Json] = {"kubernetes__encryption": {}}
AGAIN: Final[Json] = {"kubernetes__encryption": {"rotation": "2"}}
ISSUE, ROLLOUT, REWRITE = (f"Secret {SECRET}", "issue"), ("Deployment acme", "rollout"), (f"Secret {SECRET}", "rewrite")


# Layouts


@pytest.mark.parametrize(
    ("layout", "targets", "rolled", "rewritten", "expected"),
    [
        pytest.param({"s": (A, IDENTITY)}, {"s": A}, True, True, {"s": (A, IDENTITY)}, id="done"),
        pytest.param({"s": (A, IDENTITY)}, {"s": B}, False, True, {"s": (A, B, IDENTITY)}, id="added at once: it only reads"),
        pytest.param({"s": (A, B, IDENTITY)}, {"s": B}, False, False, {"s": (A, B, IDENTITY)}, id="not before all can read it"),
        pytest.param({"s": (A, B, IDENTITY)}, {"s": B}, True, False, {"s": (B, A, IDENTITY)}, id="first"),
        pytest.param({"s": (B, A, IDENTITY)}, {"s": B}, True, False, {"s": (B, A, IDENTITY)}, id="not before all is written anew"),
        pytest.param({"s": (B, A, IDENTITY)}, {"s": B}, True, True, {"s": (B, IDENTITY)}, id="alone"),
        pytest.param({"s": (B, A, IDENTITY)}, {"s": C}, True, False, {"s": (B, C, A, IDENTITY)}, id="a change of mind midway"),
        pytest.param({}, {"s": A}, True, False, {"s": (IDENTITY, A)}, id="switched on where there is data"),
        pytest.param({"s": (A, IDENTITY)}, {"s": A, "c": A}, True, False, {"s": (A, IDENTITY), "c": (IDENTITY, A)}, id="one resource more"),
        pytest.param(
            {"s": (A, IDENTITY), "c": (A, IDENTITY)},
            {"s": A, "c": IDENTITY},
            True,
            False,
            {"s": (A, IDENTITY), "c": (IDENTITY, A)},
            id="less",
        ),
        pytest.param({"s": (A, IDENTITY), "c": (IDENTITY, A)}, {"s": A, "c": IDENTITY}, True, True, {"s": (A, IDENTITY)}, id="and gone"),
    ],
)
def test_next_layout(layout: Layout, targets: dict[str, Key], rolled: bool, rewritten: bool, expected: Layout) -> None:
    assert next_layout(layout, targets, rolled=rolled, rewritten=rewritten) == expected


def test_layout_as_a_file() -> None:
    layout = {"secrets": (Key("secretbox", "b", "c2VjcmV0"), Key("aescbc", "a", "b2xk"), IDENTITY)}
    data = render(layout)
    assert json.loads(data) == {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [
            {
                "resources": ["secrets"],
                "providers": [
                    {"secretbox": {"keys": [{"name": "b", "secret": "c2VjcmV0"}]}},
                    {"aescbc": {"keys": [{"name": "a", "secret": "b2xk"}]}},
                    {"identity": {}},
                ],
            }
        ],
    }
    found = read_layout({"encryption-configuration.yaml": data})
    assert found == layout
    assert [key.secret for key in found["secrets"]] == ["c2VjcmV0", "b2xk", ""]


@pytest.mark.parametrize("text", [b"", b"{", b"{}", b'{"resources": [{"resources": ["s"], "providers": [{"secretbox": {}}]}]}'])
def test_a_broken_file_is_told(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read_layout({"encryption-configuration.yaml": text})


# Plans


def pods_ready(observed: Observed) -> Observed:
    """The roll-out of the present template is complete."""

    def ready(deployment: Json) -> None:
        count = deployment["spec"]["replicas"]
        deployment["status"] = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas", "availableReplicas"), count)
        deployment["status"]["observedGeneration"] = deployment["metadata"]["generation"]

    return edit(observed, "Deployment", ready)


def layout_of(observed: Observed) -> Layout:
    return read_layout(observed.secrets[SECRET].data or {})


def step(wanted: Desired, observed: Observed) -> tuple[list[tuple[str, str]], Observed]:
    """What a call does until it waits for pods, and what is observed once they are ready."""
    changes = plan(wanted, observed, NOW)
    made = [item for item in summary(changes) if item[0].split()[0] != "TenantControlPlane"]
    return made, pods_ready(follow(wanted, observed) if changes else observed)


def stage(observed: Observed) -> str:
    found: str = observed.status["hosted"]["encryption"]["stage"]
    return found


def test_new_tenant_is_encrypted_from_the_first_object_on() -> None:
    changes = plan(desired(**ON), nothing(), NOW)
    assert ISSUE in summary(changes)
    observed = follow(desired(**ON), nothing())
    ((key, plain),) = layout_of(observed).values()
    assert (key.provider, plain) == ("secretbox", IDENTITY)
    assert stage(observed) == "Encrypted"
    assert not plan(desired(**ON), pods_ready(observed), NOW), "nothing is stored that would have to be written anew"


def test_nothing_is_read_once_it_is_done() -> None:
    wanted = desired(**ON)
    seen = later(recorded(wanted, pods_ready(follow(wanted, nothing()))))
    changes = plan(wanted, seen, NOW)
    assert not changes
    assert not changes.unread


def test_switched_on_in_a_living_tenant() -> None:
    _wanted, observed = complete()
    wanted, observed = desired(**ON), pods_ready(observed)
    made, observed = step(wanted, observed)
    assert made == [ISSUE, ROLLOUT]
    assert [key.provider for key in layout_of(observed)["secrets"]] == ["identity", "secretbox"]
    assert stage(observed) == "KeyAdded"
    made, observed = step(wanted, observed)
    assert made == [ISSUE, ROLLOUT]
    assert [key.provider for key in layout_of(observed)["secrets"]] == ["secretbox", "identity"]
    assert stage(observed) == "KeyFirst"
    made, observed = step(wanted, observed)
    assert made == [REWRITE]
    assert stage(observed) == "Encrypted"
    assert not plan(wanted, observed, NOW)


def encrypted(**spec: Any) -> Observed:
    return pods_ready(follow(desired(**{**ON, **spec}), nothing()))


def test_rotation() -> None:
    observed = encrypted()
    ((old, _plain),) = layout_of(observed).values()
    wanted = desired(**AGAIN)
    stages, layouts = [], []
    # After the last of these the old key is dropped at once: nothing needs it.
    for expected in ([ISSUE, ROLLOUT], [ISSUE, ROLLOUT], [REWRITE]):
        made, observed = step(wanted, observed)
        assert made == expected
        stages.append(stage(observed))
        layouts.append(layout_of(observed)["secrets"])
    new = layouts[-1][0]
    assert new != old
    assert layouts == [(old, new, IDENTITY), (new, old, IDENTITY), (new, IDENTITY)]
    assert stages == ["KeyAdded", "KeyFirst", "Encrypted"]
    assert {key.secret for keys in layouts for key in keys if key == new} == {layouts[0][1].secret}, "one key all the way"
    assert not plan(wanted, observed, NOW)
    seen = later(recorded(wanted, observed))
    assert not plan(wanted, seen, NOW).unread


@pytest.mark.parametrize("spoil", ["old pods", "old template", "not ready"])
def test_no_step_before_all_pods_have_taken_the_last_one(spoil: str) -> None:
    wanted = desired(**AGAIN)
    _made, observed = step(wanted, encrypted())
    assert plan(wanted, observed, NOW)
    if spoil == "old pods":
        observed = replace(observed, pods=({}, {}, {}))
    else:
        observed = edit(
            observed,
            "Deployment",
            lambda obj: obj["status"].update(updatedReplicas=1) if spoil == "not ready" else obj["metadata"].update(generation=99),
        )
    assert not plan(wanted, observed, NOW)


def test_asleep_it_waits() -> None:
    spec: Json = {"controlPlane__deployment__replicas": 0}
    observed = follow(desired(**ON, **spec), nothing())
    wanted = desired(**AGAIN, **spec)
    made, observed = step(wanted, observed)
    assert made == [ISSUE, ROLLOUT]
    assert not plan(wanted, observed, NOW)


def test_killed_after_the_rewriting() -> None:
    """What was written anew is remembered with the keys: the old one is dropped next."""
    wanted = desired(**AGAIN)
    observed = encrypted()
    for _round in range(2):
        _made, observed = step(wanted, observed)
    (change,) = plan(wanted, observed, NOW)
    state = observed.secrets[SECRET]
    given = (change.body or {})["metadata"]["annotations"]
    written = replace(state, metadata={**state.metadata, "annotations": {**state.metadata["annotations"], **given}})
    killed = recorded(wanted, observed.with_secrets({SECRET: written}))
    assert stage(killed) == "Rewritten"
    assert summary(plan(wanted, killed, NOW)) == [ISSUE, ROLLOUT]


def test_rewriting_waits_for_the_tenant() -> None:
    wanted = desired(**AGAIN)
    observed = encrypted()
    for _round in range(2):
        _made, observed = step(wanted, observed)
    (change,) = plan(wanted, replace(observed, tenant=None), NOW)
    assert (change.action, change.barrier) == (Action.REWRITE, Barrier.TENANT)


def test_switched_off() -> None:
    """Plain text is written first, then no pod needs the keys, then they go."""
    observed, wanted = encrypted(), desired()
    for expected in ([ISSUE, ROLLOUT], [REWRITE], [(f"Secret {SECRET}", "delete")]):
        made, observed = step(wanted, observed)
        assert made == expected
    assert SECRET not in observed.secrets
    assert "encryption" not in observed.status["hosted"]
    assert not plan(wanted, observed, NOW)
    template = (observed.find("Deployment", "acme") or {})["spec"]["template"]
    assert "encryption" not in json.dumps(template)


def test_other_resources() -> None:
    wanted = desired(kubernetes__encryption={"resources": ["configmaps"]})
    observed = encrypted()
    for _round in range(3):
        _made, observed = step(wanted, observed)
    assert list(layout_of(observed)) == ["configmaps"]
    assert not plan(wanted, observed, NOW)


@pytest.mark.parametrize("how", ["gone", "broken"])
def test_lost_keys_are_never_made_again(how: str) -> None:
    wanted, observed = desired(**ON), encrypted()
    state = observed.secrets[SECRET]
    lost = observed.with_secrets({SECRET: None if how == "gone" else replace(state, data={"encryption-configuration.yaml": b"{}"})})
    with pytest.raises(HostedKubernetesError, match=f"Secret tenants/{SECRET} .*restore that Secret from a backup"):
        plan(wanted, lost, NOW)
    if how == "gone":
        without = lost.with_objects({reference("Deployment"): None})
        with pytest.raises(HostedKubernetesError, match="restore that Secret from a backup"):
            plan(wanted, without, NOW)


def test_only_what_is_in_doubt_is_read() -> None:
    wanted = desired(**AGAIN)
    whole = encrypted()
    seen = later(recorded(desired(**ON), whole))
    changes: Plan = plan(wanted, seen, NOW)
    assert changes.unread == {SECRET}
    assert summary(plan(wanted, read(seen, whole, changes.unread), NOW))[-2:] == [ISSUE, ROLLOUT]


def test_another_provider_is_another_key() -> None:
    wanted = desired(kubernetes__encryption={"provider": "aescbc"})
    observed = encrypted()
    made, observed = step(wanted, observed)
    assert made == [ISSUE, ROLLOUT]
    assert [key.provider for key in layout_of(observed)["secrets"]] == ["secretbox", "aescbc", "identity"]


def test_no_key_in_a_plan() -> None:
    wanted = desired(**AGAIN)
    observed = encrypted()
    ((key, _plain),) = layout_of(observed).values()
    text = repr(plan(wanted, observed, NOW)) + json.dumps([change.to_result() for change in plan(wanted, observed, NOW)]) + repr(key)
    assert key.secret
    assert key.secret not in text
