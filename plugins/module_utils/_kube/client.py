# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client for one API server: raw JSON in and out, kept connections, counted calls, errors with a remedy.

Objects are plain dicts with apiVersion and kind always set. Retried are requests that may be sent twice (reads and
server-side apply) when a kept connection turns out to be closed or the server has a passing fault (5xx), and any request
the server turns away unprocessed (429, or 5xx with Retry-After). Every call is in `calls`, retries included.
"""

from __future__ import annotations

import http.client
import json
import logging
import math
import random
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.names import FIELD_MANAGER
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, Resource, find_resource
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import (
    ExpiredCredentialError,
    GoneError,
    NotFoundError,
    TlsError,
    UnreachableError,
    api_error,
    status_of,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.transport import (
    Access,
    Headers,
    HttpConnection,
    Transport,
    stream_lines,
)

PAGE_SIZE: Final = 500
_KEPT_CONNECTIONS: Final = 16
_KEPT_CALLS: Final = 10_000
_ATTEMPTS: Final = 5
_FIRST_DELAY_S: Final = 0.1
_MERGE_PATCH: Final = "application/merge-patch+json"
_APPLY_PATCH: Final = "application/apply-patch+yaml"  # JSON is YAML
_METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

_log = logging.getLogger("hosted_kubernetes.kube")


@dataclass(frozen=True)
class Call:
    """One HTTP exchange. path with its query; status 0 when no answer came; ms until the end of the answer (a watch: its start)."""

    method: str
    path: str
    status: int
    ms: float


@dataclass(frozen=True)
class ListResult:
    """All objects of a list, and the resourceVersion from which a watch goes on."""

    items: list[Json]
    resource_version: str


@dataclass(frozen=True)
class Event:
    """One event of a watch: ADDED, MODIFIED, DELETED with the object, BOOKMARK with its resourceVersion only."""

    type: str
    object: Json


@dataclass
class _Exchange:
    """A request on its way."""

    method: str
    path: str
    body: bytes | None
    headers: Headers
    timeout_s: float
    may_repeat: bool
    attempts: int = _ATTEMPTS
    renewed: bool = False


class Client:
    """One API server, as one user. Safe to use from many threads; close() ends its watches too.

    sleep: waits between retries; given by tests. listener: may be set, is told of each call, from any thread.
    """

    def __init__(self, access: Access, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.access = access
        self.transport = Transport(access, keep=_KEPT_CONNECTIONS)
        self.listener: Callable[[Call], None] = lambda _call: None
        self._sleep = sleep
        self._calls: deque[Call] = deque(maxlen=_KEPT_CALLS)
        self._discovered: dict[tuple[str, str], Resource] = {}
        self._watched: set[HttpConnection] = set()
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @property
    def calls(self) -> tuple[Call, ...]:
        """The last 10000 calls, oldest first."""
        return tuple(self._calls)

    def close(self) -> None:
        """Close all connections; a watch in another thread ends."""
        self._closed = True
        self.transport.close()
        with self._lock:
            watched = list(self._watched)
        for connection in watched:
            if connection.sock:
                # Unlike close(), this wakes a thread that is reading.
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    # Objects

    def get(self, resource: Resource, name: str, namespace: str = "", *, metadata_only: bool = False) -> Json | None:
        """Return one object; None when it, its namespace or its kind does not exist."""
        try:
            found = self.request("GET", resource.path(namespace, name), accept=_METADATA if metadata_only else None)
        except NotFoundError:
            return None
        return _typed(found, resource)

    def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        metadata_only: bool = False,
        timeout_s: float = 60,
    ) -> ListResult:
        """Return the objects of one or (namespace None or "") all namespaces, in pages of 500. Raises NotFoundError for an unknown kind.

        timeout_s: for the answer with each page.
        """
        params = {"labelSelector": label_selector, "fieldSelector": field_selector}
        accept = _METADATA_LIST if metadata_only else None
        try:
            return self._pages(resource, resource.path(namespace), {**params, "limit": PAGE_SIZE}, accept, timeout_s)
        except GoneError:
            # The pages took longer than the server keeps them; unpaged, as client-go's pager falls back to.
            return self._pages(resource, resource.path(namespace), params, accept, timeout_s)

    def create(self, obj: Json, *, field_manager: str = FIELD_MANAGER, dry_run: bool = False) -> Json:
        """Create an object (POST). Raises AlreadyExistsError."""
        resource, ref = self._located(obj)
        params = _write_params(field_manager, dry_run)
        return _typed(self.request("POST", resource.path(ref.namespace), body=obj, params=params), resource)

    def replace(self, obj: Json, *, field_manager: str = FIELD_MANAGER, dry_run: bool = False) -> Json:
        """Replace an object (PUT). With metadata.resourceVersion in it, raises ConflictError when that is not the present one."""
        resource, ref = self._located(obj)
        params = _write_params(field_manager, dry_run)
        return _typed(self.request("PUT", resource.path(ref.namespace, ref.name), body=obj, params=params), resource)

    def apply(
        self, obj: Json, *, field_manager: str = FIELD_MANAGER, force: bool, dry_run: bool = False, subresource: str | None = None
    ) -> Json:
        """Server-side apply; unknown fields are refused. Without force raises ConflictError naming managers and fields."""
        resource, ref = self._located(obj)
        params = {**_write_params(field_manager, dry_run), "force": force}
        path = resource.path(ref.namespace, ref.name, subresource)
        return _typed(self.request("PATCH", path, body=obj, params=params, content_type=_APPLY_PATCH), resource)

    def merge_patch(self, ref: ObjectRef, body: Json, *, subresource: str | None = None, field_manager: str = FIELD_MANAGER) -> Json:
        """Patch single fields (null removes one). With metadata.resourceVersion in body, raises ConflictError when it is not the present one."""
        resource = self.resource_for(ref.api_version, ref.kind)
        path = resource.path(ref.namespace, ref.name, subresource)
        found = self.request("PATCH", path, body=body, params=_write_params(field_manager, dry_run=False), content_type=_MERGE_PATCH)
        return _typed(found, resource)

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str = "Background",
        dry_run: bool = False,
    ) -> bool:
        """Delete an object; False when it, its namespace or its kind was already gone.

        Raises ConflictError when uid or resource_version are not those of the object.
        """
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        options["preconditions"] = {key: value for key, value in preconditions.items() if value}
        if dry_run:
            options["dryRun"] = ["All"]
        try:
            self.request("DELETE", resource.path(namespace, name), body=options)
        except NotFoundError:
            return False
        return True

    def watch(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        resource_version: str | None = None,
        metadata_only: bool = False,
        timeout_s: float = 300,
        silence_s: float = math.inf,
    ) -> Generator[Event]:
        """Yield events until timeout_s is over, the server ends the watch, or the client is closed.

        silence_s: for how long the server may say nothing at all; it sends a bookmark about every minute.
        Without resource_version it begins with ADDED events for what is there. Raises GoneError when resource_version is
        too old (list again), UnreachableError when the connection breaks.
        """
        params = {
            "watch": True,
            "allowWatchBookmarks": True,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "resourceVersion": resource_version,
            "timeoutSeconds": max(1, round(timeout_s)),
        }
        path = _target(self.access.prefix + resource.path(namespace), params)
        headers = self._headers(_METADATA if metadata_only else None, None)
        # The server ends the watch; that it says nothing at all beyond that means that it is gone.
        exchange = _Exchange("GET", path, None, headers, min(timeout_s + 15, silence_s), may_repeat=True)
        connection, response = self._answered(exchange)
        with self._lock:
            self._watched.add(connection)
        complete = False
        try:
            for line in self._lines(response, path):
                yield self._event(json.loads(line), resource, path)
            complete = True
        finally:
            with self._lock:
                self._watched.discard(connection)
            if complete and not response.will_close:
                self.transport.release(connection)
            else:
                connection.close()

    def resource_for(self, api_version: str, kind: str) -> Resource:
        """Return the resource of a kind: from the table of known kinds, else asked once. Raises NotFoundError."""
        known = find_resource(api_version, kind) or self._discovered.get((api_version, kind))
        if known:
            return known
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        try:
            served = self.request("GET", root).get("resources", [])
        except NotFoundError:
            served = []
        for item in served:
            if "/" not in item["name"]:
                found = Resource(api_version, item["kind"], item["name"], item["namespaced"])
                self._discovered[api_version, item["kind"]] = found
        try:
            return self._discovered[api_version, kind]
        except KeyError:
            status = {"code": 404, "reason": "NotFound", "message": f"the server knows no kind {kind} in {api_version}"}
            hint = "check apiVersion and kind, or install the CustomResourceDefinition first"
            raise NotFoundError(self.access.server, "GET", root, status, hint=hint) from None

    # Requests

    def get_raw(self, path: str, *, timeout_s: float = 30) -> str:
        """Return the text behind a path such as /readyz; one attempt. Raises ApiError with the text for 4xx and 5xx."""
        exchange = _Exchange("GET", self.access.prefix + path, None, self._headers("*/*", None), timeout_s, may_repeat=True, attempts=1)
        return self._body(exchange).decode(errors="replace")

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        accept: str | None = None,
        timeout_s: float = 30,
    ) -> Any:
        """Send one request and return the JSON of the answer. params whose value is None are left out.

        Raises ApiError and its classes, UnreachableError, TlsError, ExpiredCredentialError.
        """
        exchange = _Exchange(
            method,
            _target(self.access.prefix + path, params or {}),
            None if body is None else json.dumps(body, separators=(",", ":")).encode(),
            self._headers(accept, None if body is None else content_type),
            timeout_s,
            may_repeat=method in ("GET", "HEAD") or content_type == _APPLY_PATCH,
        )
        data = self._body(exchange)
        try:
            return json.loads(data)
        except ValueError as exc:
            raise UnreachableError(
                f"{self.access.server} ({self.access.origin}): {method} {path}: the answer is not JSON; is this a Kubernetes API server?"
            ) from exc

    def _body(self, exchange: _Exchange) -> bytes:
        connection, response = self._answered(exchange)
        data = self._read(exchange, connection, response)
        self._finished(connection, response)
        return data

    def _answered(self, exchange: _Exchange) -> tuple[HttpConnection, http.client.HTTPResponse]:
        """Send until there is a good answer, not read yet; wait between attempts. Raises the last attempt's error."""
        end = time.monotonic() + exchange.timeout_s
        attempt = 0
        while True:
            connection, response = self._sent(exchange)
            if response.status < http.client.BAD_REQUEST:
                return connection, response
            data = self._read(exchange, connection, response)
            self._finished(connection, response)
            if response.status == http.client.UNAUTHORIZED and self._renewed(exchange):
                continue
            attempt += 1
            delay_s = self._delay(exchange, response, attempt)
            if delay_s is None or time.monotonic() + delay_s > end:
                raise self._failure(exchange, status_of(response.status, data))
            self._sleep(delay_s)

    def _sent(self, exchange: _Exchange) -> tuple[HttpConnection, http.client.HTTPResponse]:
        """Send once; once more when the connection was a kept one that the server has closed meanwhile."""
        started = time.monotonic()
        connection, kept = self.transport.acquire()
        try:
            if connection.sock is None:
                connection.connect()
            connection.sock.settimeout(exchange.timeout_s)
            connection.send_request(exchange.method, exchange.path, [*exchange.headers, *self.identity_headers()], exchange.body)
            response = connection.getresponse()
        except (http.client.HTTPException, OSError) as exc:
            connection.close()
            self._record(exchange, 0, started)
            if isinstance(exc, TimeoutError):
                # Whatever swallowed this one has swallowed the others, too.
                self.transport.drop_idle()
            dropped = isinstance(exc, (http.client.RemoteDisconnected, ConnectionError, ssl.SSLEOFError))
            if kept and exchange.may_repeat and dropped:
                return self._sent(exchange)
            raise self._broken(exchange, exc) from exc
        except BaseException:
            connection.close()
            self._record(exchange, 0, started)
            raise
        self._record(exchange, response.status, started)
        return connection, response

    def _read(self, exchange: _Exchange, connection: HttpConnection, response: http.client.HTTPResponse) -> bytes:
        try:
            return response.read()
        except (http.client.HTTPException, OSError) as exc:
            connection.close()
            raise self._broken(exchange, exc) from exc

    def _finished(self, connection: HttpConnection, response: http.client.HTTPResponse) -> None:
        if response.will_close:
            connection.close()
        else:
            self.transport.release(connection)

    def _delay(self, exchange: _Exchange, response: http.client.HTTPResponse, attempt: int) -> float | None:
        """Seconds to wait before the next attempt, None when there shall be none."""
        status, turned_away = response.status, response.headers.get("Retry-After", "")
        if attempt >= exchange.attempts or not (status == http.client.TOO_MANY_REQUESTS or status >= http.client.INTERNAL_SERVER_ERROR):
            return None
        if turned_away.isdigit():
            return float(turned_away) + random.uniform(0, _FIRST_DELAY_S)
        # A server-side apply that does not fit the schema is answered with 500 as well, so that only a read repeats it.
        repeats = exchange.may_repeat and (status != http.client.INTERNAL_SERVER_ERROR or exchange.method == "GET")
        if repeats or status == http.client.TOO_MANY_REQUESTS:
            return _FIRST_DELAY_S * 2.0 ** (attempt - 1) * random.uniform(0.75, 1.25)
        return None

    def _renewed(self, exchange: _Exchange) -> bool:
        """After a 401: whether there are other credentials to try, once."""
        if exchange.renewed or not self.access.credentials or not self.access.credentials.renew():
            return False
        exchange.renewed = True
        return True

    def identity_headers(self) -> Headers:
        """The headers that say who we are, for a request that is not sent by this client."""
        credentials = self.access.credentials
        return [*self.access.headers, *([("Authorization", credentials.header())] if credentials else [])]

    def _headers(self, accept: str | None, content_type: str | None) -> Headers:
        headers = [("Accept", accept or "application/json"), ("User-Agent", FIELD_MANAGER)]
        return [*headers, ("Content-Type", content_type)] if content_type else headers

    def _failure(self, exchange: _Exchange, status: Json) -> Exception:
        hint = ""
        if status["code"] == http.client.UNAUTHORIZED:
            expired = self._expired()
            if expired:
                return expired
            hint = f"the server does not accept the credentials of {self.access.origin}; renew them"
        elif status["code"] == http.client.FORBIDDEN:
            hint = f"grant this to the user of {self.access.origin}"
        return api_error(self.access.server, exchange.method, exchange.path, status, hint=hint)

    def _broken(self, exchange: _Exchange, error: Exception) -> Exception:
        where = f"{self.access.server} ({self.access.origin}): {exchange.method} {exchange.path}"
        if isinstance(error, TimeoutError):
            return UnreachableError(f"{where}: no answer within {exchange.timeout_s:g} s")
        # With TLS 1.3 a server refuses our certificate only after the handshake, by an alert or just by closing.
        expired = self._expired()
        if expired:
            return expired
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return TlsError(f"{where}: the server broke off: {error.reason}; it may not accept our client certificate")
        return UnreachableError(f"{where}: the connection broke before the answer was complete ({error or type(error).__name__})")

    def _expired(self) -> ExpiredCredentialError | None:
        """The error for an ended client certificate; None when ours, if any, has not ended."""
        if not self.access.client_certificate:
            return None
        # Only now: cryptography is not needed where nothing fails.
        from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import not_after

        end = not_after(self.access.client_certificate)
        if end > datetime.now(UTC):
            return None
        return ExpiredCredentialError(
            f"{self.access.server} ({self.access.origin}): the client certificate ended at {end:%Y-%m-%dT%H:%M:%SZ}; get a new "
            "kubeconfig: for a tenant with the module tenant_kubeconfig, for a kubeadm cluster with 'kubeadm certs renew admin.conf'"
        )

    def _record(self, exchange: _Exchange, status: int, started: float) -> None:
        call = Call(exchange.method, exchange.path, status, (time.monotonic() - started) * 1000)
        self._calls.append(call)
        self.listener(call)
        _log.debug("%s %s %d %.1f ms", call.method, call.path, call.status, call.ms)

    # Lists and watches

    def _pages(self, resource: Resource, path: str, params: Mapping[str, Any], accept: str | None, timeout_s: float) -> ListResult:
        items: list[Json] = []
        token = None
        while True:
            page = self.request("GET", path, params={**params, "continue": token}, accept=accept, timeout_s=timeout_s)
            items += [_typed(item, resource) for item in page.get("items") or []]
            token = page["metadata"].get("continue")
            if not token:
                return ListResult(items=items, resource_version=page["metadata"].get("resourceVersion", ""))

    def _lines(self, response: http.client.HTTPResponse, path: str) -> Iterator[bytes]:
        where = f"{self.access.server} ({self.access.origin}): GET {path}"
        try:
            yield from stream_lines(response)
        except TimeoutError as exc:
            raise UnreachableError(f"{where}: the watch fell silent") from exc
        except (http.client.HTTPException, OSError, ValueError) as exc:
            if self._closed:
                return
            raise UnreachableError(f"{where}: the watch broke off ({exc or type(exc).__name__})") from exc

    def _event(self, event: Json, resource: Resource, path: str) -> Event:
        if event["type"] == "ERROR":
            raise api_error(self.access.server, "GET", path, status_of(500, json.dumps(event["object"]).encode()))
        return Event(type=event["type"], object=_typed(event["object"], resource))

    def _located(self, obj: Json) -> tuple[Resource, ObjectRef]:
        ref = ObjectRef.of(obj)
        return self.resource_for(ref.api_version, ref.kind), ref


def _typed(obj: Json, resource: Resource) -> Json:
    """The object with its own apiVersion and kind: items of lists have none, metadata-only answers have others."""
    return {**obj, "apiVersion": resource.api_version, "kind": resource.kind}


def _write_params(field_manager: str, dry_run: bool) -> dict[str, Any]:
    return {"fieldManager": field_manager, "fieldValidation": "Strict", "dryRun": "All" if dry_run else None}


def _target(path: str, params: Mapping[str, Any]) -> str:
    """Path with its query; booleans as Kubernetes writes them."""
    given = {key: str(value).lower() if isinstance(value, bool) else value for key, value in params.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path
