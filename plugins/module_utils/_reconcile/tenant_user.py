# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubeconfigs of a tenant cluster for people and programs: a client certificate of their own, for as long as they need it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane, parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import LeafRequest, new_leaf, not_after
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import KeyAlgorithm, KeyPair
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.kubeconfig import (
    check_kubeconfig,
    kubeconfig,
    read_kubeconfig_client,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import secret_state
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secrets import SecretState
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.stored_tenants import StoredTenants

SYSTEM_MASTERS = "system:masters"
_CLOCK_SKEW = timedelta(minutes=5)
"""Between the machines that make kubeconfigs of one user."""


@dataclass(frozen=True)
class User:
    """Who the kubeconfig is for, and for how long it is good. lifetime also decides when an old one is renewed."""

    name: str
    groups: tuple[str, ...]
    lifetime: timedelta

    @property
    def renew_before(self) -> timedelta:
        """A kubeconfig is made anew when less than a third of its lifetime is left."""
        return self.lifetime / 3

    def __str__(self) -> str:
        return f"user {self.name}, groups {', '.join(self.groups)}, {self.lifetime // timedelta(minutes=1)} minutes"


@dataclass(frozen=True)
class TenantAuthority:
    """What signs a tenant's users, and where they connect to."""

    tenant: TenantControlPlane
    server: str
    ca: KeyPair


def read_authority(stored: StoredTenants, namespace: str, name: str, *, inside: bool) -> TenantAuthority:
    """A tenant's authority and endpoint. stored: with Secrets names.CA. inside: give the address that works inside the management cluster.

    Raises InvalidError when there is no such tenant, none that has been exposed yet, or one whose authority is broken.
    """
    live = stored.resource((namespace, name))
    if live is None:
        raise InvalidError(f"TenantControlPlane {namespace}/{name} does not exist; look at kubectl get tcp -A")
    tenant = parse(live)
    server = server_url(tenant, live, inside=inside)
    secret = stored.secret(tenant)
    if secret is None or not server:
        raise InvalidError(
            f"TenantControlPlane {namespace}/{name} has no endpoint or no authority yet; wait until it is ready (module "
            "hosted.kubernetes.tenant_control_plane_info says what it lacks)"
        )
    return TenantAuthority(tenant, server, authority_pair(tenant, secret_state(secret, None)))


def server_url(tenant: TenantControlPlane, live: Json, *, inside: bool) -> str:
    """URL of the API server: inside the management cluster, or as it is published; "" while it is not. live: the stored resource."""
    endpoint = (live.get("status") or {}).get("controlPlaneEndpoint")
    return tenant.service_url if inside else f"https://{endpoint}" if endpoint else ""


def authority_pair(tenant: TenantControlPlane, state: SecretState) -> KeyPair:
    """The pair that signs for a tenant. state: its Secret, read whole. Raises InvalidError when a half of the pair is missing."""
    data = state.data or {}
    missing = [key for key in ("ca.crt", "ca.key") if not data.get(key)]
    if missing:
        raise InvalidError(
            f"Secret {tenant.namespace}/{tenant.secret_name(names.CA)} has no key {missing[0]}; restore the tenant's authority from a backup"
        )
    return KeyPair(data["ca.crt"], data["ca.key"])


def check(user: User) -> None:
    """Refuse what must not be given out. Raises InvalidError."""
    check_subject(user)
    if SYSTEM_MASTERS in user.groups:
        raise InvalidError(
            f'groups: "{SYSTEM_MASTERS}" cannot be limited or revoked by RBAC; use "kubeadm:cluster-admins" for an administrator'
        )
    if not timedelta(minutes=10) <= user.lifetime <= timedelta(days=365):
        raise InvalidError("lifetime must be between 10 minutes and 365 days (525600 minutes)")


def check_subject(user: User) -> None:
    """Refuse names that no certificate can have. Raises InvalidError."""
    if not user.name:
        raise InvalidError("user must not be empty; name the person or program the kubeconfig is for")
    length = len(user.name.encode())
    if length > names.LONGEST_COMMON_NAME:
        raise InvalidError(
            f'user "{user.name}" is {length} bytes long; a certificate names a user with at most {names.LONGEST_COMMON_NAME}, so shorten it'
        )
    if "" in user.groups:
        raise InvalidError(f"groups[{user.groups.index('')}] is empty; name a group, or leave it out")


def problem(existing: bytes | None, authority: TenantAuthority, user: User, now: datetime) -> str | None:
    """Why an existing kubeconfig must be made anew; None when it serves."""
    if existing is None:
        return "does not exist"
    fault = check_kubeconfig(
        existing,
        _request(user),
        server=authority.server,
        ca_certificate=authority.ca.certificate,
        now=now,
        renew_before=user.renew_before,
    )
    if fault is None and expires(existing) > now + user.lifetime + _CLOCK_SKEW:
        return "is good for longer than lifetime allows"
    return fault


def issue(authority: TenantAuthority, user: User, now: datetime) -> bytes:
    """Make a kubeconfig for a user."""
    algorithm = KeyAlgorithm(authority.tenant.key_algorithm)
    client = new_leaf(authority.ca, _request(user), algorithm=algorithm, now=now, validity=user.lifetime)
    return kubeconfig(
        server=authority.server,
        ca_certificate=authority.ca.certificate,
        client=client,
        user=user.name,
        cluster=authority.tenant.name,
    )


def expires(content: bytes) -> datetime:
    """When the client certificate of a kubeconfig ends. Raises HostedKubernetesError when there is none."""
    _server, _ca, client = read_kubeconfig_client(content)
    if not client.certificate:
        raise HostedKubernetesError("the kubeconfig holds no client certificate")
    return not_after(client.certificate)


def _request(user: User) -> LeafRequest:
    return LeafRequest(user.name, user.groups, client=True)
