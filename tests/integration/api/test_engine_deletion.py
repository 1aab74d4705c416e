# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing of a tenant stays behind, whatever is gone already, and nothing of another tenant is touched."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Tenant


def forget_resource(tenant: Tenant) -> None:
    """Take the resource away past its finalizer, as a person in a hurry does."""
    tenant.delete("TenantControlPlane")
    tenant.patch("TenantControlPlane", {"metadata": {"finalizers": None}})
    assert tenant.get("TenantControlPlane") is None


def test_by_name(tenant: Tenant) -> None:
    tenant.run()
    tenant.put_keys()
    assert tenant.run(name="acme", absent=True).changed
    assert tenant.left() == []
    assert not tenant.run(name="acme", absent=True).changed


def test_what_never_was(tenant: Tenant) -> None:
    assert not tenant.absent().changed
    assert not tenant.run(name="acme", absent=True).changed
    assert tenant.ground.client.get(resource_of("Namespace"), tenant.namespace) is None


def test_resource_gone_already(tenant: Tenant) -> None:
    tenant.run()
    tenant.put_keys()
    forget_resource(tenant)
    predicted = tenant.absent(check=True)
    assert tenant.absent().identities == predicted.identities
    assert tenant.left() == []


def test_only_the_data_is_left(tenant: Tenant) -> None:
    tenant.run()
    tenant.put_keys()
    share = tenant.isolation
    forget_resource(tenant)
    for text in tenant.left():
        kind, _unused, name = text.partition(" ")
        if kind != "datastore":
            tenant.delete(kind, name.rpartition("/")[2])
    assert tenant.absent().summary == [(f"{part} {share.schema}", "purge") for part in ("user", "role", "keys")]
    assert tenant.left() == []


def test_names_of_its_own_in_the_datastore(tenant: Tenant) -> None:
    changes = {"dataStoreSchema": f"{tenant.namespace}-schema", "dataStoreUsername": f"{tenant.namespace}-user"}
    tenant.run(changes=changes)
    listed = tenant.ground.driver._call
    assert f"{tenant.namespace}-user" in listed("UserList").users
    tenant.run(name="acme", absent=True)
    assert f"{tenant.namespace}-user" not in listed("UserList").users
    assert f"{tenant.namespace}-schema" not in listed("RoleList").roles


def test_names_of_its_own_and_the_resource_gone(tenant: Tenant) -> None:
    changes = {"dataStoreSchema": f"{tenant.namespace}-schema", "dataStoreUsername": f"{tenant.namespace}-user"}
    tenant.run(changes=changes)
    forget_resource(tenant)
    tenant.absent(changes=changes)
    listed = tenant.ground.driver._call
    assert f"{tenant.namespace}-user" not in listed("UserList").users
    assert f"{tenant.namespace}-schema" not in listed("RoleList").roles


def test_namespace_ending(ground: Ground, namespace: str) -> None:
    """kubectl delete namespace first: the finalizer holds it until the tenant is gone; no Lease can be made there any more."""
    tenant = ground.tenant(namespace=namespace)
    tenant.run()
    tenant.put_keys()
    ground.client.delete(resource_of("Namespace"), namespace)
    tenant.delete("TenantControlPlane")
    assert tenant.absent().changed
    assert tenant.left() == []
    assert not tenant.absent().changed


def test_namespace_gone(ground: Ground, namespace: str) -> None:
    tenant = ground.tenant(namespace=namespace)
    tenant.run()
    tenant.put_keys()
    share = tenant.isolation
    forget_resource(tenant)
    for text in tenant.left():
        kind, _unused, name = text.partition(" ")
        if kind != "datastore":
            tenant.delete(kind, name.rpartition("/")[2])
    ground.client.delete(resource_of("Namespace"), namespace)
    finish = f"/api/v1/namespaces/{namespace}/finalize"
    live = ground.client.get(resource_of("Namespace"), namespace)
    assert live is not None
    ground.client.request("PUT", finish, body={**live, "spec": {"finalizers": []}})
    assert ground.client.get(resource_of("Namespace"), namespace) is None
    assert tenant.absent().summary == [(f"{part} {share.schema}", "purge") for part in ("user", "role", "keys")]
    assert tenant.left() == []


def test_what_a_finalizer_of_somebody_else_holds_is_waited_for(tenant: Tenant) -> None:
    tenant.run()
    tenant.patch("Service", {"metadata": {"finalizers": ["example.com/hold"]}})
    tenant.patch("TenantControlPlane", {"metadata": {"finalizers": [names.FINALIZER, "example.com/hold"]}})
    with pytest.raises(HostedKubernetesError, match=f"Service {tenant.key}: .*held by finalizers example.com/hold; whoever set them"):
        tenant.absent(settings={"timeout_s": 1})
    assert tenant.get("Deployment") is None
    tenant.patch("Service", {"metadata": {"finalizers": None}})
    with pytest.raises(HostedKubernetesError, match=f"TenantControlPlane {tenant.key}: .*held by finalizers example.com/hold"):
        tenant.absent(settings={"timeout_s": 1})
    with ThreadPoolExecutor(max_workers=1) as pool:
        rest = pool.submit(tenant.absent)
        tenant.patch("TenantControlPlane", {"metadata": {"finalizers": None}})
        assert not rest.result().changed
    assert tenant.left() == []


def test_other_tenants_stay_as_they_are(ground: Ground) -> None:
    """Also one whose name begins alike, in the same namespace and the same datastore."""
    tenant = ground.tenant("acme")
    neighbours = [ground.tenant("acme-2", tenant.namespace), ground.tenant("acme")]
    for each in (tenant, *neighbours):
        each.run()
        each.put_keys()
    before = [each.left() for each in neighbours]
    tenant.absent()
    assert tenant.left() == []
    assert [each.left() for each in neighbours] == before
    for each in neighbours:
        assert not each.run().changed
        assert ground.driver.count_keys(each.isolation) == 3


def test_a_definition_with_the_data_of_another_tenant_purges_nothing(ground: Ground, tenant: Tenant) -> None:
    tenant.run()
    tenant.put_keys()
    copied = ground.tenant("copied", tenant.namespace)
    changes = {"dataStoreSchema": tenant.isolation.schema}
    with pytest.raises(HostedKubernetesError, match=f"is that of TenantControlPlane {tenant.key}, which exists"):
        copied.absent(changes=changes)
    with pytest.raises(HostedKubernetesError, match=f"is that of TenantControlPlane {tenant.key} in the same DataStore"):
        copied.run(changes=changes)
    assert ground.driver.count_keys(tenant.isolation) == 3
    assert not tenant.run().changed


def test_forced_purges_what_answers(tenant: Tenant) -> None:
    tenant.run()
    tenant.put_keys()
    tenant.absent(force=True)
    assert tenant.left() == []


def test_objects_of_the_user_stay(tenant: Tenant) -> None:
    tenant.run()
    mine = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "acme-mine", "namespace": tenant.namespace}}
    tenant.ground.client.create(mine)
    tenant.absent()
    assert tenant.get("ConfigMap", "acme-mine") is not None


@pytest.mark.parametrize("suffix", [names.CA, names.ADMIN_KUBECONFIG])
def test_broken_tenant_can_be_removed(tenant: Tenant, suffix: str) -> None:
    tenant.run()
    tenant.ground.client.delete(resource_of("Secret"), f"acme{suffix}", tenant.namespace)
    tenant.patch("Deployment", {"spec": {"replicas": 7}})
    tenant.absent()
    assert tenant.left() == []


def test_the_datastore_knows_its_users(ground: Ground, tenant: Tenant) -> None:
    def used_by() -> list[str]:
        live = ground.client.get(resource_of("DataStore"), ground.store)
        assert live is not None
        found: list[str] = (live.get("status") or {}).get("usedBy") or []
        return found

    tenant.run()
    assert tenant.key in used_by()
    tenant.absent()
    assert tenant.key not in used_by()
    assert ObjectRef.of(ground.client.get(resource_of("DataStore"), ground.store) or {}).name == ground.store
