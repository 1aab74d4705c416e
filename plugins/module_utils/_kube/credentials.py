# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the Authorization header comes from: a fixed token, a token file that is rotated, a credential plugin."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.kubeconfig import KubeconfigContext
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ConnectionSettingsError


class Token:
    """A bearer token that does not change."""

    def __init__(self, token: str) -> None:
        self._token = token

    def header(self) -> str:
        return f"Bearer {self._token}"

    def renew(self) -> bool:
        return False


class TokenFile:
    """A bearer token in a file that something else keeps fresh, as a pod's ServiceAccount token."""

    def __init__(self, path: Path, origin: str) -> None:
        self._path = path
        self._origin = origin
        self._token = self._read()

    def header(self) -> str:
        return f"Bearer {self._token}"

    def renew(self) -> bool:
        before, self._token = self._token, self._read()
        return before != self._token

    def _read(self) -> str:
        try:
            token = self._path.read_text(encoding="utf-8").strip()
        except OSError as exc:
            raise ConnectionSettingsError(f"{self._origin}: token file {self._path} cannot be read: {exc.strerror}") from exc
        if not token:
            raise ConnectionSettingsError(f"{self._origin}: token file {self._path} is empty")
        return token


class Plugin:
    """A client-go credential plugin (user.exec of a kubeconfig), run by the kubernetes library.

    Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
    certificate and key are PEM when the plugin gives a client certificate instead of a token.
    """

    def __init__(self, context: KubeconfigContext, directory: Path, origin: str) -> None:
        self._context = context
        self._directory = directory
        self._origin = origin
        self._lock = threading.Lock()
        self._status = self._run()

    @property
    def certificate(self) -> bytes | None:
        return self._data("clientCertificateData")

    @property
    def key(self) -> bytes | None:
        return self._data("clientKeyData")

    @property
    def gives_token(self) -> bool:
        return bool(self._status.get("token"))

    def header(self) -> str:
        return f"Bearer {self._status['token']}"

    def renew(self) -> bool:
        with self._lock:
            before, self._status = self._status, self._run()
        return before.get("token") != self._status.get("token")

    def _data(self, name: str) -> bytes | None:
        value = self._status.get(name)
        return value.encode() if value else None

    def _run(self) -> Json:
        # The library takes 0.4 CPU-seconds to import and is needed for this only.
        from kubernetes.config.config_exception import ConfigException
        from kubernetes.config.exec_provider import ExecProvider
        from kubernetes.config.kube_config import ConfigNode

        node: Any = ConfigNode
        provider: Any = ExecProvider
        settings, command = self._context.user["exec"], self._context.user["exec"].get("command")
        try:
            status = provider(node("user.exec", settings), str(self._directory), node("cluster", self._context.cluster)).run()
        except (ConfigException, OSError) as exc:
            raise ConnectionSettingsError(f"{self._origin}: credential plugin {command} failed: {exc}") from exc
        if not isinstance(status, dict) or not (status.get("token") or status.get("clientCertificateData")):
            raise ConnectionSettingsError(f"{self._origin}: credential plugin {command} gave neither a token nor a client certificate")
        return status


def embedded_or_file(context: KubeconfigContext, section: Json, name: str, directory: Path | None, origin: str) -> bytes | None:
    """Return what a kubeconfig field gives as "NAME-data" or as the file NAME, relative to directory; None when absent.

    directory None: files may not be named, because the kubeconfig does not come from this host's operator.
    """
    data = context.embedded(section, f"{name}-data")
    if data is not None or not section.get(name):
        return data
    if directory is None:
        raise ConnectionSettingsError(f"{origin}: {name} names a file; only embedded data is accepted here")
    path = directory / os.path.expanduser(section[name])
    return read_file(path, f"{origin}: {name}")


def read_file(path: Path, what: str) -> bytes:
    """Return the content of a file. Raises ConnectionSettingsError naming what it was for."""
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConnectionSettingsError(f"{what} {path} cannot be read: {exc.strerror}") from exc
