# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.kubelet_serving import (
    SIGNER,
    RequestContent,
    ServingHost,
    approved,
    refusal,
    requests_of,
    state,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json

HOST = ServingHost.parse({"name": "one", "dns_names": ["One.example.com"], "ip_addresses": ["192.0.2.1", "2001:DB8:0::1"]})
CONTENT = RequestContent("system:node:one", ("system:nodes",), ("one", "ONE.example.com"), ("192.0.2.1", "2001:db8::1"))
SPEC = {
    "signerName": SIGNER,
    "username": "system:node:one",
    "groups": ["system:nodes", "system:authenticated"],
    "usages": ["digital signature", "server auth"],
}


def request(name: str = "csr-a", created: str = "2026-01-01T00:00:00Z", status: Json | None = None, **spec: Any) -> Json:
    return {"metadata": {"name": name, "creationTimestamp": created}, "spec": {**SPEC, **spec}, "status": status or {}}


def test_a_request_for_the_host_itself() -> None:
    assert refusal(request(), CONTENT, HOST) is None
    assert refusal(request(usages=["key encipherment", *SPEC["usages"]]), CONTENT, HOST) is None
    assert refusal(request(), replace(CONTENT, dns_names=()), HOST) is None
    assert refusal(request(), replace(CONTENT, ip_addresses=()), HOST) is None


@pytest.mark.parametrize(
    ("spec", "content", "reason"),
    [
        ({"signerName": "kubernetes.io/kube-apiserver-client"}, {}, "it is for signer kubernetes.io/kube-apiserver-client, not "),
        ({"username": "system:node:two"}, {}, "it comes from user system:node:two, not system:node:one"),
        ({"username": "kubernetes-admin"}, {}, "it comes from user kubernetes-admin"),
        ({"groups": ["system:authenticated"]}, {}, "its user is not in the group system:nodes"),
        ({"groups": None}, {}, "its user is not in the group system:nodes"),
        ({"usages": ["client auth", "digital signature"]}, {}, "it asks for the usages client auth, digital signature"),
        ({"usages": [*SPEC["usages"], "client auth"]}, {}, "it asks for the usages client auth, digital signature, server auth"),
        ({"usages": ["server auth"]}, {}, "it asks for the usages server auth"),
        ({"usages": []}, {}, r"it asks for the usages \(none\)"),
        (
            {},
            {"common_name": "system:node:two"},
            "its subject is CN=system:node:two, O=system:nodes, not CN=system:node:one, O=system:nodes",
        ),
        ({}, {"organizations": ()}, r"its subject is CN=system:node:one, O=\(none\)"),
        ({}, {"organizations": ("system:nodes", "system:masters")}, "O=system:nodes, system:masters, not "),
        ({}, {"dns_names": ("two",)}, "it asks for the name two, while the host has one, one.example.com"),
        ({}, {"dns_names": ("one", "*.example.com")}, r"it asks for the name \*.example.com"),
        ({}, {"dns_names": ("kubernetes.default.svc",)}, "it asks for the name kubernetes.default.svc"),
        ({}, {"ip_addresses": ("192.0.2.1", "192.0.2.2")}, "it asks for the address 192.0.2.2, while the host has 192.0.2.1, 2001:db8::1"),
        ({}, {"ip_addresses": (), "dns_names": ()}, "it asks for no name and no address"),
        ({}, {"others": ("alternative name RFC822Name",)}, "it asks for alternative name RFC822Name, which no kubelet needs"),
        ({}, {"is_signed": False}, "it is not signed by its own key"),
    ],
)
def test_any_other_request(spec: Json, content: Json, reason: str) -> None:
    found = refusal(request(**spec), replace(CONTENT, **content), HOST)
    with pytest.raises(ValueError, match=reason):
        raise ValueError(found)


def test_all_reasons_are_told_at_once() -> None:
    found = refusal(request(username="x"), replace(CONTENT, dns_names=("a", "b")), HOST)
    assert (found or "").count("; ") == 2


def test_of_a_host_of_which_nothing_is_known_its_name_alone_counts() -> None:
    bare = ServingHost.parse({"name": "one"})
    assert refusal(request(), replace(CONTENT, dns_names=("one",), ip_addresses=()), bare) is None
    assert "while the host has none that is known" in str(refusal(request(), replace(CONTENT, dns_names=("one",)), bare))


@pytest.mark.parametrize(
    ("more", "wrong"), [({"dns_names": ["*.a"]}, r"\*.a"), ({"ip_addresses": ["192.0.2.0/24"]}, "192.0.2.0/24"), ({"name": "a_b"}, "a_b")]
)
def test_what_is_neither_name_nor_address(more: Json, wrong: str) -> None:
    with pytest.raises(InvalidError, match=f'"{wrong}" is no DNS name or IP address'):
        ServingHost.parse({"name": "one", **more})


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, "pending"),
        ({"conditions": [{"type": "Approved", "status": "True"}]}, "approved"),
        ({"conditions": [{"type": "Approved", "status": "True"}], "certificate": "LS0t"}, "issued"),
        ({"conditions": [{"type": "Approved"}, {"type": "Failed", "status": "True"}]}, "rejected"),
        ({"conditions": [{"type": "Denied", "status": "True"}]}, "rejected"),
    ],
)
def test_state(status: Json, expected: str) -> None:
    assert state(request(status=status)) == expected


def test_requests_of_a_host() -> None:
    late, other = request("csr-a", "2026-01-02T00:00:00Z"), request("csr-c", username="system:node:one-more")
    client = request("csr-d", signerName="kubernetes.io/kube-apiserver-client-kubelet")
    assert [item["metadata"]["name"] for item in requests_of(HOST, [late, request("csr-b"), other, client])] == ["csr-b", "csr-a"]


def test_an_approval_leaves_all_else_as_it_is() -> None:
    before = request(status={"conditions": [{"type": "Other", "status": "True"}]})
    after = approved(before, "2026-01-01T00:00:01Z")
    assert (after["spec"], after["metadata"]) == (before["spec"], before["metadata"])
    assert [item["type"] for item in after["status"]["conditions"]] == ["Other", "Approved"]
    assert (state(before), state(after)) == ("pending", "approved")
