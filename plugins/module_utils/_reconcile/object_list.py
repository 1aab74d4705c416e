# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any objects, as a list: in the right order, server-side, and only what differs.

For each object: read it, compare what is desired with it (fields.diff); when they differ the API server itself says what
applying would change, in a dry run in check mode and by its answer otherwise. An unchanged object costs one read.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import (
    PROBLEMS,
    daemon_set_problem_without,
    node_is_lost,
    pod_problem,
    problem,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.redaction import REDACTED, SECRET_FIELDS
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, Resource, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import ApiError, NotFoundError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_for
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.fields import FieldChange, diff

_PARALLEL_READS: Final = 8
_CRD: Final = "CustomResourceDefinition"
# What others need comes first; kinds that are not named here come before what guards the API (the last five).
_ORDER: Final = (
    "Namespace", "PriorityClass", "StorageClass", _CRD, "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding",
    "ResourceQuota", "LimitRange", "Secret", "ConfigMap", "PersistentVolume", "PersistentVolumeClaim", "Service", "DaemonSet",
    "Deployment", "StatefulSet", "Pod", "Job", "CronJob", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", "Ingress",
)  # fmt: skip
_LAST: Final = (
    "APIService", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
)  # fmt: skip
# What the server writes into every object; a difference there is not what was asked for.
_SERVERS_METADATA: Final = frozenset({"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"})

_FIRST_PAUSE_S: Final = 0.02


class ObjectAction(StrEnum):
    """What happens to one object."""

    CREATE = "create"
    PATCH = "patch"
    DELETE = "delete"
    NONE = "none"


@dataclass(frozen=True)
class ObjectResult:
    """What was done, or would be in a dry run, to one object. live: as the server has it afterwards; None when gone or not made."""

    ref: ObjectRef
    action: ObjectAction
    fields: tuple[FieldChange, ...] = ()
    live: Json | None = field(default=None, repr=False)

    def to_result(self) -> Json:
        """For module results; values of Secrets are redacted."""
        return {
            "object": str(self.ref),
            "api_version": self.ref.api_version,
            "kind": self.ref.kind,
            "namespace": self.ref.namespace,
            "name": self.ref.name,
            "action": self.action.value,
            "fields": [
                {"path": item.path, "before": self._shown(item, item.before), "after": self._shown(item, item.after)}
                for item in self.fields
            ],
        }

    def to_diff(self, cluster: str = "") -> Json:
        """For Ansible's --diff: changed fields by line, values of Secrets redacted; of a new definition of resources, whose schema is long, its name.

        cluster: stands before the object's name.
        """
        title, shown = f"{cluster} {self.ref} ({self.action.value})".lstrip(), self.to_result()["fields"]
        before = "".join(f"{item['path']}: {item['before']!r}\n" for item in shown if item["before"] is not None)
        after = "".join(f"{item['path']}: {item['after']!r}\n" for item in shown if item["after"] is not None)
        if self.action is ObjectAction.DELETE:
            before = f"{self.ref}\n"
        elif self.action is ObjectAction.CREATE and self.ref.kind == "CustomResourceDefinition":
            after = f"{self.ref}\n"
        return {"before_header": title, "after_header": title, "before": before, "after": after}

    def _shown(self, item: FieldChange, value: Any) -> Any:
        secret = self.ref.kind == "Secret" and item.path.split(".")[0] in SECRET_FIELDS
        return REDACTED if secret and value is not None else value


def parse_objects(documents: Iterable[Any]) -> list[Json]:
    """Return the objects among documents; a kind …List is taken apart, empty documents are left out.

    Raises InvalidError that names the document (counted from 1) and the missing or contradicting part.
    """
    found: list[Json] = []
    problems: list[str] = []
    for number, document in enumerate(documents, 1):
        for obj in _taken_apart(document):
            fault = _fault(obj)
            if fault:
                problems.append(f"document {number}: {fault}")
            else:
                found.append(_without_string_data(obj))
    seen: set[tuple[str, str, str, str]] = set()
    for obj in [] if problems else found:
        identity = (obj["apiVersion"].split("/")[0], obj["kind"], obj["metadata"].get("namespace") or "", obj["metadata"]["name"])
        if identity in seen:
            problems.append(f"{ObjectRef.of(obj)} is there more than once")
        seen.add(identity)
    if problems:
        raise InvalidError.from_problems("objects", problems)
    return found


def in_order(objects: Iterable[Json]) -> list[Json]:
    """Objects in the order in which they can be created; the given order counts within one kind."""
    known = {kind: position for position, kind in enumerate(_ORDER)}
    last = {kind: len(_ORDER) + 1 + position for position, kind in enumerate(_LAST)}
    return sorted(objects, key=lambda obj: {**known, **last}.get(obj["kind"], len(_ORDER)))


@dataclass(frozen=True)
class ObjectList:
    """Objects to be there, or not to be there, in one cluster.

    objects: as parse_objects gives them. namespace: for namespaced objects that name none. dry_run: predict only.
    force: take fields over that other managers own; without it they are a conflict.
    deadline: of everything that is waited for, on the clock of time.monotonic().
    """

    client: Client
    objects: Sequence[Json]
    field_manager: str
    deadline: float
    namespace: str = ""
    dry_run: bool = False
    force: bool = True
    _resources: dict[tuple[str, str], Resource] = field(default_factory=dict)
    _passed_over: list[str] = field(default_factory=list)

    @property
    def warnings(self) -> list[str]:
        """What was not waited for, and why."""
        return list(self._passed_over)

    def apply(self) -> Iterator[ObjectResult]:
        """Make the objects be there, one after the other. A CustomResourceDefinition is waited for. Raises ApiError, WaitTimeout, InvalidError."""
        self._resources.update(_defined(self.objects))
        objects = [self._placed(obj) for obj in in_order(self.objects)]
        promised = frozenset(obj["metadata"]["name"] for obj in objects if obj["kind"] == "Namespace")
        live = self._read(objects)
        for obj in objects:
            result = self._apply_one(obj, live[ObjectRef.of(obj)], promised)
            if obj["kind"] == _CRD and not self.dry_run and _is_unready(result):
                self._wait_ready(result)
            yield result

    def wait_ready(self, results: Iterable[ObjectResult]) -> None:
        """Wait until what apply has yielded is ready. Raises WaitTimeout, ApiError."""
        for result in unready(results):
            self._wait_ready(result)

    def delete(self) -> Iterator[ObjectResult]:
        """Make the objects not be there, last made first deleted. An unknown kind counts as gone. Raises ApiError."""
        kinds = {(obj["apiVersion"], obj["kind"]) for obj in self.objects}
        served = {kind for kind in kinds if self._is_served(*kind)}
        ordered = list(reversed(in_order(self.objects)))
        placed = [self._placed(obj) for obj in ordered if (obj["apiVersion"], obj["kind"]) in served]
        live = self._read(placed)
        for obj in placed:
            yield self._delete_one(ObjectRef.of(obj), live[ObjectRef.of(obj)])
        for obj in ordered:
            if (obj["apiVersion"], obj["kind"]) not in served:
                yield ObjectResult(ObjectRef.of(obj), ObjectAction.NONE)

    def wait_gone(self, results: Iterable[ObjectResult]) -> None:
        """Wait until what delete has yielded is gone. Raises WaitTimeout, ApiError."""
        for result in leaving(results):
            self._wait_gone(result.ref)

    def _apply_one(self, obj: Json, live: Json | None, promised: frozenset[str]) -> ObjectResult:
        ref = ObjectRef.of(obj)
        if live is not None and not diff(obj, live, self.field_manager):
            return ObjectResult(ref, ObjectAction.NONE, live=live)
        defined_here = (ref.api_version, ref.kind) in self._resources
        try:
            made = self._sent(obj, until=self.deadline if defined_here and not self.dry_run else 0)
        except NotFoundError:
            if not (self.dry_run and (ref.namespace in promised or defined_here)):
                raise
            # Its namespace or its kind is made by this very list, so the server cannot tell yet.
            return ObjectResult(ref, ObjectAction.CREATE, tuple(diff(obj, None, self.field_manager)))
        if live is None:
            return ObjectResult(ref, ObjectAction.CREATE, tuple(diff(obj, None, self.field_manager)), made)
        changes = tuple(_differences(_plain(live), _plain(made)))
        return ObjectResult(ref, ObjectAction.PATCH if changes else ObjectAction.NONE, changes, made)

    def _sent(self, obj: Json, *, until: float) -> Json:
        """Apply an object; its kind may be so new that not every API server serves it yet, which is waited for until `until`."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return self.client.apply(obj, field_manager=self.field_manager, force=self.force, dry_run=self.dry_run)
            except NotFoundError:
                if time.monotonic() + pause_s > until:
                    raise
            time.sleep(pause_s)
            pause_s *= 2

    def _delete_one(self, ref: ObjectRef, live: Json | None) -> ObjectResult:
        if live is None or live["metadata"].get("deletionTimestamp"):
            return ObjectResult(ref, ObjectAction.NONE, live=live)
        if not self.dry_run:
            self.client.delete(self._resource(ref), ref.name, ref.namespace, uid=live["metadata"]["uid"])
        return ObjectResult(ref, ObjectAction.DELETE)

    def _read(self, objects: Sequence[Json]) -> Mapping[ObjectRef, Json | None]:
        refs = [ObjectRef.of(obj) for obj in objects]
        with ThreadPoolExecutor(_PARALLEL_READS) as pool:
            return dict(zip(refs, pool.map(lambda ref: self.client.get(self._resource(ref), ref.name, ref.namespace), refs), strict=True))

    def _resource(self, ref: ObjectRef) -> Resource:
        return self._resources.get((ref.api_version, ref.kind)) or self.client.resource_for(ref.api_version, ref.kind)

    def _is_served(self, api_version: str, kind: str) -> bool:
        try:
            self.client.resource_for(api_version, kind)
        except NotFoundError:
            return False
        return True

    def _placed(self, obj: Json) -> Json:
        """The object with its namespace. Raises InvalidError when it needs one and there is none."""
        resource = self._resource(ObjectRef.of(obj))
        if not resource.namespaced or obj["metadata"].get("namespace"):
            return obj
        if not self.namespace:
            raise InvalidError(
                f"{obj['kind']} {obj['metadata']['name']} names no namespace; write metadata.namespace or set the option namespace"
            )
        return {**obj, "metadata": {**obj["metadata"], "namespace": self.namespace}}

    def _wait_ready(self, result: ObjectResult) -> None:
        ref = result.ref
        lost = self._lost_nodes() if ref.kind == "DaemonSet" else frozenset()
        if lost:
            self._passed_over.append(
                f"{ref}: is not waited for on nodes that are not ready: {', '.join(sorted(lost))}; look at these hosts"
            )
        wait_for(
            self.client,
            self._resource(ref),
            ref.name,
            ref.namespace,
            predicate=lambda live: live is not None and self._problem(live, lost) is None,
            deadline=self.deadline,
            explain=self._explained,
        )

    def _problem(self, obj: Json, lost: frozenset[str]) -> str | None:
        reason = problem(obj)
        return daemon_set_problem_without(obj, self._pods(obj), lost) if reason and lost else reason

    def _lost_nodes(self) -> frozenset[str]:
        try:
            nodes = self.client.list(resource_of("Node")).items
        except ApiError:
            return frozenset()  # who may not read them waits for all
        return frozenset(node["metadata"]["name"] for node in nodes if node_is_lost(node))

    def _pods(self, obj: Json) -> list[Json]:
        """The pods that an object selects by labels."""
        labels = obj.get("spec", {}).get("selector", {}).get("matchLabels") or {}
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        return self.client.list(resource_of("Pod"), namespace=obj["metadata"].get("namespace"), label_selector=selector).items

    def _wait_gone(self, ref: ObjectRef) -> None:
        try:
            resource = self._resource(ref)
            wait_for(
                self.client,
                resource,
                ref.name,
                ref.namespace,
                predicate=lambda live: live is None,
                deadline=self.deadline,
                explain=_holding,
            )
        except NotFoundError:
            return  # the kind went with its CustomResourceDefinition

    def _explained(self, obj: Json) -> str | None:
        """Why an object is not ready, with what holds up its first unready pod."""
        reason = problem(obj)
        labels = (
            obj.get("spec", {}).get("selector", {}).get("matchLabels")
            if obj["kind"] in ("DaemonSet", "Deployment", "StatefulSet")
            else None
        )
        if not reason or not labels:
            return reason
        told = next((f"pod {pod['metadata']['name']}: {why}" for pod in self._pods(obj) if (why := pod_problem(pod))), None)
        return f"{reason}; {told}" if told else reason


def unready(results: Iterable[ObjectResult]) -> list[ObjectResult]:
    """Those of what apply has yielded that still have to become ready."""
    return [result for result in results if result.ref.kind != _CRD and _is_unready(result)]


def leaving(results: Iterable[ObjectResult]) -> list[ObjectResult]:
    """Those of what delete has yielded that may still be there, since finalizers can hold them."""
    return [result for result in results if result.action is ObjectAction.DELETE or result.live is not None]


def _is_unready(result: ObjectResult) -> bool:
    return result.ref.kind in PROBLEMS and (result.live is None or problem(result.live) is not None)


def _holding(obj: Json) -> str:
    finalizers = ", ".join(obj["metadata"].get("finalizers") or [])
    return f"its deletion waits for finalizers {finalizers}" if finalizers else "it is still there"


def _taken_apart(document: Any) -> Iterator[Any]:
    if isinstance(document, Mapping) and str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
        yield from document["items"]
    elif document is not None:
        yield document


def _fault(obj: Any) -> str | None:
    if not isinstance(obj, Mapping):
        return f"is no mapping but {type(obj).__name__}"
    for key in ("apiVersion", "kind"):
        if not isinstance(obj.get(key), str) or not obj[key]:
            return f"{key} is missing"
    metadata = obj.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        return f"{obj['kind']}: metadata.name is missing" + (
            "; generateName cannot be repeated" if metadata and "generateName" in metadata else ""
        )
    if obj["kind"] == "Secret":
        both = set(obj.get("data") or {}) & set(obj.get("stringData") or {})
        if both:
            return f"Secret {metadata['name']}: {', '.join(sorted(both))} is in data and in stringData"
    return None


def _without_string_data(obj: Mapping[str, Any]) -> Json:
    """A Secret with stringData as data: the server does the same, and only data can be compared."""
    if obj["kind"] != "Secret" or "stringData" not in obj:
        return dict(obj)
    encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in (obj["stringData"] or {}).items()}
    rest = {key: value for key, value in obj.items() if key != "stringData"}
    return {**rest, "data": {**(obj.get("data") or {}), **encoded}}


def _defined(objects: Iterable[Json]) -> dict[tuple[str, str], Resource]:
    """The resources that CustomResourceDefinitions in the list will serve."""
    found = {}
    for obj in objects:
        if obj["kind"] == _CRD:
            spec = obj["spec"]
            for version in spec["versions"]:
                names, api_version = spec["names"], f"{spec['group']}/{version['name']}"
                found[api_version, names["kind"]] = Resource(api_version, names["kind"], names["plural"], spec["scope"] == "Namespaced")
    return found


def _plain(obj: Json) -> Json:
    """The part of an object that people write."""
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _SERVERS_METADATA}
    return {**{key: value for key, value in obj.items() if key != "status"}, "metadata": metadata}


def _differences(before: Any, after: Any, path: str = "") -> Iterator[FieldChange]:
    """Leaves that differ between two states of an object; lists are compared by position, or whole when their length differs."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            name = f'"{key}"' if "." in key else key
            yield from _differences(before.get(key), after.get(key), f"{path}.{name}" if path else name)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for position, (left, right) in enumerate(zip(before, after, strict=True)):
            yield from _differences(left, right, f"{path}[{position}]")
    elif before != after:
        yield FieldChange(path, before, after)
