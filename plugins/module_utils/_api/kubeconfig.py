# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a kubeconfig: which server, which CA, which user. Bytes in, plain values out; no file is opened here.

Source of the fields: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json

try:
    import yaml
except ImportError:  # ansible-test imports every file without it; a module's adapter gives the message
    yaml = None  # type: ignore[assignment]


class KubeconfigError(HostedKubernetesError):
    """A kubeconfig cannot be read; the message never quotes it, because it holds credentials."""


@dataclass(frozen=True)
class KubeconfigContext:
    """One context: its name, and the cluster and user entries it points to (field names as in the file)."""

    name: str
    cluster: Json
    user: Json = field(repr=False)

    @property
    def server(self) -> str:
        """URL of the API server. Raises KubeconfigError when the cluster names none."""
        server = self.cluster.get("server")
        if not isinstance(server, str) or not server:
            raise KubeconfigError("the kubeconfig names no server")
        return server

    def embedded(self, section: Json, name: str) -> bytes | None:
        """Return the decoded value of a "…-data" field of cluster or user, None when absent. Raises KubeconfigError."""
        value = section.get(name)
        if not value:
            return None
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError, TypeError) as exc:
            raise KubeconfigError(f"the kubeconfig's {name} is not base64") from exc


def read_context(data: bytes, context: str | None = None) -> KubeconfigContext:
    """Return a context of a kubeconfig (YAML or JSON), the current one by default. Raises KubeconfigError."""
    document = _parsed(data)
    name = context or document.get("current-context")
    if not name:
        raise KubeconfigError("the kubeconfig has no current-context; name the context to use")
    entry = _named(document, "contexts", "context", name)
    cluster = _named(document, "clusters", "cluster", entry.get("cluster"))
    user = _named(document, "users", "user", entry["user"]) if entry.get("user") else {}
    return KubeconfigContext(name=str(name), cluster=cluster, user=user)


def _parsed(data: bytes) -> Json:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        document = yaml.load(data, Loader=loader)
    except (yaml.YAMLError, UnicodeDecodeError):
        # The parser's own message quotes the text, which holds a private key: not even as a chained cause.
        raise KubeconfigError("the kubeconfig is not YAML") from None
    if not isinstance(document, dict):
        raise KubeconfigError("the kubeconfig is not a YAML mapping")
    return document


def _named(document: Json, section: str, member: str, name: Any) -> Json:
    """Return the member of the entry called name in a section of the kubeconfig."""
    entries = document.get(section)
    known = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    for entry in known:
        if entry.get("name") == name and isinstance(entry.get(member), dict):
            found: Json = entry[member]
            return found
    names = ", ".join(str(entry.get("name")) for entry in known) or "none"
    raise KubeconfigError(f"the kubeconfig has no {member} {name!r} in {section} (there: {names})")
