# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A managed etcd: look at it, make it as its plan says, wait for its members, switch authentication on, or remove it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.managed_etcd import LOCAL_STORAGE_CLASS, ManagedEtcd
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import pod_problem, stateful_set_problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.secret_data import decoded
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.errors import DatastoreError
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd import (
    AUTHENTICATION,
    ROOT_MEMBERSHIP,
    ROOT_ROLE,
    ROOT_USER,
    EtcdDriver,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import AlreadyExistsError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import WaitTimeout, wait_for
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests import etcd as manifests
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastores import open_store, wait_gone
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.etcd_plan import (
    AUTHORITIES,
    ObservedEtcd,
    Validity,
    authentication_changes,
    new_authority,
    new_certificate,
    plan,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Action, Change, Cluster, Plan

AUTHENTICATION_ORDER: Final = (ROOT_USER, ROOT_ROLE, ROOT_MEMBERSHIP, AUTHENTICATION)
_KINDS: Final = ("Service", "StatefulSet", "CronJob", "PodDisruptionBudget")
_CLUSTER_KINDS: Final = ("PersistentVolume",)

Now = Callable[[], datetime]


def observe(client: Client, etcd: ManagedEtcd) -> ObservedEtcd:
    """Look at everything of one etcd, with a constant number of calls; the store itself is asked when its members are ready."""
    found: dict[ObjectRef, Json] = {}
    for kind in (*_KINDS, *_CLUSTER_KINDS):
        namespace = etcd.namespace if kind in _KINDS else None
        for item in client.list(resource_of(kind), namespace=namespace, label_selector=etcd.selector).items:
            # Of two stores of one name in two namespaces, each has its own volumes.
            if kind in _KINDS or item["metadata"]["name"].startswith(f"{etcd.namespace}-{etcd.name}-"):
                found[ObjectRef.of(item)] = item
    if etcd.local_volumes:
        storage_class = client.get(resource_of("StorageClass"), LOCAL_STORAGE_CLASS)
        if storage_class:
            found[ObjectRef.of(storage_class)] = storage_class
    secrets = client.list(resource_of("Secret"), namespace=etcd.namespace, label_selector=etcd.selector).items
    claims = client.list(resource_of("PersistentVolumeClaim"), namespace=etcd.namespace, label_selector=etcd.selector).items
    observed = ObservedEtcd(
        namespace_exists=client.get(resource_of("Namespace"), etcd.namespace, metadata_only=True) is not None,
        objects=found,
        secrets={item["metadata"]["name"]: (item["metadata"], decoded(item)) for item in secrets},
        claims=tuple(claims),
    )
    return replace(observed, missing_authentication=_missing_authentication(client, etcd, observed))


def refuse_unknown_nodes(client: Client, etcd: ManagedEtcd) -> None:
    """Raise InvalidError when a local volume is on a node that the cluster does not have: its pod would wait for it forever.

    Volumes name a node by its label kubernetes.io/hostname, which is its name nearly everywhere.
    """
    if not etcd.local_volumes:
        return
    nodes = [item["metadata"] for item in client.list(resource_of("Node")).items]
    known = sorted((item.get("labels") or {}).get(manifests.NODE_LABEL) or item["name"] for item in nodes)
    unknown = sorted({volume.node for volume in etcd.local_volumes} - set(known))
    if unknown:
        raise InvalidError(
            f"etcd {etcd.namespace}/{etcd.name}: local_volumes (variable datastore_local_volumes) names nodes that the management cluster does "
            f"not have: {', '.join(unknown)}; its nodes are {', '.join(known) or 'none yet'}"
        )


def plan_present(client: Client, etcd: ManagedEtcd, now: datetime, validity: Validity) -> Plan:
    """Return what is left to do, without doing it."""
    return plan(etcd, observe(client, etcd), now, validity, AUTHENTICATION_ORDER)


def apply(client: Client, etcd: ManagedEtcd, changes: Plan, *, now: Now, validity: Validity, timeout_s: float) -> tuple[Change, ...]:
    """Make the changes, wait until all members are ready, and switch authentication on. Returns the changes made.

    Raises WaitTimeout naming the pod and its reason when members do not become ready.
    """
    made = []
    for change in changes:
        if change.cluster is Cluster.MANAGEMENT:
            make(client, etcd, change, now=now, validity=validity)
            made.append(change)
    wait_ready(client, etcd, timeout_s=timeout_s)
    return (*made, *_authenticate(client, etcd))


def wait_ready(client: Client, etcd: ManagedEtcd, *, timeout_s: float) -> None:
    """Wait until every member runs the wanted template and answers."""

    try:
        wait_for(
            client,
            resource_of("StatefulSet"),
            etcd.name,
            etcd.namespace,
            predicate=lambda obj: obj is not None and stateful_set_problem(obj) is None,
            deadline=time.monotonic() + timeout_s,
        )
    except WaitTimeout as error:
        pods = client.list(resource_of("Pod"), namespace=etcd.namespace, label_selector=_pods(etcd)).items
        reasons = [f"pod {pod['metadata']['name']}: {pod_problem(pod)}" for pod in pods if pod_problem(pod)]
        hint = f"see kubectl -n {etcd.namespace} describe pods -l {_pods(etcd)}"
        raise HostedKubernetesError("; ".join([error.msg, *reasons, hint])) from error


def remove(client: Client, changes: Plan, *, timeout_s: float) -> None:
    """Make the changes of plan_absent(), and wait until each object is gone."""
    for change in changes:
        resource = resource_of(change.object.kind)
        client.delete(resource, change.object.name, change.object.namespace)
        wait_gone(client, change.object, timeout_s=timeout_s)


def refuse_if_recorded(client: Client, etcd: ManagedEtcd) -> None:
    """Raise InvalidError while a DataStore resource still refers to this etcd: its tenants' data would be lost."""
    live = client.get(resource_of(api.KIND), etcd.name)
    endpoints = (live or {}).get("spec", {}).get("endpoints") or []
    if any(str(item).startswith(f"{etcd.host}:") for item in endpoints):
        raise InvalidError(
            f"etcd {etcd.namespace}/{etcd.name} is what {api.KIND} {etcd.name} refers to; delete that first (module "
            "hosted.kubernetes.datastore, state absent, which refuses while tenants use it)"
        )


def make(client: Client, etcd: ManagedEtcd, change: Change, *, now: Now, validity: Validity) -> None:
    """Make one change in the management cluster; it may have been made meanwhile."""
    ref = change.object
    if change.action is Action.DELETE:
        client.delete(resource_of(ref.kind), ref.name, ref.namespace)
    elif ref.kind == "Namespace":
        _create(client, manifests.namespace(etcd))
    elif ref.kind == "Secret":
        _issue(client, etcd, ref.name.removeprefix(etcd.secret("")), now, validity)
    else:
        wanted = next(obj for obj in manifests.objects(etcd) if ObjectRef.of(obj) == ref)
        client.apply(wanted, force=True)


def _issue(client: Client, etcd: ManagedEtcd, part: str, now: Now, validity: Validity) -> None:
    """Make one Secret. An authority somebody else made meanwhile counts; a leaf replaces the version seen here."""
    if part in AUTHORITIES:
        _create(client, new_authority(etcd, part, now()))
        return
    items = client.list(resource_of("Secret"), namespace=etcd.namespace, label_selector=etcd.selector).items
    present = ObservedEtcd(secrets={item["metadata"]["name"]: (item["metadata"], decoded(item)) for item in items})
    secret = new_certificate(etcd, part, present, now(), validity)
    if "resourceVersion" in secret["metadata"]:
        client.replace(secret)
    else:
        _create(client, secret)


def _create(client: Client, obj: Json) -> None:
    try:
        client.create(obj)
    except AlreadyExistsError:
        return


def _authenticate(client: Client, etcd: ManagedEtcd) -> tuple[Change, ...]:
    """Make what is missing of authentication; the store is asked, not the earlier plan."""
    with open_store(client, api.parse(etcd.datastore())) as store:
        driver = _etcd(store.driver)
        changes = tuple(authentication_changes(etcd, driver.missing_authentication()))
        for change in changes:
            driver.create_authentication_part(change.object.kind)
    return changes


def _missing_authentication(client: Client, etcd: ManagedEtcd, observed: ObservedEtcd) -> tuple[str, ...] | None:
    live = observed.find("StatefulSet", etcd.name)
    if live is None or not live.get("status", {}).get("readyReplicas"):
        return None
    try:
        with open_store(client, api.parse(etcd.datastore())) as store:
            return _etcd(store.driver).missing_authentication()
    except (DatastoreError, api.MissingCredentialError):
        # It is waited for and asked again when the plan is made; whatever is wrong is said there.
        return None


def _etcd(driver: object) -> EtcdDriver:
    if not isinstance(driver, EtcdDriver):
        raise TypeError(driver)
    return driver


def _pods(etcd: ManagedEtcd) -> str:
    return ",".join(f"{key}={value}" for key, value in etcd.pod_labels.items())
