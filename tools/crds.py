# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the CustomResourceDefinitions, and the field table the module checks definitions with (make crds).

The sources are tools/crd_sources/*.yaml. Types of Kubernetes itself, such as containers and volumes, are taken from the OpenAPI
of a real API server of the bundle, without descriptions, defaults and merge hints that a CRD cannot have.
Everything is a function of the sources and of that OpenAPI, so that a test can compare the files with what would be made.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import DEFAULT_NAME
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.names import SECRETS
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import DEFAULT_POD_CIDR, DEFAULT_SERVICE_CIDR
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.versions import PLUGIN_MINORS, SUPPORTED_MINORS, plugin_minors
from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer, running_api_server
from ansible_collections.hosted.kubernetes.tests.support.bundle import bundle_directory

COLLECTION: Final = Path(__file__).resolve().parents[1]
SOURCES: Final = COLLECTION / "tools/crd_sources"
CRDS: Final = Path("roles/tenant_control_plane/files/crds")
FIELDS: Final = Path("plugins/module_utils/_api/crd_fields.py")
GROUP: Final = "kamaji.clastix.io"
VERSION: Final = "v1alpha1"

_DOCUMENTS: Final = ("api/v1", "apis/apps/v1", "apis/networking.k8s.io/v1")
_PACKAGES: Final = (
    "io.k8s.api.core.v1",
    "io.k8s.api.apps.v1",
    "io.k8s.api.networking.v1",
    "io.k8s.apimachinery.pkg.apis.meta.v1",
    "io.k8s.apimachinery.pkg.util.intstr",
    "io.k8s.apimachinery.pkg.api.resource",
)
# Lists and maps of Kubernetes' own types have no bound there; the cost of rules needs one.
_BOUND: Final = 512
_QUANTITY: Final = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
_SPECIAL: Final[Mapping[str, Json]] = {
    "IntOrString": {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True},
    "Quantity": {"anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": _QUANTITY, "x-kubernetes-int-or-string": True},
    # Of the metadata of a template within a pod only these have an effect.
    "ObjectMeta": {
        "type": "object",
        "properties": {key: {"type": "object", "additionalProperties": {"type": "string"}} for key in ("labels", "annotations")},
    },
}
# Kinds whose definitions are checked with a table of their fields, and what it is called.
_TABLES: Final[Mapping[str, str]] = {"TenantControlPlane": "FIELDS", "KubeconfigGenerator": "GENERATOR_FIELDS"}
_KEPT: Final = frozenset(
    {"type", "format", "enum", "required", "x-kubernetes-map-type", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"}
)


@dataclass
class Schemas:
    """The types a source may refer to: its own, and those of Kubernetes in CRD form. used: Kubernetes types that were needed."""

    own: Mapping[str, Json]
    openapi: Mapping[str, Json]
    used: dict[str, Json] = field(default_factory=dict)

    def find(self, name: str) -> Json:
        """Return a type by its short name, references in it unresolved. Raises KeyError."""
        if name in self.own:
            return self.own[name]
        if name not in self.used:
            self.used[name] = _SPECIAL.get(name) or self._convert(self._upstream(name))
        return self.used[name]

    def expand(self, schema: Any) -> Any:
        """Replace all references; what stands beside a reference lies over it, properties are joined."""
        if isinstance(schema, list):
            return [self.expand(item) for item in schema]
        if not isinstance(schema, dict):
            return schema
        beside = {key: self.expand(value) for key, value in schema.items() if key != "$ref"}
        if "$ref" not in schema:
            return beside
        base = self.expand(self.find(schema["$ref"]))
        if "properties" in base and "properties" in beside:
            beside["properties"] = {**base["properties"], **beside["properties"]}
        return {**base, **beside}

    def _upstream(self, name: str) -> Json:
        for package in _PACKAGES:
            if f"{package}.{name}" in self.openapi:
                return self.openapi[f"{package}.{name}"]
        raise KeyError(f"neither the source nor Kubernetes has a type {name}")

    def _convert(self, schema: Json) -> Json:
        """Rewrite a type of OpenAPI v3 as a structural schema with references by short name."""
        reference = schema.get("$ref") or next((item["$ref"] for item in schema.get("allOf", ()) if "$ref" in item), None)
        if reference:
            return {"$ref": reference.rpartition(".")[2]}
        result: Json = {key: value for key, value in schema.items() if key in _KEPT}
        if "properties" in schema:
            result["properties"] = {key: self._convert(value) for key, value in sorted(schema["properties"].items())}
        if "additionalProperties" in schema:
            result["additionalProperties"] = self._convert(schema["additionalProperties"])
            result["maxProperties"] = _BOUND
        if "items" in schema:
            result["items"] = self._convert(schema["items"])
            result["maxItems"] = _BOUND
            self._check_keys(result)
        return result

    def _check_keys(self, schema: Json) -> None:
        """A CRD's list can have merge keys only when each is required; elsewhere upstream has a default, which we do not write."""
        keys = schema.get("x-kubernetes-list-map-keys")
        if keys and not set(keys) <= set(self.find(schema["items"]["$ref"]).get("required", ())):
            del schema["x-kubernetes-list-map-keys"]
            schema["x-kubernetes-list-type"] = "atomic"


def generate(openapi: Mapping[str, Json]) -> dict[Path, str]:
    """Return the text of each generated file by its path in the collection. openapi: type name → schema, see fetch()."""
    files: dict[Path, str] = {}
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    for source in sorted(SOURCES.glob("*.yaml")):
        document = yaml.safe_load(_substitute(source.read_text(encoding="utf-8")))
        schemas = Schemas(document["definitions"], openapi)
        crd = _crd(document, schemas)
        files[CRDS / source.name] = _yaml(crd, source)
        if document["names"]["kind"] in _TABLES:
            tables[_TABLES[document["names"]["kind"]]] = _tables(schemas)
    files[FIELDS] = _python(tables)
    return files


def fetch(server: ApiServer) -> dict[str, Json]:
    """Return all types of the API groups the sources refer to."""
    result: dict[str, Json] = {}
    for document in _DOCUMENTS:
        result.update(server.request("GET", f"/openapi/v3/{document}")["components"]["schemas"])
    return result


def _substitute(text: str) -> str:
    values = {
        "MAXIMUM_MINOR": SUPPORTED_MINORS[-1].partition(".")[2],
        "SERVICE_CIDR": DEFAULT_SERVICE_CIDR,
        "POD_CIDR": DEFAULT_POD_CIDR,
        "DATA_STORE": DEFAULT_NAME,
        "TENANT_SECRETS": str(list(SECRETS)),
        "PLUGIN_MINORS": str({plugin: list(minors) for plugin, minors in PLUGIN_MINORS.items()}),
        "PLUGIN_MINORS_TEXT": ", ".join(f"{plugin} {plugin_minors(plugin)}" for plugin in PLUGIN_MINORS),
    }
    return re.sub(r"@([A-Z_]+)@", lambda match: values[match[1]], text)


def _crd(document: Json, schemas: Schemas) -> Json:
    names = document["names"]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": names,
            "scope": document["scope"],
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": document["subresources"],
                    "additionalPrinterColumns": document["additionalPrinterColumns"],
                    "schema": {"openAPIV3Schema": _with_identity(schemas.expand(document["schema"]))},
                }
            ],
        },
    }


def _with_identity(schema: Json) -> Json:
    identity: Json = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    return {**schema, "properties": {**identity, **schema["properties"]}}


class _Dumper(yaml.SafeDumper):
    """Without anchors: every reader understands it, and a change shows where it is."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(document: Json, source: Path) -> str:
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=140, allow_unicode=True)
    return f"---\n# Made by make crds from tools/crd_sources/{source.name}; do not edit.\n{text}"


# The field table: type name → field → type, as texts that validate.py understands.


def _tables(schemas: Schemas) -> dict[str, dict[str, Any]]:
    tables = _Tables(schemas)
    tables.name("Spec")
    return dict(sorted(tables.found.items()))


@dataclass
class _Tables:
    schemas: Schemas
    found: dict[str, dict[str, Any]] = field(default_factory=dict)

    def name(self, type_name: str) -> str:
        """Describe a type that is referred to, once; return the text that stands for it."""
        schema = self.schemas.find(type_name)
        if "properties" not in schema:
            return self.text(schema, type_name)
        if type_name not in self.found:
            self.found[type_name] = {}
            self.found[type_name] = self._fields(schema, type_name)
        return type_name

    def text(self, schema: Json, owner: str) -> str:
        """Return the text of a type; the grammar is in the generated file."""
        if "$ref" in schema:
            return self.name(schema["$ref"])
        if schema.get("x-kubernetes-int-or-string"):
            return "quantity" if "pattern" in schema else "integer-or-string"
        if schema.get("x-kubernetes-preserve-unknown-fields"):
            return "any"
        if "enum" in schema:
            return "|".join(schema["enum"])
        if "items" in schema:
            return self._list(schema, owner)
        if "additionalProperties" in schema:
            return f"{{{self.text(schema['additionalProperties'], owner)}}}"
        if "properties" in schema:
            self.found[owner] = self._fields(schema, owner)
            return owner
        keys = ("minLength", "maxLength") if schema["type"] == "string" else ("minimum", "maximum")
        bounds = [str(schema.get(key, "")) for key in keys]
        return f"{schema['type']} {'..'.join(bounds)}" if any(bounds) else str(schema["type"])

    def _list(self, schema: Json, owner: str) -> str:
        text = f"[{self.text(schema['items'], owner)}]"
        if schema["maxItems"] != _BOUND:
            text += f" max {schema['maxItems']}"
        keys = schema.get("x-kubernetes-list-map-keys")
        return f"{text} by {','.join(keys)}" if keys else text

    def _fields(self, schema: Json, owner: str) -> dict[str, Any]:
        required = schema.get("required", ())
        fields = schema["properties"].items()
        # A "!" marks what must be given.
        return {key: self.text(value, f"{owner}.{key}") + ("!" if key in required else "") for key, value in fields}


def _python(tables: Mapping[str, Mapping[str, Mapping[str, str]]]) -> str:
    lines = [
        *Path(__file__).read_text(encoding="utf-8").splitlines()[:3],
        '"""Fields of specs, those of TenantControlPlane first, for shape.py. Made by make crds from tools/crd_sources; do not edit.',
        "",
        'Type → field → type. "[T]" is a list of T, "max N" bounds it, "by a,b" names the fields that must differ between its elements;',
        '"{T}" is a mapping to T, "a|b" an enumeration, "integer 1..9" a range, "string 1..9" a length; "!" at the end marks what must be given.',
        '"""',
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Mapping",
        "from typing import Final",
        "",
    ]
    for name, fields in sorted(tables.items()):
        lines += [f"{name}: Final[Mapping[str, Mapping[str, str]]] = {{", *_entries(fields), "}"]
    return "\n".join(lines) + "\n"


def _entries(tables: Mapping[str, Mapping[str, str]]) -> Iterable[str]:
    for name, fields in tables.items():
        yield f"    {json.dumps(name)}: {{"
        for key, value in fields.items():
            yield from _entry(key, value)
        yield "    },"


def _entry(key: str, value: str, width: int = 120) -> Iterable[str]:
    if len(value) <= width:
        yield f"        {json.dumps(key)}: {json.dumps(value)},"
        return
    yield f"        {json.dumps(key)}: ("
    while value:
        cut = value.rfind("|", 0, width) + 1 if len(value) > width else len(value)
        yield f"            {json.dumps(value[:cut])}"
        value = value[cut:]
    yield "        ),"


def main() -> None:
    """Write the files below the folder given as argument, else in this collection."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else COLLECTION
    with tempfile.TemporaryDirectory() as directory, running_api_server(bundle_directory(), Path(directory)) as server:
        files = generate(fetch(server))
    for path, text in files.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text(text, encoding="utf-8")
        print(f"{path}: {len(text)} bytes")


if __name__ == "__main__":
    main()
