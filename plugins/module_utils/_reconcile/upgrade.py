# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a tenant may go to another version. Pure.

An upgrade goes from the version that is installed, which status recorded when it ran, not from what the definition said before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import versions
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management import common
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Desired, Observed

_NAMED_NODES: Final = 10


def installed_version(observed: Observed) -> str | None:
    """The version that ran last, None while none did."""
    version: str | None = ((observed.status.get("kubernetesResources") or {}).get("version") or {}).get("version")
    return version


def is_wanted(desired: Desired, observed: Observed) -> bool:
    """Whether another version than the installed one is to run."""
    installed = installed_version(observed)
    return installed is not None and installed != desired.tenant.version


def needs_nodes(desired: Desired, observed: Observed) -> bool:
    """Whether the tenant's nodes must be looked at, because its pods are about to get another minor."""
    installed = installed_version(observed)
    if not installed or desired.tenant.asleep or _minor(installed) == _minor(desired.tenant.version):
        return False
    deployment = observed.find("Deployment", desired.tenant.name)
    if deployment is None or not deployment["spec"].get("replicas"):
        return False  # nobody is there to be asked
    return not _runs(desired.tenant, observed)


def refuse(desired: Desired, observed: Observed) -> None:
    """Raise HostedKubernetesError when the wanted version is none, or cannot follow the installed one."""
    tenant, installed = desired.tenant, installed_version(observed)
    problem = versions.support_problem(tenant.version)
    if problem:
        raise _refusal(tenant, f" {problem}")
    step = versions.upgrade_problem(installed, tenant.version) if installed else None
    if step:
        raise _refusal(tenant, f": {step}")
    if not needs_nodes(desired, observed):
        return
    if observed.nodes is None:
        raise _refusal(
            tenant,
            f" {tenant.version} cannot follow {installed} now: its API server does not answer, so its workers cannot be asked for their "
            f"versions; run with {installed} until it does (module tenant_control_plane_info says what it lacks)",
        )
    old = _too_old(tenant.version, observed.nodes)
    if old:
        raise _refusal(tenant, f" {tenant.version} cannot follow {installed} while workers are too old for it: {old}; upgrade them first")


def _refusal(tenant: TenantControlPlane, text: str) -> HostedKubernetesError:
    return HostedKubernetesError(f"TenantControlPlane {tenant.key}: spec.kubernetes.version{text}")


def _too_old(version: str, nodes: Mapping[str, str]) -> str:
    """The nodes whose kubelet is too many minors behind, by name; newer ones are no reason to stay behind."""
    found = [f"{name} ({kubelet})" for name, kubelet in sorted(nodes.items()) if _is_too_old(version, kubelet)]
    more = f" and {len(found) - _NAMED_NODES} more" if len(found) > _NAMED_NODES else ""
    return ", ".join(found[:_NAMED_NODES]) + more


def _is_too_old(version: str, kubelet: str) -> bool:
    try:
        return _minor(kubelet) < _minor(version) and versions.kubelet_problem(version, kubelet) is not None
    except InvalidError:
        return False  # a virtual node with a numbering of its own


def _minor(version: str) -> tuple[int, int]:
    parsed = versions.parse_version(version)
    return parsed.major, parsed.minor


def _runs(tenant: TenantControlPlane, observed: Observed) -> bool:
    """Whether the Deployment has the wanted version already."""
    deployment = observed.find("Deployment", tenant.name)
    containers = deployment["spec"]["template"]["spec"]["containers"] if deployment else []
    tag = f":{versions.image_tag(tenant.version)}{tenant.deployment.tag_suffix}"
    return any(item["name"] == common.API_SERVER and item["image"].endswith(tag) for item in containers)
