# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of an etcd that this collection runs in the management cluster as a datastore, with their rules and names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import ETCD
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import KIND as DATASTORE_KIND
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.names import FIELD_MANAGER
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json

CLIENT_PORT: Final = 2379
PEER_PORT: Final = 2380
METRICS_PORT: Final = 2381
LABEL_INSTANCE: Final = "app.kubernetes.io/instance"
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LOCAL_STORAGE_CLASS: Final = "hosted-kubernetes-local"
# etcd refuses to serve beyond 8 GiB well (https://etcd.io/docs/v3.6/dev-guide/limit/#storage-size-limit).
MAX_QUOTA_BYTES: Final = 8 * 1024**3

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DURATION: Final = re.compile(r"([0-9]+h)?([0-9]+m)?([0-9]+s)?")
_CRON: Final = re.compile(r"@[a-z]+|\S+( \S+){4}")
_QUANTITY: Final = re.compile(r"[0-9]+(\.[0-9]+)?([KMGTP]i?)?")
_TAG: Final = re.compile(r":v?(?P<major>[0-9]+)\.(?P<minor>[0-9]+)")
_OWN_FLAGS: Final = (
    "name", "data-dir", "listen-", "advertise-", "initial-", "cert-file", "key-file", "trusted-ca-file", "client-cert-auth",
    "peer-", "quota-backend-bytes", "auto-compaction-",
)  # fmt: skip


@dataclass(frozen=True)
class LocalVolume:
    """A directory on a node of the management cluster that holds the data of one member. It exists beforehand."""

    node: str
    path: str


@dataclass(frozen=True)
class ManagedEtcd:
    """One etcd cluster. storage_class: None means the default class of the management cluster, if there are no local volumes.

    local_volumes: one per member, in order, or none. compaction_retention: history kept, such as "5m".
    defragmentation_schedule: cron expression, "" means never. resources: of a container.
    """

    name: str
    namespace: str
    members: int
    image: str
    storage_size: str
    quota_bytes: int
    storage_class: str | None = None
    local_volumes: tuple[LocalVolume, ...] = ()
    compaction_retention: str = "5m"
    defragmentation_schedule: str = ""
    key_algorithm: str = "ECDSA-P256"
    resources: Json | None = None
    node_selector: Mapping[str, str] | None = None
    tolerations: Sequence[Json] = ()
    priority_class: str | None = None
    extra_args: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise InvalidError.from_problems(f"etcd {self.namespace}/{self.name}", problems)

    @property
    def host(self) -> str:
        """The name under which the management cluster's pods reach it."""
        return f"{self.name}.{self.namespace}.svc"

    @property
    def peers_service(self) -> str:
        return f"{self.name}-peers"

    @property
    def labels(self) -> dict[str, str]:
        return {
            "app.kubernetes.io/name": ETCD,
            LABEL_INSTANCE: self.name,
            LABEL_COMPONENT: "datastore",
            LABEL_MANAGED_BY: FIELD_MANAGER,
        }

    @property
    def pod_labels(self) -> dict[str, str]:
        """What picks the members' pods."""
        return {LABEL_INSTANCE: self.name, LABEL_COMPONENT: "datastore"}

    @property
    def selector(self) -> str:
        """Picks every object of this etcd, within its namespace or among the cluster-wide ones."""
        return f"{LABEL_INSTANCE}={self.name},{LABEL_COMPONENT}=datastore,{LABEL_MANAGED_BY}={FIELD_MANAGER}"

    def secret(self, part: str) -> str:
        """Name of a Secret. part: ca, peer-ca, server, peer or root."""
        return f"{self.name}-etcd-{part}"

    def member(self, index: int) -> str:
        return f"{self.name}-{index}"

    def member_host(self, index: int) -> str:
        return f"{self.member(index)}.{self.peers_service}.{self.namespace}.svc"

    def claim(self, index: int) -> str:
        return f"data-{self.member(index)}"

    def volume(self, index: int) -> str:
        return f"{self.namespace}-{self.member(index)}"

    def datastore(self) -> Json:
        """The DataStore resource that records it. One endpoint, so that scaling does not change the tenants' pods."""

        def content(part: str, key: str) -> Json:
            return {"secretReference": {"namespace": self.namespace, "name": self.secret(part), "keyPath": key}}

        return {
            "apiVersion": KAMAJI_API_VERSION,
            "kind": DATASTORE_KIND,
            "metadata": {"name": self.name},
            "spec": {
                "driver": ETCD,
                "endpoints": [f"{self.host}:{CLIENT_PORT}"],
                "tlsConfig": {
                    "certificateAuthority": {"certificate": content("ca", "ca.crt"), "privateKey": content("ca", "ca.key")},
                    "clientCertificate": {"certificate": content("root", "tls.crt"), "privateKey": content("root", "tls.key")},
                },
            },
        }


def _problems(etcd: ManagedEtcd) -> Iterator[str]:
    for option, value in (("name", etcd.name), ("namespace", etcd.namespace)):
        # The longest name made of it, <name>-etcd-peer-ca or a pod's, must stay a DNS label.
        if len(value) > 48 or not _LABEL.fullmatch(value):
            yield f'{option} "{value}" is not a DNS label of at most 48 characters; use a-z, 0-9 and "-"'
    if etcd.members not in (1, 3, 5):
        yield f"members is {etcd.members}; an etcd has 1, 3 or 5 members, so that a majority survives"
    if etcd.local_volumes and len(etcd.local_volumes) != etcd.members:
        yield f"local_volumes names {len(etcd.local_volumes)} directories for {etcd.members} members; name one per member"
    if etcd.local_volumes and etcd.storage_class not in (None, LOCAL_STORAGE_CLASS):
        yield "storage_class and local_volumes exclude each other; give one of them"
    for index, volume in enumerate(etcd.local_volumes):
        if not volume.node or not volume.path.startswith("/"):
            yield f"local_volumes[{index}] needs the name of a node and an absolute path"
    if len(set(etcd.local_volumes)) != len(etcd.local_volumes):
        yield "local_volumes names a directory twice; members cannot share one"
    yield from _size_problems(etcd)
    yield from _image_problems(etcd.image)
    yield from _argument_problems(etcd.extra_args)


def _size_problems(etcd: ManagedEtcd) -> Iterator[str]:
    if not _QUANTITY.fullmatch(etcd.storage_size):
        yield f'storage_size "{etcd.storage_size}" is not a size; write for example 8Gi'
    if not 0 < etcd.quota_bytes <= MAX_QUOTA_BYTES:
        yield f"quota_bytes is {etcd.quota_bytes}; etcd works well from 1 to {MAX_QUOTA_BYTES} (8 GiB)"
    if not etcd.compaction_retention or not _DURATION.fullmatch(etcd.compaction_retention):
        yield f'compaction_retention "{etcd.compaction_retention}" is not a duration; write for example 5m or 1h'
    if etcd.defragmentation_schedule and not _CRON.fullmatch(etcd.defragmentation_schedule):
        yield f'defragmentation_schedule "{etcd.defragmentation_schedule}" is not a cron expression; write for example "30 3 * * 0"'


def _image_problems(image: str) -> Iterator[str]:
    tag = _TAG.search(image)
    if tag is None:
        yield f'image "{image}" has no version in its tag; give for example registry.k8s.io/etcd:3.6.8-0'
    elif (int(tag["major"]), int(tag["minor"])) < (3, 6):
        yield f'image "{image}" is older than etcd 3.6, whose flags are used here; give 3.6 or newer'


def _argument_problems(arguments: Sequence[Any]) -> Iterator[str]:
    for argument in arguments:
        flag = str(argument).removeprefix("--")
        if flag == argument or flag.startswith(_OWN_FLAGS):
            yield f'extra_args "{argument}" cannot be set here; give flags as --flag=value, other than those this module sets'
