# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encryption of a tenant's data at rest: which key comes where, and what is the next step on the way to what is wanted. Pure.

For each resource the Secret holds an order of keys, of which "identity" (plain text) is one: the first writes, all read. A key becomes
the first one only when every pod can read it, is the only one only when all objects were written with it, and each of these steps
rests on a finished roll-out. What is wanted is compared with what the Secret holds, so that a change of mind midway is no special case.
Source: https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/#rotating-a-decryption-key
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from secrets import token_bytes
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.readiness import deployment_problem, pod_counts
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.api_server_files import ENCRYPTION_FILE
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observed import Observed
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.secrets import (
    Authorities,
    Data,
    SecretSpec,
    SecretState,
    checksum,
    digest,
)

DATA_KEY: Final = ENCRYPTION_FILE
_KEY_BYTES: Final = 32


@dataclass(frozen=True)
class Key:
    """One key by its provider and name; secret (base64) is no part of its identity."""

    provider: str
    name: str = ""
    secret: str = field(default="", repr=False, compare=False)


IDENTITY: Final = Key("identity")
# Resource → its keys; the first one writes.
Layout = Mapping[str, tuple[Key, ...]]
Targets = Mapping[str, Key]


@dataclass(frozen=True)
class Encryption:
    """Where a tenant stands.

    spec: the Secret as it is wanted next; None when none is wanted (any more). used: whether the API servers are to be told of it.
    rewrite: resources that must be written anew now; marker: how that is recorded afterwards. stage: in words of status.
    """

    spec: SecretSpec | None = None
    used: bool = False
    rewrite: tuple[str, ...] = ()
    marker: str = ""
    stage: str = ""
    key: str = ""


def of(tenant: TenantControlPlane, observed: Observed) -> Encryption:
    """Work out the next step. Raises HostedKubernetesError when keys of a living tenant are lost."""
    state = observed.secrets.get(tenant.secret_name(names.ENCRYPTION))
    if state is None:
        _refuse_lost(tenant, observed)
        return _first(tenant, observed) if tenant.api_server.encryption else Encryption()
    if state.data is None:
        return _unread(tenant, observed, state)
    return _step(tenant, observed, state, state.data)


def read_layout(data: Data) -> dict[str, tuple[Key, ...]]:
    """The layout inside a Secret. Raises ValueError when there is none."""
    try:
        entries = json.loads(data[DATA_KEY])["resources"]
        return {resource: tuple(map(_read_key, entry["providers"])) for entry in entries for resource in entry["resources"]}
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"holds no layout: {error!r}") from error


def render(layout: Layout) -> bytes:
    """The EncryptionConfiguration of a layout."""
    resources = [{"resources": [name], "providers": [_provider(key) for key in keys]} for name, keys in sorted(layout.items())]
    body = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": resources}
    return json.dumps(body, sort_keys=True).encode()


def next_layout(layout: Layout, targets: Targets, *, rolled: bool, rewritten: bool) -> Layout:
    """The layout one step on; the same one when a roll-out or the rewriting is to be waited for, or nothing is left to do."""
    present = {resource: tuple(layout.get(resource, (IDENTITY,))) for resource in targets}
    readable = {name: keys if targets[name] in keys else (keys[0], targets[name], *keys[1:]) for name, keys in present.items()}
    if readable != layout:
        return readable
    if not rolled:
        return layout
    written = {name: (_same(keys, targets[name]), *(key for key in keys if key != targets[name])) for name, keys in readable.items()}
    if written != layout or not rewritten:
        return written
    return {name: (keys[0], IDENTITY) for name, keys in written.items() if keys[0] != IDENTITY}


def _first(tenant: TenantControlPlane, observed: Observed) -> Encryption:
    """No Secret yet: in a new tenant nothing is stored, so that the last step is the first one."""
    targets = _targets(tenant, {})
    if observed.lives(tenant.name):
        layout: Layout = {name: (IDENTITY, key) for name, key in targets.items()}
        return Encryption(_spec(targets, {}, layout, {}), used=True, stage="KeyAdded", key=_wanted(tenant).name)
    layout = {name: (key, IDENTITY) for name, key in targets.items()}
    return Encryption(_spec(targets, {}, layout, _mark(targets)), used=True, stage="Encrypted", key=_wanted(tenant).name)


def _unread(tenant: TenantControlPlane, observed: Observed, state: SecretState) -> Encryption:
    """Only its metadata is known: when the record says that it holds the last step, nothing is left to do."""
    if tenant.api_server.encryption is None:
        return Encryption(_spec({}, {}, {"unknown": ()}, {}), used=True)
    targets = _targets(tenant, {})
    last = {name: (key, IDENTITY) for name, key in targets.items()}
    done = _annotation(state) == _fingerprint(targets)
    spec = _spec(targets, {}, last if done else {"unknown": ()}, _mark(targets))
    return Encryption(spec, used=True, stage="Encrypted", key=_wanted(tenant).name)


def _step(tenant: TenantControlPlane, observed: Observed, state: SecretState, data: Data) -> Encryption:
    try:
        layout = read_layout(data)
    except ValueError as error:
        raise _lost(tenant, str(error)) from error
    targets = _targets(tenant, layout)
    found = checksum(data)
    rewritten = _annotation(state) == _fingerprint(targets)
    if rewritten and all(key == IDENTITY for key in targets.values()):
        # Everything is plain again: first no pod needs the keys any more, then they go.
        gone = _rolled(tenant, observed, "")
        return Encryption() if gone else Encryption(_spec(targets, layout, layout, _kept(state)), stage="Decrypted")
    rolled = _rolled(tenant, observed, found)
    wanted = next_layout(layout, targets, rolled=rolled, rewritten=rewritten)
    writes = all(layout.get(name, (IDENTITY,))[0] == key for name, key in targets.items())
    due = tuple(sorted(targets)) if writes and rolled and not rewritten else ()
    # What no longer has a key has no target either; the record of what was written follows.
    left = {name: key for name, key in targets.items() if name in wanted}
    annotations = _mark(left) if rewritten and wanted != layout else _kept(state)
    return Encryption(
        _spec(targets, layout, wanted, annotations),
        used=True,
        rewrite=due,
        marker=_fingerprint(targets),
        stage=_stage(layout, targets, rewritten=rewritten),
        key=_wanted(tenant).name,
    )


def _stage(layout: Layout, targets: Targets, *, rewritten: bool) -> str:
    if any(layout.get(name, (IDENTITY,))[0] != key for name, key in targets.items()):
        return "KeyAdded"
    if not rewritten:
        return "KeyFirst"
    left = any(len([key for key in keys if key != IDENTITY]) > 1 for keys in layout.values()) or len(layout) > len(
        [key for key in targets.values() if key != IDENTITY]
    )
    return "Rewritten" if left else "Encrypted"


def _targets(tenant: TenantControlPlane, layout: Layout) -> dict[str, Key]:
    """The key that is to write each resource; what is no longer to be encrypted becomes plain text."""
    settings = tenant.api_server.encryption
    resources = settings.resources if settings else ()
    return {**dict.fromkeys(layout, IDENTITY), **dict.fromkeys(resources, _wanted(tenant))}


def _wanted(tenant: TenantControlPlane) -> Key:
    """Its name follows from what the user says, so that another word is another key."""
    settings = tenant.api_server.encryption
    if settings is None:
        return IDENTITY
    return Key(settings.provider, "key-" + digest([settings.provider, settings.rotation])[:8])


def _rolled(tenant: TenantControlPlane, observed: Observed, found: str) -> bool:
    """Whether every pod runs with the configuration of that checksum ("": with none), and no other pod is left."""
    deployment = observed.find("Deployment", tenant.name)
    if deployment is None or tenant.asleep:
        return False
    annotations = deployment["spec"]["template"]["metadata"].get("annotations") or {}
    if annotations.get(names.ANNOTATION_ENCRYPTION, "") != found:
        return False
    pods = [pod for pod in observed.pods if pod_counts(pod)]
    return deployment_problem(deployment) is None and len(pods) <= deployment["spec"].get("replicas", 1)


def _spec(targets: Targets, before: Layout, wanted: Layout, annotations: Mapping[str, str]) -> SecretSpec:
    known = {key: key for keys in before.values() for key in keys}

    def check(data: Data, authorities: Authorities, now: datetime) -> str | None:
        return None if read_layout(data) == wanted else _reason(read_layout(data), wanted)

    def make(authorities: Authorities, now: datetime) -> dict[str, bytes]:
        fresh: dict[Key, Key] = {}
        for key in {key for keys in wanted.values() for key in keys}:
            fresh[key] = known.get(key) or _new(key)
        return {DATA_KEY: render({name: tuple(fresh[key] for key in keys) for name, keys in wanted.items()})}

    inputs = {
        "targets": _names({name: (key,) for name, key in targets.items()}),
        "layout": _names(wanted),
    }
    return SecretSpec(names.ENCRYPTION, "encryption-configuration", inputs, check, make, annotations=annotations)


def _reason(present: Layout, wanted: Layout) -> str:
    if any(key not in present.get(name, ()) for name, keys in wanted.items() for key in keys if key != IDENTITY):
        return "lacks the new key"
    if any(present.get(name, keys)[0] != keys[0] for name, keys in wanted.items()):
        return "does not write with the new key"
    return "still holds a key that nothing needs"


def _names(layout: Layout) -> Json:
    return {name: [f"{key.provider}/{key.name}" for key in keys] for name, keys in sorted(layout.items())}


def _fingerprint(targets: Targets) -> str:
    return hashlib.sha256(json.dumps(_names({name: (key,) for name, key in targets.items()})).encode()).hexdigest()[:16]


def _mark(targets: Targets) -> dict[str, str]:
    return {names.ANNOTATION_ENCRYPTED_WITH: _fingerprint(targets)}


def _annotation(state: SecretState) -> str:
    found: str = (state.metadata.get("annotations") or {}).get(names.ANNOTATION_ENCRYPTED_WITH, "")
    return found


def _kept(state: SecretState) -> dict[str, str]:
    return {names.ANNOTATION_ENCRYPTED_WITH: _annotation(state)} if _annotation(state) else {}


def _same(keys: tuple[Key, ...], wanted: Key) -> Key:
    return next(key for key in keys if key == wanted)


def _new(key: Key) -> Key:
    return key if key == IDENTITY else replace(key, secret=base64.b64encode(token_bytes(_KEY_BYTES)).decode())


def _read_key(provider: Json) -> Key:
    ((kind, settings),) = provider.items()
    if kind == IDENTITY.provider:
        return IDENTITY
    return Key(kind, settings["keys"][0]["name"], settings["keys"][0]["secret"])


def _provider(key: Key) -> Json:
    return {key.provider: {} if key == IDENTITY else {"keys": [{"name": key.name, "secret": key.secret}]}}


def _refuse_lost(tenant: TenantControlPlane, observed: Observed) -> None:
    deployment = observed.find("Deployment", tenant.name)
    if deployment is None:
        stage = ((observed.status.get("hosted") or {}).get("encryption") or {}).get("stage", "Decrypted")
        is_lost = stage != "Decrypted"
    else:
        is_lost = names.ANNOTATION_ENCRYPTION in (deployment["spec"]["template"]["metadata"].get("annotations") or {})
    if is_lost:
        raise _lost(tenant, "does not exist")


def _lost(tenant: TenantControlPlane, what: str) -> HostedKubernetesError:
    return HostedKubernetesError(
        f"TenantControlPlane {tenant.key}: Secret {tenant.namespace}/{tenant.secret_name(names.ENCRYPTION)} {what}, but data of this "
        "tenant is encrypted with the keys it held; restore that Secret from a backup of the management cluster and run again (without "
        "them the data cannot be read)"
    )
