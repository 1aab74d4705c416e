# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check asks of a host, what it may read there, and what it finds. Checks are pure: all they see of a host is a Reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.hosted.kubernetes.plugins.module_utils._host import runtimes

ERROR, WARNING = "error", "warning"
CONTAINER = "/run/systemd/container"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. severity: error (Kubernetes does not run, or the join fails) or warning (it may hurt later).

    problem: what is wrong. where: the file, port, device or address. remedy: what to do.
    """

    check: str
    severity: str
    problem: str
    where: str
    remedy: str

    def to_json(self) -> dict[str, str]:
        return {
            "check": self.check,
            "severity": self.severity,
            "problem": self.problem,
            "where": self.where,
            "remedy": self.remedy,
        }


@dataclass(frozen=True)
class Wanted:
    """What the host will be used for; the defaults are those of a worker.

    sysctls and kernel_modules: what the role host is going to set. swap_off: it is going to switch swap off. kubelet_configuration: settings
    of the host's kubelet as far as they are known. connect: "address:port" that the host must reach. api_server: "address:port" of the
    tenant's API server, whose certificate is checked by ca (PEM); its clock is compared with the host's. controller_time_s: seconds since
    the epoch on the controller's clock a moment ago. resolve: names that must have an address.
    """

    node_name: str = ""
    architecture: str = ""
    kernel_modules: Sequence[str] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    swap_off: bool = True
    kubelet_configuration: Mapping[str, Any] = field(default_factory=dict)
    systemd_cgroup: bool = True
    tools: Sequence[str] = ()
    ports: Sequence[int] = ()
    disks: Sequence[str] = ()
    minimum_free_mb: int = 0
    minimum_memory_mb: int = 0
    maximum_fsync_ms: float = 0
    connect: Sequence[str] = ()
    minimum_mtu: int = 1280
    resolve: Sequence[str] = ()
    api_server: str = ""
    ca: str = ""
    controller_time_s: float | None = None
    maximum_clock_offset_s: float = 240
    runtime_config: str = runtimes.CONFIG
    runtime_unit: str = runtimes.UNIT


@dataclass(frozen=True)
class Disk:
    """The file system a path lies on, or will lie on. free_inodes is None where the file system counts none."""

    free_mb: int
    free_inodes: int | None


@dataclass(frozen=True)
class Route:
    """How a connection went: problem is "" when it came about. mtu: of the path as the kernel knows it, None when it does not say."""

    problem: str = ""
    mtu: int | None = None


@dataclass(frozen=True)
class Answer:
    """What a tenant's API server said. clock_s: its clock, seconds since the epoch, None when it did not answer."""

    problem: str = ""
    clock_s: float | None = None


class Reader(Protocol):
    """All that a check may see of a host. Nothing here changes anything.

    text: content of a file, None when there is none. entries: names in a folder. output: what a program printed, None when it is not
    installed or failed. leftovers: what host_reset would remove, as "kind name". membership: see facts.read_membership.
    listeners: process by port, for those of ports that are in use. fsync_ms: the fastest of some synchronised writes.
    """

    python: tuple[int, int]
    is_root: bool
    architecture: str
    kernel: str
    hostname: str

    def text(self, path: str) -> str | None: ...
    def exists(self, path: str) -> bool: ...
    def entries(self, folder: str) -> list[str]: ...
    def output(self, *arguments: str) -> str | None: ...
    def is_active(self, unit: str) -> bool: ...
    def missing_tools(self, names: Sequence[str]) -> list[str]: ...
    def time_s(self) -> float: ...
    def disk(self, path: str) -> Disk: ...
    def fsync_ms(self, path: str) -> float | None: ...
    def listeners(self, ports: Sequence[int]) -> dict[str, str]: ...
    def resolves(self, name: str) -> bool: ...
    def connect(self, target: str) -> Route: ...
    def ask_api_server(self, target: str, ca: str) -> Answer: ...
    def membership(self) -> dict[str, Any]: ...
    def leftovers(self) -> list[str]: ...


def is_joined(membership: Mapping[str, Any]) -> bool:
    """Whether the host is a node of some cluster: its ports are in use and its disk is filled for a reason."""
    conf = membership["kubelet_conf"]
    return bool(membership["static_pods"]) or (conf is not None and bool(conf["ca_hashes"]))
