# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubeconfigs with a client certificate, byte for byte in the form kubeadm writes."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timedelta
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import LeafRequest, check_leaf
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import KeyPair, PkiError

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

    Raises PkiError when data is no kubeconfig, or one that names files or tokens instead of embedded certificates.
    """
    document = _parsed(data)
    context = _named(document, "contexts", "context", document.get("current-context"))
    cluster = _named(document, "clusters", "cluster", context.get("cluster"))
    user = _named(document, "users", "user", context.get("user"))
    server = cluster.get("server")
    if not isinstance(server, str) or not server:
        raise PkiError("the kubeconfig names no server")
    pair = KeyPair(
        certificate=_decoded(user, "client-certificate-data"),
        key=_decoded(user, "client-key-data"),
    )
    return server, _decoded(cluster, "certificate-authority-data"), pair


def check_kubeconfig(
    data: bytes,
    request: LeafRequest,
    *,
    server: str,
    ca_certificate: bytes,
    now: datetime,
    renew_before: timedelta,
) -> str | None:
    """Return why the kubeconfig must be written again, None when it may stay. See check_leaf for the certificate."""
    try:
        found_server, found_ca, pair = read_kubeconfig_client(data)
    except PkiError as exc:
        return exc.msg
    if found_server != server:
        return f"server is {found_server}, not {server}"
    if found_ca.strip() != ca_certificate.strip():
        return "the CA certificate it trusts is not the present one"
    return check_leaf(pair, request, ca_certificate=ca_certificate, now=now, renew_before=renew_before)


def _parsed(data: bytes) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        document = yaml.load(data, Loader=loader)
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        # The parser's message quotes the text, which holds a private key.
        raise PkiError("the kubeconfig is not YAML") from exc
    if not isinstance(document, dict):
        raise PkiError("the kubeconfig is not a YAML mapping")
    return document


def _named(document: dict[str, Any], section: str, member: str, name: Any) -> dict[str, Any]:
    """Return the member of the entry called name in a section of the kubeconfig."""
    entries = document.get(section)
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(member), dict):
            found: dict[str, Any] = entry[member]
            return found
    raise PkiError(f"the kubeconfig has no {member} {name!r} in {section}")


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(section: dict[str, Any], field: str) -> bytes:
    value = section.get(field)
    if not isinstance(value, str) or not value:
        raise PkiError(f"the kubeconfig has no {field}")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise PkiError(f"the kubeconfig's {field} is not base64") from exc
