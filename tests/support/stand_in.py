# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API server that stands in for those of tenants, where nothing runs their pods."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer, prepare, running_prepared
from ansible_collections.hosted.kubernetes.tests.support.etcd import running_etcd
from ansible_collections.hosted.kubernetes.tests.support.tenants import Tenant


@contextmanager
def standing_in(bundle: Path, folder: Path, *tenants: Tenant) -> Iterator[ApiServer]:
    """Run an API server that the management cluster takes for that of each of these tenants, which sleep."""
    hosts = [f"{tenant.name}.{tenant.namespace}.svc" for tenant in tenants]
    with running_etcd(bundle, folder) as etcd:
        server = prepare(folder, etcd)
        serving = server.authority.server("tenants", (*hosts, *(f"{host}.cluster.local" for host in hosts)))
        with running_prepared(bundle, folder, server, extra_flags=(f"--tls-sni-cert-key={serving.certificate},{serving.key}",)):
            for tenant in tenants:
                pretend(server, tenant)
            yield server


def pretend(server: ApiServer, tenant: Tenant) -> None:
    """Let the management cluster take this API server for that of a tenant."""
    tenant.patch("TenantControlPlane", {"spec": {"controlPlane": {"deployment": {"replicas": 1}}}})
    endpoint = {"status": {"controlPlaneEndpoint": f"{server.host}:{server.port}"}}
    tenant.patch("TenantControlPlane", endpoint, subresource="status")
    admin = base64.b64encode(server.kubeconfig.read_bytes()).decode()
    tenant.patch("Secret", {"data": {"admin.conf": admin}}, f"{tenant.name}-admin-kubeconfig")
