# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until running API servers present a new certificate.

They read the file again by themselves, but the kubelet brings it to them with its next look at the pod, which may be a minute away.
A changed annotation makes it look at once.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import pod_ready
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import NotFoundError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.portforward import PortForward
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secrets import Data, checksum

_PAUSE_S: Final = 0.2
_CONNECT_S: Final = 5.0


def wait_served(client: Client, tenant: TenantControlPlane, pods: Iterable[Json], serving: Data, authority: bytes, deadline: float) -> None:
    """Wait until each ready pod presents the certificate of the Secret `serving`. authority: PEM of who signed it.

    Raises HostedKubernetesError at the deadline (monotonic clock), naming the pod.
    """
    ready = [pod["metadata"]["name"] for pod in pods if pod_ready(pod)]
    for name in ready:
        _look(client, tenant, name, checksum(serving))
    wanted = ssl.PEM_cert_to_DER_cert(serving["apiserver.crt"].decode())
    for name in ready:
        with PortForward(client, tenant.namespace, name, tenant.network.port) as forward:
            while presented(forward.address, tenant.service_host, authority) != wanted:
                if time.monotonic() > deadline:
                    raise HostedKubernetesError(
                        f"TenantControlPlane {tenant.key}: pod {name} does not present its new certificate (Secret "
                        f"{tenant.secret_name(names.API_SERVER)}) in time; look at the kubelet of its node, or delete the pod"
                    )
                time.sleep(_PAUSE_S)


def presented(address: tuple[str, int], name: str, authority: bytes) -> bytes | None:
    """The certificate (DER) that a server presents for a name; None when it does not answer or shows one of another authority."""
    context = ssl.create_default_context(cadata=authority.decode())
    # As Go's clients: an intermediate authority may be the one to trust.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        with socket.create_connection(address, timeout=_CONNECT_S) as plain, context.wrap_socket(plain, server_hostname=name) as tls:
            return tls.getpeercert(binary_form=True)
    except OSError:
        return None


def _look(client: Client, tenant: TenantControlPlane, name: str, note: str) -> None:
    pod = ObjectRef("v1", "Pod", tenant.namespace, name)
    try:
        client.merge_patch(pod, {"metadata": {"annotations": {names.ANNOTATION_SERVING: note}}})
    except NotFoundError:
        return  # it has gone meanwhile
