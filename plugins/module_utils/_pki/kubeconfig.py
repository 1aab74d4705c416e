# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubeconfigs with a client certificate, byte for byte in the form kubeadm writes."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.kubeconfig import KubeconfigContext, KubeconfigError, read_context
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import LeafRequest, check_leaf, check_trust
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import KeyPair

try:
    import yaml
except ImportError:  # the module's adapter gives the message; see library.py
    yaml = None  # type: ignore[assignment]


def kubeconfig(*, server: str, ca_certificate: bytes, client: KeyPair, user: str, cluster: str) -> bytes:
    """Return a kubeconfig (YAML) with one cluster, one user and the context user@cluster as the current one.

    server: URL of the API server; ca_certificate: PEM of the CAs to trust; client: certificate and key of the user.
    """
    context = f"{user}@{cluster}"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"certificate-authority-data": _encoded(ca_certificate), "server": server}}],
        "contexts": [{"name": context, "context": {"cluster": cluster, "user": user}}],
        "current-context": context,
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _encoded(client.certificate),
                    "client-key-data": _encoded(client.key),
                },
            }
        ],
    }
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(document, Dumper=dumper, width=1 << 30, default_flow_style=False, sort_keys=True)
    return text.encode()


def read_kubeconfig_client(data: bytes) -> tuple[str, bytes, KeyPair]:
    """Return server URL, CA PEM and client pair of the current context.

    Raises KubeconfigError when data is no kubeconfig, or one that names files or tokens instead of embedded certificates.
    """
    context = read_context(data)
    pair = KeyPair(
        certificate=_embedded(context, context.user, "client-certificate-data"),
        key=_embedded(context, context.user, "client-key-data"),
    )
    return context.server, _embedded(context, context.cluster, "certificate-authority-data"), pair


def check_kubeconfig(
    data: bytes,
    request: LeafRequest | None,
    *,
    server: str | None,
    ca_certificate: bytes,
    now: datetime,
    renew_before: timedelta,
) -> str | None:
    """Return why the kubeconfig must be written again, None when it may stay. See check_leaf for the certificate.

    request, server: None when any user, any server will do.
    """
    try:
        found_server, found_ca, pair = read_kubeconfig_client(data)
    except KubeconfigError as exc:
        return exc.msg
    if server is not None and found_server != server:
        return f"server is {found_server}, not {server}"
    if found_ca.strip() != ca_certificate.strip():
        return "the CA certificate it trusts is not the present one"
    if request is None:
        return check_trust(pair, ca_certificate=ca_certificate, now=now, renew_before=renew_before)
    return check_leaf(pair, request, ca_certificate=ca_certificate, now=now, renew_before=renew_before)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _embedded(context: KubeconfigContext, section: Json, name: str) -> bytes:
    value = context.embedded(section, name)
    if value is None:
        raise KubeconfigError(f"the kubeconfig has no {name}")
    return value
