# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine refuses, and how it says so: what is wrong, where, what to do; nothing is changed."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import call
from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer, running_api_server
from ansible_collections.hosted.kubernetes.tests.support.certificates import Authority
from ansible_collections.hosted.kubernetes.tests.support.etcd import running_etcd
from ansible_collections.hosted.kubernetes.tests.support.processes import free_ports
from ansible_collections.hosted.kubernetes.tests.support.tenants import (
    Ground,
    Tenant,
    datastore_definition,
    delete_datastore,
    open_driver,
    settings_of,
)


def refused(tenant: Tenant, **options: Any) -> str:
    """The message with which check mode and a run refuse alike."""
    messages = []
    for check in (True, False):
        with pytest.raises(HostedKubernetesError) as failure:
            tenant.run(check=check, **options)
        messages.append(failure.value.msg)
    assert messages[0] == messages[1]
    return messages[0]


# Definitions (the rules themselves have their table in tests/support/tenant_cases.py)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kubernetes.versio": "v1.36.3"}, "spec.kubernetes.versio is not a known field; did you mean version?"),
        ({"kubernetes.version": "1.36.3"}, 'spec.kubernetes.version "1.36.3" is not a Kubernetes version; write it as v1.36.3'),
        ({"networkProfile.podCidrs": ["10.0.0.0/8"]}, "spec.networkProfile.podCidrs[0] 10.0.0.0/8 overlaps with"),
    ],
)
def test_bad_definition(tenant: Tenant, changes: Json, message: str) -> None:
    text = refused(tenant, changes=changes)
    assert text.startswith(f"TenantControlPlane {tenant.key}: ")
    assert message in text
    assert tenant.left() == []


def test_all_problems_are_named_at_once(tenant: Tenant) -> None:
    other = tenant.ground.tenant("b" * 70, tenant.namespace)
    definitions = [tenant.definition({"kubernetes.version": "1"}), tenant.definition(), other.definition()]
    text = refused(tenant, definition=definitions)
    assert f"TenantControlPlane {tenant.key}: spec.kubernetes.version" in text
    assert f"TenantControlPlane {tenant.key}: is defined twice in this call; merge the two definitions" in text
    assert f"TenantControlPlane {other.key}: metadata.name" in text


def test_source_that_cannot_be_used(tenant: Tenant, tmp_path: Path) -> None:
    assert refused(tenant, src="/nowhere.yaml") == "src /nowhere.yaml: No such file or directory; give a readable YAML file"
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [", encoding="utf-8")
    assert refused(tenant, src=str(broken)).startswith(f"src {broken}: is not YAML: ")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert refused(tenant, src=str(binary)).startswith(f"src {binary}: is not YAML: ")
    empty = tmp_path / "empty.yaml"
    empty.write_text("---\n", encoding="utf-8")
    assert refused(tenant, src=str(empty)) == f"src {empty}: holds no definition; give at least one TenantControlPlane"


def test_source_with_several_tenants(ground: Ground, tmp_path: Path) -> None:
    first = ground.tenant("first")
    second = ground.tenant("second", first.namespace)
    path = tmp_path / "tenants.yaml"
    path.write_text("---\n".join(json.dumps(tenant.definition()) + "\n" for tenant in (first, second)), encoding="utf-8")
    run = first.run(src=str(path))
    assert [item["tenant"] for item in run.result["tenants"]] == [first.key, second.key]
    assert not first.run([first.definition(), second.definition()]).changed


@pytest.mark.parametrize("definition", ["text", ["text"], [None], {"spec": {}}, {"metadata": {"name": "a"}}, {"metadata": "a", "spec": {}}])
def test_definition_of_another_shape(tenant: Tenant, definition: Any) -> None:
    assert re.search(r"must be a mapping|is missing|is empty", refused(tenant, definition=definition))


@pytest.mark.parametrize("days", [-1, 365])
def test_certificates_that_would_always_be_due(tenant: Tenant, days: int) -> None:
    assert refused(tenant, renew_before_days=days).startswith(f"renew_before is {days}; give from 0 to 364, so that")
    assert tenant.left() == []


def test_no_definition_and_no_resource(tenant: Tenant) -> None:
    assert refused(tenant, name="acme") == f"TenantControlPlane {tenant.key}: does not exist; give its definition to create it"


# The state of the tenant


def test_tenant_that_is_being_deleted(tenant: Tenant) -> None:
    tenant.run()
    tenant.delete("TenantControlPlane")
    expected = f"TenantControlPlane {tenant.key}: is being deleted; finish that with state absent, then create it again"
    assert refused(tenant) == expected
    tenant.absent()
    assert tenant.left() == []
    assert tenant.run().changed


def test_tenant_of_a_newer_engine(tenant: Tenant) -> None:
    tenant.run()
    tenant.patch("TenantControlPlane", {"status": {"hosted": {"engineVersion": "9.1.0"}}}, subresource="status")
    assert refused(tenant).startswith(f"TenantControlPlane {tenant.key}: last changed by hosted.kubernetes 9.1.0, this is ")


def test_tenant_that_is_paused_is_left_alone(tenant: Tenant) -> None:
    other = tenant.ground.tenant("other", tenant.namespace)
    tenant.run([tenant.definition(), other.definition()])
    tenant.patch("TenantControlPlane", {"metadata": {"annotations": {names.ANNOTATION_PAUSED: "true"}}})
    newer = [item.definition({"kubernetes.version": "v1.36.4"}) for item in (tenant, other)]
    predicted, run = tenant.run(newer, check=True), tenant.run(newer)
    assert predicted.identities == run.identities
    assert [(item["tenant"], item["paused"], item["changed"], item["error"]) for item in run.result["tenants"]] == [
        (tenant.key, True, False, ""),
        (other.key, False, True, ""),
    ]
    assert run.result["warnings"] == [
        (
            f"TenantControlPlane {tenant.key}: is paused (annotation {names.ANNOTATION_PAUSED}) and left as it is; remove the annotation "
            "to let it be changed"
        )
    ]
    assert not [path for path in run.writes if f"/{tenant.name}" in path]


def test_field_that_somebody_else_owns(tenant: Tenant) -> None:
    tenant.run()
    tenant.patch("TenantControlPlane", {"spec": {"kubernetes": {"version": "v1.36.4"}}}, manager="gitops")
    with pytest.raises(HostedKubernetesError) as failure:
        tenant.run()
    assert failure.value.msg.startswith(f"TenantControlPlane {tenant.key}: ")
    assert "field .spec.kubernetes.version belongs to manager gitops" in failure.value.msg
    assert tenant.live("TenantControlPlane")["spec"]["kubernetes"]["version"] == "v1.36.4"
    # Taken as stored there is no fight.
    tenant.run(name="acme")
    assert "v1.36.4" in json.dumps(tenant.live("Deployment"))


def test_namespace_that_is_being_deleted(ground: Ground, namespace: str) -> None:
    tenant = ground.tenant(namespace=namespace)
    tenant.run()
    assert ground.client.delete(resource_of("Namespace"), namespace)
    assert refused(tenant).startswith(f"TenantControlPlane {tenant.key}: its namespace is being deleted; ")


# The datastore


@pytest.fixture
def other_store(ground: Ground) -> Iterator[Json]:
    """Definition of a DataStore to spoil."""
    definition = datastore_definition(f"store-{secrets.token_hex(4)}", ground.etcd)
    yield definition
    delete_datastore(ground.client, definition["metadata"]["name"])


def test_datastore_that_does_not_exist(tenant: Tenant) -> None:
    message = 'spec.dataStore "nowhere" does not exist; create that DataStore first (role hosted.kubernetes.datastore), or name another'
    assert refused(tenant, changes={"dataStore": "nowhere"}) == f"TenantControlPlane {tenant.key}: {message}"
    assert tenant.left() == []


def test_datastore_that_does_not_answer(tenant: Tenant, other_store: Json) -> None:
    (port,) = free_ports(1)
    other_store["spec"]["endpoints"] = [f"127.0.0.1:{port}"]
    tenant.ground.client.apply(other_store, force=True)
    text = refused(tenant, changes={"dataStore": other_store["metadata"]["name"]})
    assert text.startswith(f"TenantControlPlane {tenant.key}: DataStore {other_store['metadata']['name']}: etcd at 127.0.0.1:{port} ")
    assert tenant.left() == []


def test_datastore_with_the_authority_of_another(tenant: Tenant, other_store: Json, tmp_path: Path) -> None:
    stranger = Authority(tmp_path).pair.certificate.read_bytes()
    other_store["spec"]["tlsConfig"]["certificateAuthority"]["certificate"]["content"] = base64.b64encode(stranger).decode()
    tenant.ground.client.apply(other_store, force=True)
    text = refused(tenant, changes={"dataStore": other_store["metadata"]["name"]})
    assert "certificate" in text
    assert other_store["metadata"]["name"] in text


def test_datastore_that_is_not_where_the_data_is(tenant: Tenant, other_store: Json) -> None:
    tenant.run()
    name = other_store["metadata"]["name"]
    tenant.ground.client.apply(other_store, force=True)
    text = refused(tenant, changes={"dataStore": name})
    assert f'spec.dataStore "{name}" is not where its data is, that is "engine"; write "engine"' in text


def test_datastore_that_is_gone_while_the_tenant_lives(tenant: Tenant, bundle: Path, tmp_path: Path) -> None:
    name = f"store-{secrets.token_hex(4)}"
    changes = {"dataStore": name}
    with running_etcd(bundle, tmp_path, tls=True) as etcd:
        open_driver(etcd).close()
        tenant.ground.client.apply(datastore_definition(name, etcd), force=True)
        tenant.run(changes=changes)
    assert f"DataStore {name}: etcd at {etcd.host}:{etcd.port} " in refused(tenant, changes=changes)

    for check in (True, False):
        with pytest.raises(HostedKubernetesError) as failure:
            tenant.absent(check=check)
        assert "its data cannot be purged" in failure.value.msg
        assert "or set force (variable tenant_control_plane_force) to leave the data behind" in failure.value.msg
    assert tenant.get("Deployment") is not None
    assert tenant.absent(force=True).changed
    assert tenant.left() == []
    delete_datastore(tenant.ground.client, name)


# Stored definitions that cannot be carried out: the API server took them, so their status has to say why


def stored(tenant: Tenant, namespace: str, changes: Json) -> Tenant:
    """The tenant as kubectl would store it, in a namespace that exists."""
    found = tenant.ground.tenant(namespace=namespace)
    body = found.definition(changes)
    tenant.ground.client.create(body)
    return found


def condition(tenant: Tenant) -> tuple[str, str, str]:
    (found,) = [item for item in tenant.live("TenantControlPlane")["status"]["conditions"] if item["type"] == "Ready"]
    return found["status"], found["reason"], found["message"]


def test_a_version_that_is_too_old_is_a_condition_and_can_always_be_deleted(tenant: Tenant, namespace: str) -> None:
    """It may have been current when it was stored, by an earlier release of the collection."""
    old = stored(tenant, namespace, {"kubernetes.version": "v1.20.1"})
    message = f"TenantControlPlane {old.key}: spec.kubernetes.version v1.20.1 is too old; supported are 1.34 to 1.37"
    with pytest.raises(HostedKubernetesError, match="too old"):
        old.run(name="acme", check=True)
    assert "status" not in old.live("TenantControlPlane")
    with pytest.raises(HostedKubernetesError) as failure:
        old.run(name="acme")
    assert failure.value.msg == message
    assert condition(old) == ("False", "Refused", message)
    assert old.get("Deployment") is None

    before = old.live("TenantControlPlane")["metadata"]["resourceVersion"]
    with pytest.raises(HostedKubernetesError, match="too old"):
        old.run(name="acme")
    assert old.live("TenantControlPlane")["metadata"]["resourceVersion"] == before, "what is said already is not said again"
    # With a finalizer, as if it had been in use: it takes an update of the stored object to let it go.
    old.patch("TenantControlPlane", {"metadata": {"finalizers": [names.FINALIZER]}})
    assert old.absent(name="acme").changed
    assert old.left() == []


def test_a_refusal_that_ends_leaves_no_trace(tenant: Tenant, namespace: str, other_store: Json) -> None:
    name = other_store["metadata"]["name"]
    lost = stored(tenant, namespace, {"dataStore": name})
    with pytest.raises(HostedKubernetesError, match="does not exist"):
        lost.run(name="acme")
    assert condition(lost)[:2] == ("False", "Refused")
    tenant.ground.client.apply(other_store, force=True)
    assert lost.run(name="acme").tenant["phase"] == "Sleeping"
    assert condition(lost) == ("True", "Ready", "")
    lost.absent(name="acme")


def test_a_definition_that_is_refused_says_nothing_about_the_stored_one(tenant: Tenant) -> None:
    tenant.run()
    before = tenant.live("TenantControlPlane")["status"]
    refused(tenant, changes={"dataStore": "nowhere"})
    assert tenant.live("TenantControlPlane")["status"] == before


# The management cluster


def run_with(client: Client, tenant: Tenant) -> str:
    with pytest.raises(HostedKubernetesError) as failure:
        call.run(client, tenant.request(), settings_of())
    return failure.value.msg


def kubeconfig_with(ground: Ground, path: Path, section: str, **changes: str) -> ConnectionOptions:
    config = json.loads(ground.kubeconfig.read_text(encoding="utf-8"))
    config[section][0][section.removesuffix("s")].update(changes)
    path.write_text(json.dumps(config), encoding="utf-8")
    return ConnectionOptions(kubeconfig=str(path))


def test_management_cluster_that_does_not_answer(tenant: Tenant, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    options = kubeconfig_with(tenant.ground, tmp_path / "k", "clusters", server=f"https://127.0.0.1:{port}")
    with connect(options) as client:
        text = run_with(client, tenant)
    assert f"https://127.0.0.1:{port}" in text
    assert "refused" in text


def test_management_cluster_of_another_authority(tenant: Tenant, tmp_path: Path) -> None:
    stranger = base64.b64encode(Authority(tmp_path).pair.certificate.read_bytes()).decode()
    options = kubeconfig_with(tenant.ground, tmp_path / "k", "clusters", **{"certificate-authority-data": stranger})
    with connect(options) as client:
        text = run_with(client, tenant)
    assert "certificate" in text
    assert tenant.left() == []


def test_management_cluster_that_does_not_know_the_user(tenant: Tenant, tmp_path: Path) -> None:
    user = Authority(tmp_path).client("stranger")
    data = {
        "client-certificate-data": base64.b64encode(user.certificate.read_bytes()).decode(),
        "client-key-data": base64.b64encode(user.key.read_bytes()).decode(),
    }
    with connect(kubeconfig_with(tenant.ground, tmp_path / "k", "users", **data)) as client:
        assert re.search(r"401|credentials|certificate", run_with(client, tenant))


def test_management_cluster_that_does_not_allow_it(tenant: Tenant, api_server: ApiServer, tmp_path: Path) -> None:
    user = api_server.authority.client(f"nobody-{secrets.token_hex(4)}")
    options = ConnectionOptions(kubeconfig=str(api_server.write_kubeconfig(tmp_path / "k", user)))
    with connect(options) as client:
        assert "403" in run_with(client, tenant)


def test_management_cluster_without_the_definitions(ground: Ground, bundle: Path, tmp_path: Path) -> None:
    """Without them no tenant can be made, and none is there to be removed."""
    with running_api_server(bundle, tmp_path) as server, connect(ConnectionOptions(kubeconfig=str(server.kubeconfig))) as client:
        tenant = Ground(client, server.kubeconfig, ground.etcd, ground.driver, "engine").tenant()
        text = run_with(client, tenant)
        assert "does not know TenantControlPlane" in text
        assert "install the resource definitions first: role hosted.kubernetes.tenant_control_plane" in text
        assert not tenant.absent().changed
        assert not tenant.absent(name="acme").changed
