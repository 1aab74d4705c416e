# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a tenant from being made what its definition says, told before anything is changed. Pure.

What one definition can decide is refused before, by _api/validate.py and the resource definitions; here it takes other objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import DEFAULT_NAME, ETCD
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import kine_problem, share_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import upgrade
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import DatastoreView, Desired, Observed
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.version import refuse_newer


def check(desired: Desired, observed: Observed) -> None:
    """Raise HostedKubernetesError with the first reason why the desired state cannot be reached from the observed one."""
    problem = next((text for part in (_existence, _stores, _secrets, _routes) for text in part(desired, observed)), None)
    if problem:
        raise HostedKubernetesError(f"TenantControlPlane {desired.tenant.key}: {problem}")
    refuse_newer(desired.tenant.key, (observed.status.get("hosted") or {}).get("engineVersion"))
    upgrade.refuse(desired, observed)


def _existence(desired: Desired, observed: Observed) -> Iterator[str]:
    if observed.deleting:
        yield "is being deleted; finish that with state absent, then create it again"
    if observed.namespace_ending:
        yield ("its namespace is being deleted; wait until it is gone (state absent removes a tenant that holds it), then run again")
    if not desired.manage_resource and observed.resource is None:
        yield "does not exist; give its definition to create it"


def _stores(desired: Desired, observed: Observed) -> Iterator[str]:
    tenant, view = desired.tenant, observed.datastore
    if desired.no_store:
        yield desired.no_store
        return
    if view is None:
        yield (
            f'spec.dataStore "{tenant.data_store or DEFAULT_NAME}" does not exist; '
            "create that DataStore first (role hosted.kubernetes.datastore), or name another"
        )
        return
    if view.error:
        yield view.error
    if view.state and view.state.refusal:
        yield view.state.refusal
    store = (observed.status.get("storage") or {}).get("dataStoreName")
    if store and store != view.name:
        yield (
            f'spec.dataStore "{view.name}" is not where its data is, that is "{store}"; write '
            f'"{store}" (a tenant moves to another datastore by backup and restore only)'
        )
    problem = None if view.driver == ETCD else kine_problem(share_of(tenant.manifest(), observed.status), view.driver)
    if problem:
        yield problem
    yield from _overrides(tenant, view, observed.overrides)


def _overrides(tenant: TenantControlPlane, main: DatastoreView, views: Mapping[str, DatastoreView | None]) -> Iterator[str]:
    """An API server has one client certificate and one authority for all its etcds."""
    for index, name in enumerate(tenant.data_store_overrides.values()):
        view, problem = views.get(name), ""
        if view is None:
            problem = "does not exist; create that DataStore first (role hosted.kubernetes.datastore), or name another"
        elif view.error:
            problem = f"cannot be used: {view.error}"
        elif {view.driver, main.driver} != {ETCD}:
            problem = f"and spec.dataStore must both be of driver {ETCD}; they are {view.driver} and {main.driver}"
        elif view.ca_certificate.strip() != main.ca_certificate.strip():
            problem = (
                f"has another certificate authority than {main.name}, but API servers have one client certificate for both; give both etcds "
                "the same authority"
            )
        if problem:
            yield f'spec.dataStoreOverrides[{index}].dataStore "{name}" {problem}'


def _secrets(desired: Desired, observed: Observed) -> Iterator[str]:
    authority, pull = observed.own_authority, observed.image_pull
    if authority and authority.error:
        yield f'spec.certificates.authority.secretName "{desired.tenant.authority_secret}": {authority.error}'
    if pull and pull.error:
        yield f"spec.addons.imagePullSecrets: {pull.error}"


def _routes(desired: Desired, observed: Observed) -> Iterator[str]:
    if desired.tenant.gateway and "TLSRoute" in observed.unserved:
        yield (
            "spec.controlPlane.gateway needs TLSRoute of gateway.networking.k8s.io/v1, which the management "
            "cluster does not serve; install the Gateway API (1.5 or newer) and a controller of it, or use ingress or the Service alone"
        )
