# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A DataStore resource: its rules, its parsed form, the credentials it points to, and its status.

Field names are those of kamaji.clastix.io/v1alpha1. validate() says all that is wrong with a definition; parse() expects
a valid one. The rules equal the CEL rules of the CRD, so that check mode refuses what the API server would refuse.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import data_budget
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.addresses import host_port
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.labels import is_dns_name
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.quantity import parse_bytes
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.shape import shown

KIND: Final = "DataStore"
DEFAULT_NAME: Final = "default"
ETCD: Final = "etcd"
MYSQL: Final = "MySQL"
POSTGRESQL: Final = "PostgreSQL"
NATS: Final = "NATS"
DRIVERS: Final = (ETCD, MYSQL, POSTGRESQL, NATS)

# The reference's conditions, and ours beside them.
VALIDATION: Final = "kamaji.clastix.io/DataStoreValidation"
ALLOWED_DELETION: Final = "kamaji.clastix.io/DataStoreAllowedDeletion"
REACHABLE: Final = "hosted-kubernetes.io/DataStoreReachable"
CAPACITY: Final = "hosted-kubernetes.io/DataStoreCapacity"
ENDPOINTS: Final = "hosted-kubernetes.io/DataStoreEndpoints"
INTACT: Final = "hosted-kubernetes.io/DataStoreIntact"
LATENCY: Final = "hosted-kubernetes.io/DataStoreLatency"

_ENDPOINT: Final = re.compile(r"(\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?)):(?P<port>[0-9]{1,5})")


def key_prefix(driver: str, schema: str) -> str:
    """What every key of a tenant begins with in its share of a store.

    Tenants share the keys of an etcd, so the name of the share stands there (kube-apiserver's --etcd-prefix). A database is one tenant's alone:
    its API server keeps the prefix it has by default.
    """
    return f"/{schema}/" if driver == ETCD else "/registry/"


class MissingCredentialError(HostedKubernetesError):
    """A Secret, or a key in it, that a DataStore refers to does not exist."""


@dataclass(frozen=True)
class SecretReference:
    """One key of a Secret in the management cluster."""

    namespace: str
    name: str
    key_path: str

    def __str__(self) -> str:
        return f"Secret {self.namespace}/{self.name} key {self.key_path}"


@dataclass(frozen=True)
class ContentRef:
    """A value written inline (decoded here), or kept in a Secret. path: the field it is written in. Inline content has precedence, as in the reference."""

    path: str
    content: bytes | None = field(repr=False)
    secret: SecretReference | None

    @classmethod
    def parse(cls, path: str, value: Json | None) -> ContentRef | None:
        if not value:
            return None
        reference = value.get("secretReference")
        return cls(
            path,
            base64.b64decode(value["content"]) if value.get("content") else None,
            SecretReference(reference["namespace"], reference["name"], reference["keyPath"]) if reference else None,
        )


@dataclass(frozen=True)
class Endpoint:
    """host:port of one member. host carries no brackets."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Raises ValueError when the text is not host:port."""
        match = _ENDPOINT.fullmatch(text)
        if match is None or not 1 <= int(match["port"]) <= 65535:
            raise ValueError(text)
        return cls(match["v6"] or match["host"], int(match["port"]))

    @property
    def service(self) -> tuple[str, str] | None:
        """(namespace, Service or pod.Service) when the host is an in-cluster Service name, else None.

        A member of a headless Service (pod.service.namespace.svc) gives the pod's name as its first label.
        """
        labels = self.host.split(".")
        if "svc" not in labels[2:4]:
            return None
        at = labels.index("svc", 2)
        return labels[at - 1], ".".join(labels[: at - 1])

    def __str__(self) -> str:
        return host_port(self.host, self.port)


@dataclass(frozen=True)
class Credentials:
    """The resolved values of a DataStore. PEM for certificates and keys; None where the DataStore has none."""

    ca_certificate: bytes | None
    ca_key: bytes | None = field(repr=False)
    client_certificate: bytes | None
    client_key: bytes | None = field(repr=False)
    username: str | None
    password: str | None = field(repr=False)


@dataclass(frozen=True)
class Capacity:
    """How far a store is filled with tenants that choose by labels. None: no bound of the user's."""

    tenants: int | None = None
    size_bytes: int | None = None
    latency_ms: int | None = None

    @classmethod
    def parse(cls, spec: Json) -> Capacity:
        size = spec.get("size")
        return cls(spec.get("tenants"), parse_bytes(size) if size is not None else None, spec.get("latencyMilliseconds"))


@dataclass(frozen=True)
class DataStore:
    """One DataStore as the user wants it. spec: exactly as written."""

    name: str
    driver: str
    endpoints: tuple[Endpoint, ...]
    ca_certificate: ContentRef | None
    ca_key: ContentRef | None
    client_certificate: ContentRef | None
    client_key: ContentRef | None
    username: ContentRef | None
    password: ContentRef | None
    capacity: Capacity
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: Json = field(repr=False)

    def contents(self) -> tuple[ContentRef, ...]:
        values = (
            self.ca_certificate,
            self.ca_key,
            self.client_certificate,
            self.client_key,
            self.username,
            self.password,
        )
        return tuple(value for value in values if value is not None)

    def secrets(self) -> tuple[tuple[str, str], ...]:
        """(namespace, name) of every Secret that has to be read, each once, in order of appearance."""
        wanted = [item.secret for item in self.contents() if item.content is None and item.secret is not None]
        return tuple(dict.fromkeys((item.namespace, item.name) for item in wanted))

    def manifest(self) -> Json:
        """The resource as it is applied."""
        metadata: Json = {"name": self.name}
        if self.labels:
            metadata["labels"] = dict(self.labels)
        if self.annotations:
            metadata["annotations"] = dict(self.annotations)
        return {"apiVersion": KAMAJI_API_VERSION, "kind": KIND, "metadata": metadata, "spec": self.spec}


def parse(definition: Json) -> DataStore:
    """Build a DataStore from a valid definition (a manifest, or an object read from the API server)."""
    metadata, spec = definition["metadata"], definition["spec"]
    basic, tls = spec.get("basicAuth") or {}, spec.get("tlsConfig") or {}
    authority, client = tls.get("certificateAuthority") or {}, tls.get("clientCertificate") or {}
    return DataStore(
        name=metadata["name"],
        driver=spec["driver"],
        endpoints=tuple(Endpoint.parse(item) for item in spec["endpoints"]),
        ca_certificate=ContentRef.parse("spec.tlsConfig.certificateAuthority.certificate", authority.get("certificate")),
        ca_key=ContentRef.parse("spec.tlsConfig.certificateAuthority.privateKey", authority.get("privateKey")),
        client_certificate=ContentRef.parse("spec.tlsConfig.clientCertificate.certificate", client.get("certificate")),
        client_key=ContentRef.parse("spec.tlsConfig.clientCertificate.privateKey", client.get("privateKey")),
        username=ContentRef.parse("spec.basicAuth.username", basic.get("username")),
        password=ContentRef.parse("spec.basicAuth.password", basic.get("password")),
        capacity=Capacity.parse(spec.get("capacity") or {}),
        labels=dict(metadata.get("labels") or {}),
        annotations=dict(metadata.get("annotations") or {}),
        spec=spec,
    )


def resolve(datastore: DataStore, secrets: Mapping[tuple[str, str], Mapping[str, bytes]]) -> Credentials:
    """Find the value of every credential.

    secrets: (namespace, name) → decoded data of the Secrets named by DataStore.secrets(); absent when not found.
    Raises MissingCredentialError naming every Secret or key that is missing.
    """
    problems: list[str] = []
    values = {item.path: _content(item, secrets, problems) for item in datastore.contents()}
    if problems:
        raise MissingCredentialError("; ".join(f"{KIND} {datastore.name}: {problem}" for problem in problems), problems=problems)

    def value(item: ContentRef | None) -> bytes | None:
        return values[item.path] if item else None

    username, password = value(datastore.username), value(datastore.password)
    return Credentials(
        ca_certificate=value(datastore.ca_certificate),
        ca_key=value(datastore.ca_key),
        client_certificate=value(datastore.client_certificate),
        client_key=value(datastore.client_key),
        username=username.decode() if username is not None else None,
        password=password.decode() if password is not None else None,
    )


def _content(item: ContentRef, secrets: Mapping[tuple[str, str], Mapping[str, bytes]], problems: list[str]) -> bytes | None:
    if item.content is not None:
        return item.content
    if item.secret is None:
        problems.append(f"{item.path} has neither content nor secretReference; give one of them")
        return None
    data = secrets.get((item.secret.namespace, item.secret.name))
    if data is None:
        problems.append(f"{item.path} refers to Secret {item.secret.namespace}/{item.secret.name}, which does not exist; create it")
        return None
    found = data.get(item.secret.key_path)
    if not found:
        keys = ", ".join(sorted(data)) or "none"
        problems.append(f"{item.path} refers to {item.secret}, which is missing or empty; its keys are: {keys}")
        return None
    return found


# Validation


_CONTENT_REF: Final = {"content": None, "secretReference": {"namespace": None, "name": None, "keyPath": None}}
_KEY_PAIR: Final = {"certificate": _CONTENT_REF, "privateKey": _CONTENT_REF}
_FIELDS: Final[Mapping[str, Any]] = {
    "driver": None,
    "endpoints": None,
    "capacity": {"tenants": None, "size": None, "latencyMilliseconds": None, "tenantBudget": None},
    "basicAuth": {"username": _CONTENT_REF, "password": _CONTENT_REF},
    "tlsConfig": {"certificateAuthority": _KEY_PAIR, "clientCertificate": _KEY_PAIR},
}


def check(definition: Json, live: Json | None = None) -> DataStore:
    """Parse a definition a user wrote. live: the stored object, when there is one.

    Raises InvalidError with every problem found, each naming its field.
    """
    problems = validate(definition)
    if live is not None and not problems:
        problems = validate_change(live, definition)
    if problems:
        name = (definition.get("metadata") or {}).get("name") or "(without a name)"
        raise InvalidError.from_problems(f"{KIND} {name}", problems)
    return parse(definition)


def name_of(definition: Mapping[str, Any]) -> str:
    """Return the name in a definition of which nothing else matters. Raises InvalidError when it is missing or not a name."""
    problems = [item for item in _identity_problems(definition) if item.startswith("metadata.name")]
    if problems:
        raise InvalidError.from_problems(KIND, problems)
    return str(definition["metadata"]["name"])


def validate(definition: Json) -> list[str]:
    """Return what is wrong with a definition; empty when it is valid."""
    problems = [*_identity_problems(definition)]
    spec = definition.get("spec")
    if not isinstance(spec, dict):
        return [*problems, "spec is missing; write driver, endpoints and tlsConfig or basicAuth"]
    unknown = [*_unknown_fields("spec", spec, _FIELDS)]
    if unknown:
        return problems + unknown
    problems += _driver_problems(spec.get("driver"))
    problems += _endpoint_problems(spec.get("endpoints"))
    problems += _capacity_problems(spec.get("capacity") or {}, spec.get("driver"))
    problems += _credential_problems(spec)
    return problems


def validate_change(live: Json, desired: Json) -> list[str]:
    """Return which immutable fields a new definition would change."""
    old, new = live.get("spec", {}).get("driver"), desired["spec"]["driver"]
    if old == new:
        return []
    return [f'spec.driver is "{old}" and cannot become "{new}"; create another DataStore and move the tenants to it one by one']


def _identity_problems(definition: Mapping[str, Any]) -> Iterator[str]:
    if definition.get("apiVersion", KAMAJI_API_VERSION) != KAMAJI_API_VERSION:
        yield f'apiVersion "{definition["apiVersion"]}" is not served; write {KAMAJI_API_VERSION}'
    if definition.get("kind", KIND) != KIND:
        yield f'kind "{definition["kind"]}" is not {KIND}; give only {KIND} definitions here'
    name = (definition.get("metadata") or {}).get("name")
    if not name:
        yield "metadata.name is missing; give the DataStore a name"
    elif not isinstance(name, str) or len(name) > 63 or not is_dns_name(name):
        yield f'metadata.name "{name}" is not a DNS name of at most 63 characters; use a-z, 0-9, "-" and "."'


def _unknown_fields(path: str, value: Any, known: Mapping[str, Any]) -> Iterator[str]:
    if value is None:
        return
    if not isinstance(value, dict):
        yield f"{path} is not a mapping; its fields are {', '.join(known)}"
        return
    for key, item in value.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), list(known), n=1)
            hint = f"did you mean {near[0]}?" if near else f"known fields are {', '.join(known)}"
            yield f"{path}.{key} is not a field; {hint}"
        elif known[key] is not None:
            yield from _unknown_fields(f"{path}.{key}", item, known[key])


def _driver_problems(driver: Any) -> Iterator[str]:
    if driver not in DRIVERS:
        near = {name.lower(): name for name in DRIVERS}.get(str(driver).lower())
        hint = f"write {near}" if near else f"use one of {', '.join(DRIVERS)}"
        yield f'spec.driver "{driver}" is not a driver; {hint}' if driver else f"spec.driver is missing; {hint}"


def _endpoint_problems(endpoints: Any) -> Iterator[str]:
    if not endpoints or not isinstance(endpoints, list):
        yield "spec.endpoints is empty; list at least one host:port"
        return
    for index, text in enumerate(endpoints):
        try:
            Endpoint.parse(str(text))
        except ValueError:
            yield f'spec.endpoints[{index}] "{text}" is not host:port; write for example etcd-0.example.com:2379'
    if len(set(map(str, endpoints))) != len(endpoints):
        yield "spec.endpoints names an endpoint twice; list each member once"


def _capacity_problems(capacity: Json, driver: Any) -> Iterator[str]:
    for name, low, high in (("tenants", 0, 10_000), ("latencyMilliseconds", 1, 60_000)):
        value = capacity.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high):
            yield f"spec.capacity.{name} {shown(value)} is not a whole number from {low} to {high}"
    size = capacity.get("size")
    try:
        if size is not None and not isinstance(size, bool):
            parse_bytes(size)
    except ValueError:
        yield f"spec.capacity.size {shown(size)} is not a size; write for example 4Gi"
    budget = capacity.get("tenantBudget")
    problem = None if budget is None else data_budget.problem(budget)
    if problem:
        yield f"spec.capacity.tenantBudget {shown(budget)} {problem}"
    if budget is not None and driver != ETCD:
        yield "spec.capacity.tenantBudget is counted in etcd only; a database server has quotas of its own"


def _credential_problems(spec: Json) -> Iterator[str]:
    tls, basic = spec.get("tlsConfig"), spec.get("basicAuth")
    etcd = spec.get("driver") == ETCD
    if not etcd and not tls and not basic:
        yield "spec has neither tlsConfig nor basicAuth; give at least one of them"
    required = [*_required_contents(etcd, tls, basic)]
    for path in required:
        if not _dig(spec, path):
            reason = " (etcd knows its users by client certificates)" if etcd else ""
            yield f"spec.{path} is missing{reason}; give content or secretReference"
    for path in _CONTENT_PATHS:
        if _dig(spec, path):
            yield from _content_problems(f"spec.{path}", _dig(spec, path))


_CONTENT_PATHS: Final = tuple(
    f"{pair}.{item}"
    for pair, items in (
        ("tlsConfig.certificateAuthority", ("certificate", "privateKey")),
        ("tlsConfig.clientCertificate", ("certificate", "privateKey")),
        ("basicAuth", ("username", "password")),
    )
    for item in items
)


def _required_contents(etcd: bool, tls: Any, basic: Any) -> Iterator[str]:
    if etcd:
        yield from (path for path in _CONTENT_PATHS if path.startswith("tlsConfig"))
    elif tls:
        yield "tlsConfig.certificateAuthority.certificate"
        if tls.get("clientCertificate"):
            yield from (path for path in _CONTENT_PATHS if path.startswith("tlsConfig.clientCertificate"))
    if basic:
        yield from (path for path in _CONTENT_PATHS if path.startswith("basicAuth"))


def _content_problems(path: str, value: Json) -> Iterator[str]:
    content, reference = value.get("content"), value.get("secretReference")
    if not content and not reference:
        yield f"{path} has neither content nor secretReference; give one of them"
    if content:
        try:
            base64.b64decode(content, validate=True)
        except (binascii.Error, TypeError, ValueError):
            yield f"{path}.content is not base64; encode the value, or use secretReference"
    if reference:
        for key in ("namespace", "name", "keyPath"):
            if not reference.get(key):
                yield f"{path}.secretReference.{key} is missing; a DataStore is cluster-wide, so name all three"


def _dig(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


# Use and status


def used_by(name: str, tenants: Sequence[Json], default: str = DEFAULT_NAME) -> tuple[str, ...]:
    """Return "namespace/name" of every TenantControlPlane that keeps, or still has to purge, data in a DataStore.

    tenants: the resources as listed. default: the DataStore of a tenant that names none.
    """
    return tuple(sorted(_key(item) for item in tenants if name in _stores_of(item, default)))


def _stores_of(tenant: Json, default: str) -> set[str | None]:
    spec, storage = tenant.get("spec") or {}, (tenant.get("status") or {}).get("storage") or {}
    # One that chooses by labels has no data before its choice is recorded.
    unnamed = default if spec.get("dataStoreSelector") is None else None
    stores = {spec.get("dataStore") or storage.get("dataStoreName") or unnamed} - {None}
    stores |= {item["dataStore"] for item in spec.get("dataStoreOverrides") or [] if item.get("dataStore")}
    if storage.get("dataStoreName"):
        stores.add(storage["dataStoreName"])
    stores |= set(((tenant.get("status") or {}).get("hosted") or {}).get("dataStores") or ())
    return stores


def _key(obj: Json) -> str:
    return f"{obj['metadata'].get('namespace', 'default')}/{obj['metadata']['name']}"


@dataclass(frozen=True)
class Condition:
    """One finding about a DataStore. holds: None when it could not be found out.

    message holds no value that differs from one look to the next (latency, sizes): an unchanged store keeps its status.
    """

    type: str
    holds: bool | None
    reason: str
    message: str

    @property
    def status(self) -> str:
        return "Unknown" if self.holds is None else str(self.holds)


def build_status(
    conditions: Sequence[Condition],
    *,
    previous: Json | None,
    generation: int,
    used_by: Sequence[str],
    now: datetime,
) -> Json:
    """Return the status of a DataStore. A condition whose status did not change keeps its lastTransitionTime.

    ready: specification and credentials are in order and the store was reached and can isolate tenants.
    now: UTC. Conditions of the previous status that nobody found anything about this time are dropped.
    """
    before = {item["type"]: item for item in (previous or {}).get("conditions") or []}
    holds = {item.type: item.holds for item in conditions}
    return {
        "ready": bool(holds.get(VALIDATION) and holds.get(REACHABLE)),
        "observedGeneration": generation,
        "usedBy": list(used_by),
        "conditions": [_condition(item, before.get(item.type), generation, now) for item in conditions],
    }


def _condition(item: Condition, before: Json | None, generation: int, now: datetime) -> Json:
    since = before["lastTransitionTime"] if before and before.get("status") == item.status else None
    return {
        "type": item.type,
        "status": item.status,
        "reason": item.reason,
        "message": item.message,
        "observedGeneration": generation,
        "lastTransitionTime": since or now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def validation_condition(problems: Sequence[str]) -> Condition:
    """Whether the specification and every credential it refers to are in order."""
    if problems:
        return Condition(VALIDATION, False, "Invalid", "; ".join(problems))
    return Condition(VALIDATION, True, "Valid", "the specification is valid and every credential was found")


def deletion_condition(used_by: Sequence[str]) -> Condition:
    """Whether the DataStore may be deleted: not while a tenant keeps data in it."""
    if used_by:
        shown = ", ".join(used_by[:5]) + (f" and {len(used_by) - 5} more" if len(used_by) > 5 else "")
        return Condition(ALLOWED_DELETION, False, "InUse", f"used by {shown}")
    return Condition(ALLOWED_DELETION, True, "Unused", "no tenant control plane uses it")
