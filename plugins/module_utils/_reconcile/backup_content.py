# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a tenant is put into its backup beside its data, and what becomes of that in a restore. Pure.

Certificates and kubeconfigs are made anew at any time; only what cannot be made again is kept: authorities, the ServiceAccount keys and
the keys of the encryption at rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.secret_data import decoded, encoded
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.share import share_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.versions import parse_version
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import encryption, replicas
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secrets import Data
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.spec_patch import merged

SUFFIXES: Final = (names.CA, names.FRONT_PROXY_CA, names.SERVICE_ACCOUNT, names.ENCRYPTION)
"""Endings of the Secrets that cannot be made again."""
_LEFT_OUT: Final = (
    "kubectl.kubernetes.io/last-applied-configuration",
    names.ANNOTATION_PAUSED,
    names.ANNOTATION_REPLICAS,
    names.ANNOTATION_RESTORED,
)
# Kubernetes' providers whose ciphertext holds the whole key, prefix included, as authenticated data.
_BOUND_TO_KEYS: Final = frozenset({"aesgcm", "kms"})


@dataclass(frozen=True)
class KeptSecret:
    """One Secret that cannot be made again. annotations: those of its content, not of its name."""

    secret_type: str
    component: str
    annotations: Mapping[str, str]
    data: Data = field(repr=False)

    @property
    def fingerprint(self) -> str:
        text = json.dumps(encoded(self.data), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


Pki = Mapping[str, KeptSecret]
"""Ending of the name → Secret."""


@dataclass(frozen=True)
class Resources:
    """What a backup holds beside the data. pki: empty when it was left out; fingerprints: SHA-256 of each Secret in any case."""

    tenant: Json
    fingerprints: Mapping[str, str]
    pki: Pki = field(default_factory=dict, repr=False)

    def to_json(self) -> Json:
        secrets = {
            suffix: {
                "type": item.secret_type,
                "component": item.component,
                "annotations": dict(item.annotations),
                "data": encoded(item.data),
            }
            for suffix, item in self.pki.items()
        }
        return {"tenant": self.tenant, "fingerprints": dict(self.fingerprints), "secrets": secrets}

    @classmethod
    def from_json(cls, found: Json) -> Resources:
        """Raises HostedKubernetesError when this was not written by to_json()."""
        try:
            secrets = {
                suffix: KeptSecret(item["type"], item["component"], item["annotations"], decoded(item))
                for suffix, item in found["secrets"].items()
            }
            return cls(found["tenant"], found["fingerprints"], secrets)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise HostedKubernetesError("the backup does not hold the resources of a tenant; take another one") from error


def kept_secret(secret: Json) -> KeptSecret:
    """One of these Secrets as it was read."""
    metadata = secret["metadata"]
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key == names.ANNOTATION_ENCRYPTED_WITH}
    component = (metadata.get("labels") or {}).get(names.LABEL_COMPONENT, "")
    return KeptSecret(secret.get("type", "Opaque"), component, annotations, decoded(secret))


def resources_of(stored: Json, pki: Pki, *, with_pki: bool) -> Resources:
    """What is kept of a stored tenant. with_pki: also the content of its Secrets."""
    metadata, spec = stored["metadata"], stored["spec"]
    if replicas.named(stored) is None:
        # The number in it is nobody's wish.
        spec = merged(spec, {"controlPlane": {"deployment": {"replicas": None}}})
    kept = {key: value for key, value in (metadata.get("annotations") or {}).items() if key not in _LEFT_OUT}
    definition: Json = {
        "apiVersion": stored["apiVersion"],
        "kind": stored["kind"],
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            **({"labels": metadata["labels"]} if metadata.get("labels") else {}),
            **({"annotations": kept} if kept else {}),
        },
        "spec": spec,
    }
    return Resources(definition, {suffix: item.fingerprint for suffix, item in pki.items()}, pki if with_pki else {})


def definition_of(resources: Resources, schema: str, namespace: str, name: str, patch: Json | None) -> Json:
    """The definition of the tenant that is made from a backup: the one in it under the given name, with a merge patch of its spec.

    schema: of the share the data comes from. The same tenant gets the same share again; another one its own, unless the patch names one.
    """
    metadata = {**resources.tenant["metadata"], "name": name, "namespace": namespace}
    before = resources.tenant["metadata"]
    spec = dict(resources.tenant["spec"])
    for key in ("dataStoreSchema", "dataStoreUsername"):
        spec.pop(key, None)
    is_same = (before["namespace"], before["name"]) == (namespace, name)
    if is_same and schema != names.default_schema(namespace, name):
        spec["dataStoreSchema"] = schema
    return {**resources.tenant, "metadata": metadata, "spec": merged(spec, patch or {})}


def secret_manifest(suffix: str, kept: KeptSecret, namespace: str, tenant: str) -> Json:
    """The Secret of a tenant as it is made from a backup; the engine gives it its owner."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": kept.secret_type,
        "metadata": {
            "name": tenant + suffix,
            "namespace": namespace,
            "labels": names.labels(tenant, kept.component),
            **({"annotations": dict(kept.annotations)} if kept.annotations else {}),
        },
        "data": encoded(kept.data),
    }


def missing(resources: Resources, present: Pki) -> list[str]:
    """The Secrets that a restore makes."""
    return [suffix for suffix in SUFFIXES if suffix in resources.pki and suffix not in present]


def problems(resources: Resources, present: Pki) -> Iterator[str]:
    """Yield why the data of a backup does not fit to the Secrets that a tenant has; the endings of their names come first."""
    for suffix, fingerprint in resources.fingerprints.items():
        if suffix not in present:
            if suffix not in resources.pki:
                yield f"{suffix} does not exist, and the backup was made without PKI; restore that Secret first, or take another backup"
            continue
        if present[suffix].fingerprint == fingerprint:
            continue
        if suffix == names.ENCRYPTION:
            if not _reads(present[suffix], resources.pki.get(suffix)):
                yield (
                    f"{suffix} does not hold the keys with which the data of the backup is encrypted; restore the backup as a new tenant, "
                    "with the keys of then"
                )
        else:
            yield (
                f"{suffix} is another one than in the backup, and workers and tokens of now rest on it; restore the backup as a new tenant, "
                "or take one that was made since"
            )


def must_be_rewritten(resources: Resources, present: Pki) -> bool:
    """Whether restored data may be encrypted otherwise than the Secret says that all data is."""
    own = present.get(names.ENCRYPTION)
    return own is not None and own.fingerprint != resources.fingerprints.get(names.ENCRYPTION)


def binds_keys(resources: Resources) -> bool:
    """Whether the data can be read under its whole keys of then only, since a provider of its encryption has them in it."""
    kept = resources.pki.get(names.ENCRYPTION)
    if kept is None:
        return names.ENCRYPTION in resources.fingerprints
    return any(key.provider in _BOUND_TO_KEYS for keys in _layout(kept).values() for key in keys)


def _reads(present: KeptSecret, wanted: KeptSecret | None) -> bool:
    """Whether a Secret holds all keys of another one, for the same resources."""
    if wanted is None:
        return False
    have = {resource: {(key.provider, key.name, key.secret) for key in keys} for resource, keys in _layout(present).items()}
    need = {resource: {(key.provider, key.name, key.secret) for key in keys} for resource, keys in _layout(wanted).items()}
    return all(keys <= have.get(resource, set()) for resource, keys in need.items())


def _layout(kept: KeptSecret) -> Mapping[str, tuple[encryption.Key, ...]]:
    try:
        return encryption.read_layout(kept.data)
    except ValueError as error:
        raise InvalidError(f"Secret {names.ENCRYPTION} of the backup {error}; take another backup") from error


def version_problem(backed_up: str, present: str) -> str | None:
    """Why data that was written by one version cannot be given to another one, None when it can.

    An API server reads what its own minor and the one before have written.
    """
    before, now = parse_version(backed_up), parse_version(present)
    apart = now.minor - before.minor
    if before.major == now.major and 0 <= apart <= 1:
        return None
    return (
        f"runs {now}, and its API server may not read what {before} has stored; restore the backup as a new tenant (it gets the version of "
        "then), or take a newer backup"
    )


def version_of(stored: Json) -> str:
    """The version that ran last, or is wanted while none did."""
    recorded = (stored.get("status") or {}).get("kubernetesResources") or {}
    found: Any = (recorded.get("version") or {}).get("version") or stored["spec"]["kubernetes"]["version"]
    return str(found)


def share_problem(stored: Json) -> str | None:
    """Why the data of a tenant can be neither backed up nor restored, None when it can."""
    if share_of(stored).overrides:
        return (
            "keeps, or kept, some resources in other datastores (spec.dataStoreOverrides), and those cannot be backed up together at one "
            "moment; take snapshots of all of its stores"
        )
    return None
