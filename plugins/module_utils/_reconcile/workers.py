# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tenant's side of a worker's life: what a join needs to know, tokens, Nodes, drains. Hosts are not touched here."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import bootstrap_token, names, node
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.addresses import host_port
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.join import JoinTarget, uses_ipv6
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import node_problem
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND, TenantControlPlane, parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, client_from_kubeconfig, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ApiError, ConflictError, NotFoundError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import Objects, wait_for, wait_until
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.konnectivity import AGENT
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import ca_hash
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.access import TenantAccess
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import TenantKey
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stored_tenants import StoredTenants

_SIGNED_TIMEOUT_S: Final = 60
_CONFLICT_ATTEMPTS: Final = 5
_EVICTION_RETRY_S: Final = 1.0
_TOO_MANY_REQUESTS: Final = 429


@dataclass(frozen=True)
class TenantSource:
    """How to reach a tenant: its own kubeconfig file, or its name in a management cluster."""

    name: str
    namespace: str
    kubeconfig: str | None
    management: ConnectionOptions

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{self.namespace}/{self.name}" if self.name else f"of {self.kubeconfig}"


@contextmanager
def tenant_cluster(source: TenantSource) -> Iterator[Client]:
    """Connect to a tenant cluster as its administrator. Raises HostedKubernetesError when it, or its kubeconfig, is missing."""
    if source.kubeconfig:
        with client_from_kubeconfig(own_access(source)) as client:
            yield client
        return
    with connect(source.management) as management, administrator(management, source).access(management) as client:
        yield client


@dataclass(frozen=True)
class Administrator:
    """What an administrator of a managed tenant connects with. endpoint: (host, port) published for workers, None while unknown."""

    tenant: TenantControlPlane
    kubeconfig: bytes = field(repr=False)
    endpoint: tuple[str, int] | None

    def access(self, management: Client) -> TenantAccess:
        """A connection to the tenant, kept for the length of a `with` block."""
        return TenantAccess(management, self.tenant, self.kubeconfig, self.endpoint)


def administrator(management: Client, source: TenantSource) -> Administrator:
    """Read a tenant from its management cluster. Raises HostedKubernetesError, as administrator_of does."""
    key = (source.namespace, source.name)
    return administrator_of(StoredTenants(management, [key], names.ADMIN_KUBECONFIG), key)


def administrator_of(stored: StoredTenants, key: TenantKey) -> Administrator:
    """The administrator of one of these tenants. stored: with Secrets names.ADMIN_KUBECONFIG.

    Raises HostedKubernetesError when it, or its kubeconfig, is missing, and when it sleeps; its result says which in tenant_state.
    """
    tenant, label = stored.resource(key), f"{KIND} {key[0]}/{key[1]}"
    if tenant is None:
        raise HostedKubernetesError(
            f"{label}: does not exist in {stored.server}; create the tenant first, or correct its name",
            tenant_state="absent",
        )
    parsed = parse(tenant)
    if parsed.asleep:
        raise HostedKubernetesError(
            f"{label}: sleeps (spec.controlPlane.deployment.replicas is 0), so its API server does not answer; "
            "set replicas to 1 or more and run the tenant's playbook first",
            tenant_state="asleep",
        )
    data = (stored.secret(parsed) or {}).get("data", {}).get("admin.conf")
    if not data:
        raise HostedKubernetesError(
            f"{label}: Secret {parsed.secret_name(names.ADMIN_KUBECONFIG)} has no admin.conf yet; run the tenant's playbook until the tenant is Ready",
            tenant_state="unfinished",
        )
    host, _unused, port = str(tenant.get("status", {}).get("controlPlaneEndpoint") or "").rpartition(":")
    endpoint = (host.strip("[]"), int(port)) if host and port.isdigit() else None
    return Administrator(parsed, base64.b64decode(data), endpoint)


def own_access(source: TenantSource) -> bytes:
    """Read the tenant's own kubeconfig file. Raises HostedKubernetesError."""
    path = Path(source.kubeconfig or "")
    try:
        return path.read_bytes()
    except OSError as error:
        raise HostedKubernetesError(f"tenant_kubeconfig {path}: {error.strerror}; name a kubeconfig of the tenant cluster") from error


def join_target(client: Client, source: TenantSource, node_name: str) -> JoinTarget:
    """Read what a host must know of the tenant before it joins. Raises HostedKubernetesError when cluster-info is missing."""
    info = _cluster_info(client, source)
    cluster = bootstrap_token.cluster_of(info)
    authorities = cluster.embedded(cluster.cluster, "certificate-authority-data") or b""
    return JoinTarget(
        tenant=source.label,
        endpoint=cluster.server,
        ca_hashes=tuple(ca_hash(pem) for pem in bootstrap_token.certificates(authorities)),
        version=client.request("GET", "/version")["gitVersion"],
        has_node=client.get(resource_of("Node"), node_name, metadata_only=True) is not None,
        has_ipv6=uses_ipv6(cluster.server, _cluster_configuration(client)),
        ca=authorities.decode(),
        konnectivity=_konnectivity_server(client),
    )


def _konnectivity_server(client: Client) -> str:
    """Where the tenant's agents connect to, by their own flags; "" when it has none."""
    for kind in ("DaemonSet", "Deployment"):
        found = client.get(resource_of(kind), AGENT, "kube-system")
        containers = ((found or {}).get("spec", {}).get("template", {}).get("spec") or {}).get("containers") or []
        flags = dict(_flag(text) for container in containers for text in container.get("args") or [])
        host, port = flags.get("--proxy-server-host", ""), flags.get("--proxy-server-port", "")
        if host and port.isdigit():
            return host_port(host, int(port))
    return ""


def _flag(text: str) -> tuple[str, str]:
    name, _equals, value = text.partition("=")
    return name, value


def kubelet_configuration(client: Client) -> str:
    """Return the KubeletConfiguration that the cluster has uploaded (YAML); "" when it has none."""
    found = client.get(resource_of("ConfigMap"), "kubelet-config", "kube-system")
    return str(((found or {}).get("data") or {}).get("kubelet") or "")


def _cluster_configuration(client: Client) -> str:
    found = client.get(resource_of("ConfigMap"), "kubeadm-config", "kube-system")
    return str(((found or {}).get("data") or {}).get("ClusterConfiguration") or "")


def _cluster_info(client: Client, source: TenantSource) -> Json:
    found = client.get(resource_of("ConfigMap"), bootstrap_token.CLUSTER_INFO, bootstrap_token.CLUSTER_INFO_NAMESPACE)
    if found is None:
        raise HostedKubernetesError(f"tenant {source.label}: {bootstrap_token.unsigned('', None)}; run the tenant's playbook again")
    return found


# Tokens


def token_names(client: Client, host: str) -> list[str]:
    """Names of the token Secrets made for a host."""
    listed = client.list(resource_of("Secret"), namespace=bootstrap_token.NAMESPACE, field_selector=bootstrap_token.FIELD_SELECTOR)
    return bootstrap_token.tokens_of(host, listed.items)


def create_token(client: Client, host: str, *, ttl_s: int, now: datetime) -> bootstrap_token.Token:
    """Create a token for one host and wait until cluster-info is signed with it; earlier tokens of the host are deleted.

    Raises WaitTimeout when the controller-manager does not sign; the token is deleted then.
    """
    bootstrap_token.check_ttl(ttl_s)
    delete_tokens(client, token_names(client, host))
    token = bootstrap_token.Token(
        id=_random_text(bootstrap_token.ID_LENGTH),
        secret=_random_text(bootstrap_token.SECRET_LENGTH),
        host=host,
        expires=now + timedelta(seconds=ttl_s),
    )
    manifest = client.create(token.manifest())
    try:
        wait_for(
            client,
            resource_of("ConfigMap"),
            bootstrap_token.CLUSTER_INFO,
            bootstrap_token.CLUSTER_INFO_NAMESPACE,
            predicate=lambda found: bootstrap_token.unsigned(token.id, found) is None,
            deadline=time.monotonic() + _SIGNED_TIMEOUT_S,
            explain=lambda found: bootstrap_token.unsigned(token.id, found),
        )
    except HostedKubernetesError:
        delete_tokens(client, [manifest["metadata"]["name"]])
        raise
    return token


def delete_tokens(client: Client, secret_names: list[str]) -> None:
    """Delete token Secrets; those that are gone already are fine."""
    for name in secret_names:
        client.delete(resource_of("Secret"), name, bootstrap_token.NAMESPACE)


def _random_text(length: int) -> str:
    return "".join(secrets.choice(bootstrap_token.ALPHABET) for _unused in range(length))


# Nodes


def wait_for_nodes(client: Client, wanted: list[str], *, ready: bool, timeout_s: float) -> dict[str, Json]:
    """Wait until all Nodes exist and, when asked, are Ready. Raises WaitTimeout with the reason of each that is not."""

    def problems(objects: Objects) -> str:
        reasons = [_node_problem(name, objects.get(("", name)), ready=ready) for name in wanted]
        return "; ".join(reason for reason in reasons if reason)

    found = wait_until(
        client,
        resource_of("Node"),
        field_selector=f"metadata.name={wanted[0]}" if len(wanted) == 1 else None,
        predicate=lambda objects: not problems(objects),
        deadline=time.monotonic() + timeout_s,
        what="nodes" if len(wanted) > 1 else f"Node {wanted[0]}",
        explain=problems,
    )
    return {name: found["", name] for name in wanted}


def _node_problem(name: str, found: Json | None, *, ready: bool) -> str | None:
    if found is None:
        return f"Node {name} does not exist"
    reason = node_problem(found) if ready else None
    return f"Node {name}: {reason}" if reason else None


def patch_node(client: Client, wanted: node.WantedNode, name: str) -> None:
    """Bring one Node to what is wanted; another writer's change in between is read and kept."""
    for attempt in range(_CONFLICT_ATTEMPTS):
        live = client.get(resource_of("Node"), name)
        if live is None:
            raise HostedKubernetesError(f"Node {name}: has been deleted meanwhile; join the host again")
        patch = node.node_patch(wanted, live)
        if patch is None:
            return
        try:
            client.merge_patch(ObjectRef("v1", "Node", "", name), patch)
        except ConflictError:
            if attempt + 1 == _CONFLICT_ATTEMPTS:
                raise
        else:
            return


def pods_on(client: Client, name: str) -> list[Json]:
    return client.list(resource_of("Pod"), field_selector=f"spec.nodeName={name}").items


def drain(
    client: Client,
    name: str,
    pods: list[Json],
    *,
    timeout_s: float,
    grace_period_s: int | None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Evict pods and wait until they are gone. A disruption budget that says no is asked again until the time is over.

    Raises HostedKubernetesError that names the pod and the server's reason when the time is over.
    """
    end = time.monotonic() + timeout_s
    waiting = {pod["metadata"]["uid"]: pod for pod in pods}
    refusals = _evict_all(client, list(waiting.values()), grace_period_s)
    while True:
        present = {pod["metadata"]["uid"] for pod in pods_on(client, name)}
        waiting = {uid: pod for uid, pod in waiting.items() if uid in present}
        if not waiting:
            return
        if time.monotonic() >= end:
            reasons = [f"pod {_pod_name(pod)} {refusals.get(uid, 'is still terminating')}" for uid, pod in sorted(waiting.items())]
            raise HostedKubernetesError(
                f"Node {name}: not drained after {timeout_s:g} s: {'; '.join(reasons)}; mend that and run again, or raise drain_timeout"
            )
        sleep(_EVICTION_RETRY_S)
        refused = [pod for uid, pod in waiting.items() if uid in refusals]
        refusals = _evict_all(client, refused, grace_period_s)


def _evict_all(client: Client, pods: list[Json], grace_period_s: int | None) -> dict[str, str]:
    """Ask for the eviction of each pod; returns the server's reason by uid for those it refuses for now."""
    refusals = {}
    for pod in pods:
        metadata = pod["metadata"]
        body: Json = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
            "deleteOptions": {"preconditions": {"uid": metadata["uid"]}},
        }
        if grace_period_s is not None:
            body["deleteOptions"]["gracePeriodSeconds"] = grace_period_s
        path = resource_of("Pod").path(metadata["namespace"], metadata["name"], "eviction")
        try:
            client.request("POST", path, body=body, timeout_s=5)
        except (NotFoundError, ConflictError):
            continue  # gone, or replaced by another pod of this name
        except ApiError as error:
            if error.status != _TOO_MANY_REQUESTS:
                raise
            refusals[metadata["uid"]] = f"may not be evicted: {error.message}"
    return refusals


def _pod_name(pod: Json) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
