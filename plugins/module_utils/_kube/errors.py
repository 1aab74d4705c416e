# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong between us and an API server; one class per remedy. Every message names server, request and cure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json

_MAX_TEXT: Final = 512
"""Characters of an answer that is no Kubernetes Status (a proxy's page) which a message may carry."""

_NO_SUCH_FIELD: Final = "failed to create typed patch object"
"""Server-side apply answers with 500 when a field is unknown or of the wrong type; it is the object's fault all the same."""


class ConnectionSettingsError(HostedKubernetesError):
    """The connection options contradict each other or name something unusable; no connection was tried."""


class UnreachableError(HostedKubernetesError):
    """No answer: refused, timed out, name unknown, or the connection broke before the answer was complete."""


class TlsError(HostedKubernetesError):
    """The server's certificate was not accepted, or the server did not accept ours."""


class ExpiredCredentialError(HostedKubernetesError):
    """Our own client certificate has ended."""


class ApiError(HostedKubernetesError):
    """The API server answered with an error.

    status: HTTP status, also of errors inside a watch; reason and details: of the Kubernetes Status ("" and {} without one);
    message: the server's own text. method and path: of the request.
    """

    def __init__(self, server: str, method: str, path: str, status: Json, *, hint: str = "") -> None:
        self.status: int = status.get("code", 0)
        self.reason: str = status.get("reason", "")
        self.message: str = status.get("message", "")
        self.details: Json = status.get("details") or {}
        self.method = method
        self.path = path
        text = f"{server}: {method} {path}: {self.status} {self.reason}".rstrip() + f": {self.message}"
        super().__init__(f"{text}; {hint}" if hint else text, status=self.status, reason=self.reason)


class NotFoundError(ApiError):
    """404: no such object, namespace or kind."""


class ConflictError(ApiError):
    """409: another writer was faster, a precondition failed, or (server-side apply) other managers own fields."""

    @property
    def managers(self) -> frozenset[str]:
        """Who owns the fields; empty when the conflict is not one of server-side apply."""
        causes = self.details.get("causes") or []
        return frozenset(_manager(cause) for cause in causes if cause.get("reason") == "FieldManagerConflict")


class AlreadyExistsError(ConflictError):
    """409 on a create: the object is already there."""


class InvalidObjectError(ApiError):
    """400 or 422: the server refuses the object; the message names the field."""


class UnauthorizedError(ApiError):
    """401: the server does not know who we are."""


class ForbiddenError(ApiError):
    """403: the server knows us and does not allow it."""


class GoneError(ApiError):
    """410: a resourceVersion or continue token is too old; list again."""


_BY_REASON: Final[Mapping[str, type[ApiError]]] = {"AlreadyExists": AlreadyExistsError, "Expired": GoneError}
_BY_STATUS: Final[Mapping[int, type[ApiError]]] = {
    400: InvalidObjectError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    422: InvalidObjectError,
}


def status_of(code: int, body: bytes) -> Json:
    """Return the Kubernetes Status in an answer; one made from its text when the body is something else."""
    try:
        status = json.loads(body)
    except ValueError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return {**status, "code": status.get("code") or code}
    text = " ".join(body.decode(errors="replace").split())
    return {"code": code, "message": text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"}


def api_error(server: str, method: str, path: str, status: Json, *, hint: str = "") -> ApiError:
    """Return the error of the class that fits a Status."""
    if status.get("code") == 500 and _NO_SUCH_FIELD in status.get("message", ""):
        status = {**status, "code": 422, "reason": "Invalid"}
    kind = _BY_REASON.get(status.get("reason", "")) or _BY_STATUS.get(status.get("code", 0), ApiError)
    if kind is ConflictError and not hint:
        hint = _conflict_hint(status)
    return kind(server, method, path, status, hint=hint)


def _conflict_hint(status: Json) -> str:
    """Which fields other managers own, when server-side apply refused to take them over."""
    causes = (status.get("details") or {}).get("causes") or []
    return "; ".join(_conflict(cause) for cause in causes if cause.get("reason") == "FieldManagerConflict")


def _conflict(cause: Json) -> str:
    return f"field {cause.get('field', '')} belongs to manager {_manager(cause)}"


def _manager(cause: Json) -> str:
    found = re.search(r'conflict with "([^"]*)"', str(cause.get("message", "")))
    return found.group(1) if found else "unknown"
