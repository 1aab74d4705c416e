# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of modules that work inside a tenant cluster (documented in plugins/doc_fragments/tenant_cluster.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import (
    MANAGEMENT_CLUSTER,
    ArgumentSpec,
    connection_options,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError

if TYPE_CHECKING:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.workers import TenantSource

TENANT_CLUSTER = MANAGEMENT_CLUSTER.merge(
    ArgumentSpec(
        options={
            "tenant": {"type": "str"},
            "namespace": {"type": "str", "default": "default"},
            "tenant_kubeconfig": {"type": "path"},
        }
    )
)


def tenant_source(params: Mapping[str, Any]) -> TenantSource:
    """Return which tenant a module's options name. Raises InvalidError when they name none."""
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions
    from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.workers import TenantSource

    if not params["tenant"] and not params["tenant_kubeconfig"]:
        raise InvalidError("no tenant cluster given: set tenant (its name in the management cluster), or tenant_kubeconfig")
    return TenantSource(
        name=params["tenant"] or "",
        namespace=params["namespace"] or "default",
        kubeconfig=params["tenant_kubeconfig"] or None,
        management=ConnectionOptions(**connection_options(params)),
    )
