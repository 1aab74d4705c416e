# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A KubeconfigGenerator resource: its rules, its parsed form, and what its values are for one tenant.

Field names are those of kamaji.clastix.io/v1alpha1; expirationSeconds is ours. problems() says all that is wrong with a definition;
parse() expects a valid one. The rules equal those of the CRD (tools/crd_sources/kubeconfiggenerator.yaml), so that check mode refuses
what the API server would refuse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.crd_fields import GENERATOR_FIELDS
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.labels import Selector, is_dns_name, selector_problems
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.shape import shape_problems, shown, without_nulls

KIND: Final = "KubeconfigGenerator"
DEFAULT_LIFETIME: Final = timedelta(days=30)
_DEFAULT_ENDPOINT: Final = "admin.svc"
_PATH: Final = re.compile(r"[^.]+(\.[^.]+)*")
_RESERVED_PREFIX: Final = "system:"


@dataclass(frozen=True)
class Value:
    """A text for all tenants, or the path of a field that holds each tenant's own; exactly one of the two is set."""

    text: str = ""
    path: str = ""

    @classmethod
    def parse(cls, value: Json) -> Value:
        return cls(value.get("stringValue") or "", value.get("fromDefinition") or "")

    def of(self, tenant: Json, what: str) -> str:
        """The text for one TenantControlPlane resource. what: the field this value stands in.

        Raises InvalidError when there is no text at the path, and for one that begins with "system:": whoever may edit a tenant's
        resource must not become a part of Kubernetes by that. One written into the generator itself may.
        """
        if not self.path:
            return self.text
        found: Any = tenant
        for part in self.path.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        if not isinstance(found, str) or not found:
            holds = "has nothing there" if found in (None, "") else f"holds {shown(found)} there, which is no text"
            raise InvalidError(f"{what}.fromDefinition: the TenantControlPlane {holds} ({self.path}); write it there, or name another path")
        if found.startswith(_RESERVED_PREFIX):
            raise InvalidError(
                f'{what}.fromDefinition: the TenantControlPlane has {shown(found)} at {self.path}; names that begin with "{_RESERVED_PREFIX}" '
                "are Kubernetes' own, write such a name as stringValue if it is meant"
            )
        return found


@dataclass(frozen=True)
class KubeconfigGenerator:
    """One generator as the user wants it. inside: whether kubeconfigs name the address inside the management cluster.

    spec: exactly as written.
    """

    name: str
    namespaces: Selector
    tenants: Selector
    user: Value
    groups: tuple[Value, ...]
    inside: bool
    lifetime: timedelta
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: Json = field(repr=False)

    @property
    def suffix(self) -> str:
        """The end of its Secrets' names, after that of the tenant."""
        return f"-{self.name}"

    def manifest(self) -> Json:
        """The resource as it is applied. The finalizer is ours: it holds the resource until its Secrets are gone."""
        metadata: Json = {"name": self.name, "finalizers": [names.GENERATOR_FINALIZER]}
        if self.labels:
            metadata["labels"] = dict(self.labels)
        if self.annotations:
            metadata["annotations"] = dict(self.annotations)
        return {"apiVersion": KAMAJI_API_VERSION, "kind": KIND, "metadata": metadata, "spec": self.spec}


def check(definition: Any) -> KubeconfigGenerator:
    """Parse a definition a user wrote. Raises InvalidError with every problem found, each naming its field."""
    found = problems(definition)
    if found:
        metadata = definition.get("metadata") if isinstance(definition, Mapping) else None
        name = (metadata.get("name") if isinstance(metadata, Mapping) else None) or "(without a name)"
        raise InvalidError.from_problems(f"{KIND} {name}", found)
    return parse(definition)


def parse(definition: Json) -> KubeconfigGenerator:
    """Build a KubeconfigGenerator from a valid definition (a manifest, or an object read from the API server)."""
    metadata, spec = definition["metadata"], without_nulls(definition["spec"])
    seconds = spec.get("expirationSeconds")
    return KubeconfigGenerator(
        name=metadata["name"],
        namespaces=Selector.parse(spec.get("namespaceSelector")),
        tenants=Selector.parse(spec.get("tenantControlPlaneSelector")),
        user=Value.parse(spec["user"]),
        groups=tuple(Value.parse(item) for item in spec.get("groups") or ()),
        inside=(spec.get("controlPlaneEndpointFrom") or _DEFAULT_ENDPOINT).endswith(".svc"),
        lifetime=timedelta(seconds=seconds) if seconds else DEFAULT_LIFETIME,
        labels=dict(metadata.get("labels") or {}),
        annotations=dict(metadata.get("annotations") or {}),
        spec=spec,
    )


def problems(definition: Any) -> list[str]:
    """Return what is wrong with a definition; empty when it is valid."""
    if not isinstance(definition, Mapping):
        return [f"{shown(definition)} is not a mapping; write metadata.name and spec"]
    found = [*_identity_problems(definition)]
    spec = without_nulls(definition.get("spec"))
    if not isinstance(spec, dict):
        return [*found, "spec is missing; write at least spec.user"]
    shape = [*shape_problems("spec", spec, "Spec", GENERATOR_FIELDS)]
    # What follows relies on the types.
    return found + (shape or [*_spec_problems(spec)])


def _identity_problems(definition: Mapping[str, Any]) -> Iterator[str]:
    for key, wanted in (("apiVersion", KAMAJI_API_VERSION), ("kind", KIND)):
        if definition.get(key, wanted) != wanted:
            yield f"{key} {shown(definition[key])} is not handled here; write {wanted}"
    metadata = definition.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if not name:
        yield "metadata.name is missing; give the generator a name"
    else:
        yield from name_problems("metadata.name", name)


def name_problems(path: str, name: Any) -> Iterator[str]:
    """Yield why a generator cannot have a name, beginning with the path of the field it stands in."""
    if not isinstance(name, str) or len(name) > 63 or not is_dns_name(name):
        yield f'{path} {shown(name)} is not a DNS name of at most 63 characters; use a-z, 0-9, "-" and "."'
    elif name == "kubeconfig" or f"-{name}".endswith(names.SECRETS):
        yield f"{path} {shown(name)} would give its Secrets the names of those that tenant control planes have themselves; choose another name"


def _spec_problems(spec: Json) -> Iterator[str]:
    for name in ("namespaceSelector", "tenantControlPlaneSelector"):
        yield from selector_problems(f"spec.{name}", spec.get(name) or {})
    values = [("spec.user", spec["user"]), *((f"spec.groups[{index}]", item) for index, item in enumerate(spec.get("groups") or ()))]
    for path, value in values:
        if ("stringValue" in value) == ("fromDefinition" in value):
            yield f"{path} needs exactly one of stringValue and fromDefinition"
        if not _PATH.fullmatch(value.get("fromDefinition", "metadata.name")):
            yield f"{path}.fromDefinition {shown(value['fromDefinition'])} is not a path of names with dots between them; write for example metadata.name"
    size = len(spec["user"].get("stringValue", "").encode())
    if size > names.LONGEST_COMMON_NAME:
        yield f"spec.user.stringValue has {size} bytes; a certificate names a user with at most {names.LONGEST_COMMON_NAME}, so shorten it"
