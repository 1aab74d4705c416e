# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of a tenant that are not plain certificates: an authority the user brings, and those its data is encrypted with."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import InvalidObjectError
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import LeafRequest, check_leaf
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import KeyPair
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.encryption import IDENTITY, read_layout
from ansible_collections.hosted.kubernetes.tests.support.certificates import Authority
from ansible_collections.hosted.kubernetes.tests.support.examples import example
from ansible_collections.hosted.kubernetes.tests.support.tenants import Tenant, assert_predicted

# An authority of one's own

OWN: Final = {"certificates.authority": example("own_authority")["spec"]["certificates"]["authority"]}
NAME: Final[str] = OWN["certificates.authority"]["secretName"]


def bring(tenant: Tenant, data: dict[str, bytes]) -> Json:
    """The user's Secret, in a namespace that is there before the tenant."""
    client = tenant.ground.client
    client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": tenant.namespace}}, force=True)
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": NAME, "namespace": tenant.namespace},
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
    return client.create(body)


def decoded(secret: Json) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in secret["data"].items()}


@pytest.mark.parametrize(("certificate", "key"), [("tls.crt", "tls.key"), ("ca.crt", "ca.key")])
def test_authority_is_taken_over_and_never_changed(tenant: Tenant, tmp_path: Path, certificate: str, key: str) -> None:
    pair = Authority(tmp_path).pair
    brought = bring(tenant, {certificate: pair.certificate.read_bytes(), key: pair.key.read_bytes()})
    predicted = tenant.run(changes=OWN, check=True)
    assert_predicted(predicted, tenant.run(changes=OWN))
    data = decoded(tenant.live("Secret", f"acme{names.CA}"))
    assert data["ca.crt"] == data["tls.crt"] == pair.certificate.read_bytes()
    assert data["ca.key"] == data["tls.key"] == pair.key.read_bytes()
    assert tenant.live("Secret", NAME) == brought
    admin = decoded(tenant.live("Secret", f"acme{names.API_SERVER}"))
    assert not tenant.run(changes=OWN).changed

    # The tenant has its own by now: what becomes of the user's Secret is no longer its business.
    tenant.patch("Secret", {"data": {certificate: base64.b64encode(b"other").decode()}}, NAME)
    assert not tenant.run(changes=OWN).changed
    tenant.delete("Secret", NAME)
    assert not tenant.run(changes=OWN).changed
    assert admin == decoded(tenant.live("Secret", f"acme{names.API_SERVER}"))
    tenant.absent(changes=OWN)
    assert tenant.left() == []


def test_certificates_are_signed_by_it(tenant: Tenant, tmp_path: Path) -> None:
    """The first certificate of a chain is the one that signs."""
    folder = tmp_path / "root"
    folder.mkdir()
    own, root = Authority(tmp_path).pair, Authority(folder, "root").pair
    bring(tenant, {"tls.crt": own.certificate.read_bytes() + root.certificate.read_bytes(), "tls.key": own.key.read_bytes()})
    tenant.run(changes=OWN)
    found = decoded(tenant.live("Secret", f"acme{names.API_SERVER_KUBELET_CLIENT}"))
    leaf = KeyPair(found["apiserver-kubelet-client.crt"], found["apiserver-kubelet-client.key"])
    request = LeafRequest("kube-apiserver-kubelet-client", client=True)
    reason = check_leaf(leaf, request, ca_certificate=own.certificate.read_bytes(), now=datetime.now(UTC), renew_before=timedelta(hours=1))
    assert reason is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "does not exist; create it with tls.crt and tls.key of the authority"),
        ({"tls.crt": b"x"}, "holds neither tls.crt and tls.key nor ca.crt and ca.key"),
        ({"tls.crt": b"x", "tls.key": b"y"}, "the certificate cannot be read; expected PEM"),
        ("leaf", "the certificate is not that of a CA"),
    ],
)
def test_authority_that_cannot_sign_is_refused(tenant: Tenant, tmp_path: Path, data: Any, message: str) -> None:
    if data == "leaf":
        pair = Authority(tmp_path).client("no authority")
        data = {"tls.crt": pair.certificate.read_bytes(), "tls.key": pair.key.read_bytes()}
    if data:
        bring(tenant, data)
    for check in (True, False):
        with pytest.raises(HostedKubernetesError) as refused:
            tenant.run(changes=OWN, check=check)
        assert f'spec.certificates.authority.secretName "{NAME}": Secret {tenant.namespace}/{NAME}' in refused.value.msg
        assert message in refused.value.msg
    assert tenant.left() == []


@pytest.mark.parametrize("way", ["module", "server"])
def test_authority_of_a_tenant_that_has_one_cannot_change(tenant: Tenant, way: str) -> None:
    tenant.run()
    if way == "module":
        with pytest.raises(HostedKubernetesError, match=r'authority.secretName is "" and cannot become "acme-authority"'):
            tenant.run(changes=OWN)
        return
    body = {"spec": {"certificates": {"authority": {"secretName": "other"}}}}
    with pytest.raises(InvalidObjectError, match=r"spec\.certificates\.authority cannot be set, changed or removed"):
        tenant.patch("TenantControlPlane", body)


# Encryption at rest (its steps: tests/unit; what they do to the data: test_api_server_settings.py)

ENCRYPTED: Final = {"kubernetes.encryption": example("encryption")["spec"]["kubernetes"]["encryption"]}
SECRET: Final = f"acme{names.ENCRYPTION}"


def test_encryption_of_a_new_tenant(tenant: Tenant) -> None:
    predicted = tenant.run(changes=ENCRYPTED, check=True)
    made = tenant.run(changes=ENCRYPTED)
    assert_predicted(predicted, made)
    layout = read_layout(decoded(tenant.live("Secret", SECRET)))
    assert sorted(layout) == ["configmaps", "secrets"]
    assert {keys[1:] for keys in layout.values()} == {(IDENTITY,)}
    (key,) = {keys[0] for keys in layout.values()}
    status = tenant.live("TenantControlPlane")["status"]["hosted"]["encryption"]
    assert status == {"stage": "Encrypted", "key": key.name, "resources": ["configmaps", "secrets"]}
    (server, *_others) = tenant.live("Deployment")["spec"]["template"]["spec"]["containers"]
    assert "--encryption-provider-config=/etc/kubernetes/encryption/encryption-configuration.yaml" in server["args"]
    again = tenant.run(changes=ENCRYPTED)
    assert not again.changed
    assert not [item for item in again.calls if "secrets" in item.path and "metadata" not in item.path and item.method != "GET"]
    assert key.secret not in json.dumps([made.result, again.result])
    tenant.absent(changes=ENCRYPTED)
    assert tenant.left() == []


def test_rotation_waits_while_the_tenant_sleeps(tenant: Tenant) -> None:
    tenant.run(changes=ENCRYPTED)
    before = read_layout(decoded(tenant.live("Secret", SECRET)))
    other = {"kubernetes.encryption": {**ENCRYPTED["kubernetes.encryption"], "rotation": "2027-01"}}
    changed = tenant.run(changes=other)
    assert changed.summary == [
        ("TenantControlPlane acme", "patch"),
        (f"Secret {SECRET}", "issue"),
        ("Deployment acme", "rollout"),
    ]
    after = read_layout(decoded(tenant.live("Secret", SECRET)))
    assert {name: (keys[0], keys[2]) for name, keys in after.items()} == before, "the new key comes second"
    assert tenant.live("TenantControlPlane")["status"]["hosted"]["encryption"]["stage"] == "KeyAdded"
    assert not tenant.run(changes=other).changed


@pytest.mark.parametrize("how", ["deleted", "emptied"])
def test_lost_keys_are_never_made_again(tenant: Tenant, how: str) -> None:
    tenant.run(changes=ENCRYPTED)
    live = tenant.live("Secret", SECRET)
    if how == "deleted":
        tenant.delete("Secret", SECRET)
    else:
        tenant.patch("Secret", {"data": {"encryption-configuration.yaml": ""}}, SECRET)
    for check in (True, False):
        with pytest.raises(HostedKubernetesError, match=f"Secret {tenant.namespace}/{SECRET} .*restore that Secret from a backup"):
            tenant.run(changes=ENCRYPTED, check=check)
    if how == "deleted":
        keep = ("name", "namespace", "labels", "annotations", "ownerReferences")
        tenant.ground.client.create({**live, "metadata": {key: live["metadata"][key] for key in keep}})
    else:
        tenant.ground.client.merge_patch(ObjectRef("v1", "Secret", tenant.namespace, SECRET), {"data": live["data"]})
    assert not tenant.run(changes=ENCRYPTED).changed
