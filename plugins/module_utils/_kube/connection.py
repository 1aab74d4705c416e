# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which server, as whom: deciding it without surprises, then connecting.

Two rules keep two clusters in one job apart. An explicit kubeconfig or host switches every environment variable off for
that call; and a tenant's connection is made from a kubeconfig in memory, which may name neither files nor programs.
There is no fall back to ~/.kube/config or to a pod's service account, and no way to switch verification off.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.addresses import host_port
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.kubeconfig import KubeconfigContext, read_context
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.credentials import (
    Plugin,
    Token,
    TokenFile,
    embedded_or_file,
    read_file,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ConnectionSettingsError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.transport import Access, Credentials

# Names as AWX's Kubernetes credential and kubernetes.core use them.
_VARIABLES: Final[Mapping[str, str]] = {
    "kubeconfig": "K8S_AUTH_KUBECONFIG",
    "context": "K8S_AUTH_CONTEXT",
    "host": "K8S_AUTH_HOST",
    "api_key": "K8S_AUTH_API_KEY",
    "ca_cert": "K8S_AUTH_SSL_CA_CERT",
    "client_cert": "K8S_AUTH_CERT_FILE",
    "client_key": "K8S_AUTH_KEY_FILE",
    "proxy": "K8S_AUTH_PROXY",
    "tls_server_name": "K8S_AUTH_TLS_SERVER_NAME",
}
# Leaving these out silently would act with other rights than meant.
_NOT_SUPPORTED: Final = ("K8S_AUTH_IMPERSONATE_USER", "K8S_AUTH_IMPERSONATE_GROUPS", "K8S_AUTH_USERNAME", "K8S_AUTH_PASSWORD")
SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_VERIFY: Final = "K8S_AUTH_VERIFY_SSL"
_FALSE: Final = frozenset({"0", "f", "false", "n", "no", "off"})
_HOST_ONLY: Final = ("api_key", "ca_cert", "client_cert", "client_key", "proxy", "tls_server_name")


@dataclass(frozen=True)
class ConnectionOptions:
    """The connection options of a module; None and "" mean unset. Paths are those of this host."""

    kubeconfig: str | None = None
    context: str | None = None
    host: str | None = None
    api_key: str | None = field(default=None, repr=False)
    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    proxy: str | None = field(default=None, repr=False)
    tls_server_name: str | None = None

    def given(self) -> list[str]:
        """Names of the options that are set."""
        return [item.name for item in fields(self) if getattr(self, item.name)]


@dataclass(frozen=True)
class Resolved:
    """What to connect with: options that fit together, with kubeconfig or host set; from the environment or not."""

    options: ConnectionOptions
    from_environment: bool
    note: str = ""


def resolve(options: ConnectionOptions, environ: Mapping[str, str]) -> Resolved:
    """Decide what to connect with. Pure; raises ConnectionSettingsError for contradictions and when nothing is given."""
    if options.kubeconfig or options.host:
        _check(options, {name: name for name in _VARIABLES})
        return Resolved(options, from_environment=False)
    stray = [name for name in options.given() if name != "context"]
    if stray:
        raise ConnectionSettingsError(
            f"option {stray[0]} needs host beside it: connection options are not completed from the environment; "
            "give host (or kubeconfig) too, or leave all of them to the environment"
        )
    found = ConnectionOptions(**{name: environ.get(variable) or None for name, variable in _VARIABLES.items()})
    found = replace(found, context=options.context or found.context)
    if not (found.kubeconfig or found.host):
        raise ConnectionSettingsError(
            "no management cluster given: set the option kubeconfig (or host), or the environment variable K8S_AUTH_KUBECONFIG "
            "(or K8S_AUTH_HOST); ~/.kube/config and a pod's service account are never used silently"
        )
    foreign = [name for name in _NOT_SUPPORTED if environ.get(name)]
    if foreign:
        raise ConnectionSettingsError(f"environment variable {foreign[0]} is not supported; use a kubeconfig that says so instead")
    _check(found, {**_VARIABLES, **({"context": "context"} if options.context else {})})
    return Resolved(found, from_environment=True, note=_verify_note(environ))


def connect(options: ConnectionOptions, environ: Mapping[str, str] | None = None) -> Client:
    """Return a client for the management cluster; nothing is sent yet. environ: os.environ by default.

    Raises ConnectionSettingsError, also for files that cannot be read and credential plugins that fail.
    """
    resolved = resolve(options, os.environ if environ is None else environ)
    if resolved.options.kubeconfig:
        return Client(_access_from_file(resolved))
    return Client(_access_from_host(resolved))


def connect_in_cluster(environ: Mapping[str, str] | None = None) -> Client:
    """Return a client for the cluster that this pod runs in, as its service account; only for who says that it runs in a pod.

    Source: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/. Raises ConnectionSettingsError outside of a pod.
    """
    environ = os.environ if environ is None else environ
    origin, directory = "service account of this pod", Path(SERVICE_ACCOUNT)
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise ConnectionSettingsError(f"{origin}: KUBERNETES_SERVICE_HOST and _PORT are not set, so this is no pod; give a kubeconfig")
    ca = read_file(directory / "ca.crt", f"{origin}: CA certificate")
    return Client(Access(f"https://{host_port(host, int(port))}", origin, ca=ca, credentials=TokenFile(directory / "token", origin)))


def client_from_kubeconfig(
    data: bytes, *, server: str | None = None, tls_server_name: str | None = None, resolve_to: tuple[str, int] | None = None
) -> Client:
    """Return a client from a kubeconfig in memory, such as a tenant's; no environment variable and no file is read.

    server: URL to use instead of the kubeconfig's. resolve_to: address and port to connect to, such as a port-forward's,
    while TLS checks the name in the URL (or tls_server_name).
    """
    origin = "kubeconfig in memory"
    access = _access(_read(data, None, origin), None, origin)
    return Client(
        replace(
            access,
            server=server or access.server,
            tls_server_name=tls_server_name or access.tls_server_name,
            resolve_to=resolve_to,
        )
    )


def _check(options: ConnectionOptions, names: Mapping[str, str]) -> None:
    """Refuse options that contradict each other; names: how the user calls them."""
    if options.kubeconfig and options.host:
        raise ConnectionSettingsError(f"{names['kubeconfig']} and {names['host']} are both set; they exclude each other: unset one")
    mixed = [name for name in _HOST_ONLY if getattr(options, name)]
    if options.kubeconfig and mixed:
        raise ConnectionSettingsError(
            f"{names[mixed[0]]} does not go with {names['kubeconfig']}, which carries it itself; unset one of them"
        )
    if options.host and options.context:
        raise ConnectionSettingsError(f"{names['context']} does not go with {names['host']}; it chooses a context of a kubeconfig")
    if bool(options.client_cert) != bool(options.client_key):
        raise ConnectionSettingsError(f"{names['client_cert']} and {names['client_key']} belong together; set both or none")
    if options.api_key and options.client_cert:
        raise ConnectionSettingsError(f"{names['api_key']} and {names['client_cert']} are both set; they exclude each other: unset one")
    if options.host and not (options.api_key or options.client_cert):
        raise ConnectionSettingsError(f"{names['host']} needs credentials: set {names['api_key']}, or {names['client_cert']} and its key")


def _verify_note(environ: Mapping[str, str]) -> str:
    if environ.get(_VERIFY, "").strip().lower() not in _FALSE:
        return ""
    return (
        f"{_VERIFY} asks for no verification and is not followed; in AWX give the cluster's CA certificate in the Kubernetes credential "
        "and switch Verify SSL on"
    )


def _access_from_file(resolved: Resolved) -> Access:
    path = Path(os.path.expanduser(resolved.options.kubeconfig or ""))
    origin = f"{_VARIABLES['kubeconfig']}={path}" if resolved.from_environment else f"kubeconfig {path}"
    context = _read(read_file(path, "kubeconfig"), resolved.options.context, origin)
    return replace(_access(context, path.absolute().parent, origin), note=resolved.note)


def _access_from_host(resolved: Resolved) -> Access:
    options = resolved.options
    origin = f"environment variable {_VARIABLES['host']}" if resolved.from_environment else "option host"
    return Access(
        server=(options.host or "").rstrip("/"),
        origin=origin,
        ca=_optional_file(options.ca_cert, f"{origin}: CA certificate"),
        client_certificate=_optional_file(options.client_cert, f"{origin}: client certificate"),
        client_key=_optional_file(options.client_key, f"{origin}: client key"),
        credentials=Token(_plain(options.api_key, origin)) if options.api_key else None,
        proxy=options.proxy or None,
        tls_server_name=options.tls_server_name or None,
        note=resolved.note,
    )


def _optional_file(path: str | None, what: str) -> bytes | None:
    return read_file(Path(os.path.expanduser(path)), what) if path else None


def _read(data: bytes, context: str | None, origin: str) -> KubeconfigContext:
    try:
        return read_context(data, context)
    except HostedKubernetesError as exc:
        raise ConnectionSettingsError(f"{origin}: {exc.msg}") from exc


def _access(context: KubeconfigContext, directory: Path | None, origin: str) -> Access:
    """The access a kubeconfig's context describes. directory None: no files, no programs (see embedded_or_file)."""
    cluster, user = context.cluster, context.user
    if cluster.get("insecure-skip-tls-verify"):
        raise ConnectionSettingsError(
            f"{origin}: cluster entry has insecure-skip-tls-verify; give certificate-authority-data instead, verification is never off"
        )
    try:
        server = context.server.rstrip("/")
        ca = embedded_or_file(context, cluster, "certificate-authority", directory, origin)
        certificate = embedded_or_file(context, user, "client-certificate", directory, origin)
        key = embedded_or_file(context, user, "client-key", directory, origin)
        credentials = _credentials(context, directory, origin)
    except ConnectionSettingsError:
        raise
    except HostedKubernetesError as exc:
        raise ConnectionSettingsError(f"{origin}: {exc.msg}") from exc
    if isinstance(credentials, Plugin) and not credentials.gives_token:
        certificate, key, credentials = credentials.certificate, credentials.key, None
    if bool(certificate) != bool(key):
        raise ConnectionSettingsError(f"{origin}: the user entry has only one of client-certificate and client-key")
    return Access(
        server=server,
        origin=origin,
        ca=ca,
        client_certificate=certificate,
        client_key=key,
        credentials=credentials,
        headers=_impersonation(user, origin),
        proxy=cluster.get("proxy-url") or None,
        tls_server_name=cluster.get("tls-server-name") or None,
    )


def _credentials(context: KubeconfigContext, directory: Path | None, origin: str) -> Credentials | None:
    user = context.user
    if user.get("auth-provider") or user.get("username"):
        raise ConnectionSettingsError(f"{origin}: auth-provider and username are no longer part of Kubernetes; use a token or exec")
    if directory is None and (user.get("exec") or user.get("tokenFile")):
        raise ConnectionSettingsError(f"{origin}: the user entry names a file or program; only embedded data is accepted here")
    if user.get("tokenFile"):
        return TokenFile((directory or Path()) / os.path.expanduser(user["tokenFile"]), origin)
    if user.get("token"):
        return Token(_plain(user["token"], origin))
    if user.get("exec"):
        return Plugin(context, directory or Path(), origin)
    return None


def _plain(token: str, origin: str) -> str:
    """A token as it can be sent. Raises ConnectionSettingsError, without quoting it, when it holds spaces or line ends."""
    text = token.strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ConnectionSettingsError(f"{origin}: the token holds characters that no token has; was it copied completely?")
    return text


def _impersonation(user: Json, origin: str) -> tuple[tuple[str, str], ...]:
    """Headers of the kubeconfig's as and as-groups."""
    if user.get("as-user-extra") or user.get("as-uid"):
        raise ConnectionSettingsError(f"{origin}: as-uid and as-user-extra are not supported; use as and as-groups")
    headers = [("Impersonate-User", str(user["as"]))] if user.get("as") else []
    headers += [("Impersonate-Group", str(group)) for group in user.get("as-groups") or []]
    return tuple(headers)
