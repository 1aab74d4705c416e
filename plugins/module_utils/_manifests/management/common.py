# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all objects of a tenant in the management cluster share."""

from __future__ import annotations

from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import KIND, Metadata, TenantControlPlane

API_SERVER: Final = "kube-apiserver"
SCHEDULER: Final = "kube-scheduler"
CONTROLLER_MANAGER: Final = "kube-controller-manager"
KONNECTIVITY: Final = "konnectivity-server"
KINE: Final = "kine"


def metadata(tenant: TenantControlPlane, name: str, component: str, uid: str, additional: Metadata | None = None) -> Json:
    """Metadata of an object the tenant owns; what the user adds never replaces our own labels."""
    result: Json = {
        "name": name,
        "namespace": tenant.namespace,
        "labels": {**(additional.labels if additional else {}), **names.labels(tenant.name, component)},
        "ownerReferences": [owner_reference(tenant, uid)],
    }
    if additional and additional.annotations:
        result["annotations"] = dict(additional.annotations)
    return result


def owner_reference(tenant: TenantControlPlane, uid: str) -> Json:
    """The controller owner of every child, which goes with it; Cluster API's provider reads the first one's kind (kamaji.md §9)."""
    return {
        "apiVersion": KAMAJI_API_VERSION,
        "kind": KIND,
        "name": tenant.name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def selector(tenant: TenantControlPlane) -> dict[str, str]:
    """Labels that pick the tenant's control-plane pods, of every generation."""
    return {names.LABEL_NAME: tenant.name}
