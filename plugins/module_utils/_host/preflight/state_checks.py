# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of what is on a host already: room and speed of its disks, former clusters, other container runtimes."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.hosted.kubernetes.plugins.module_utils._host import runtimes
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.preflight.model import (
    ERROR,
    WARNING,
    Finding,
    Reader,
    Wanted,
    is_joined,
)

# Images are many small files; a file system of the smallest size that is asked for has ten times as many.
_MINIMUM_INODES = 20_000
# Kubernetes of other makers, whose agents manage kubelet and containerd themselves.
_AGENTS = ("k3s.service", "k3s-agent.service", "rke2-server.service", "rke2-agent.service", "k0sworker.service", "k0scontroller.service")
_SHOWN = 6


def disk(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    is_new = not is_joined(reader.membership())
    for path in wanted.disks:
        found = reader.disk(path)
        if is_new and found.free_mb < wanted.minimum_free_mb:
            problem = f"{found.free_mb} MiB free, {wanted.minimum_free_mb} MiB are needed"
            yield Finding("disk", ERROR, problem, path, "free some, or lower the minimum")
        if is_new and found.free_inodes is not None and found.free_inodes < _MINIMUM_INODES:
            yield Finding(
                "disk",
                WARNING,
                f"{found.free_inodes} files can be made, which images soon use up",
                path,
                "make a file system with more inodes",
            )


def disk_speed(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    if not wanted.maximum_fsync_ms:
        return
    for path in wanted.disks[:1]:
        found = reader.fsync_ms(path)
        if found is not None and found > wanted.maximum_fsync_ms:
            problem = f"the fastest of several synchronised writes took {found:.0f} ms, {wanted.maximum_fsync_ms:.0f} ms are fair"
            yield Finding("disk_speed", WARNING, problem, path, "use a faster disk; starts of pods wait for it")


def leftovers(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    membership = reader.membership()
    conf = membership["kubelet_conf"]
    if is_joined(membership):
        if conf is not None and conf["problem"]:
            yield Finding("leftovers", ERROR, conf["problem"], "/etc/kubernetes/kubelet.conf", "reset the host (playbook worker_reset)")
        return
    found = reader.leftovers()
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        problem = f"{len(found)} things of a former cluster are left"
        remedy = "reset the host (playbook worker_reset), which removes them and looks again"
        yield Finding("leftovers", WARNING, problem, ", ".join(found[:_SHOWN]) + more, remedy)


def container_runtime(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    remedy = "remove it, or set container_runtime_replace_existing to take it over"
    for found in runtimes.foreign(wanted.runtime_config, wanted.runtime_unit, reader.text, reader.is_active):
        yield Finding("container_runtime", ERROR, "a container runtime is there that these roles did not set up", found, remedy)


def other_kubernetes(reader: Reader, wanted: Wanted) -> Iterator[Finding]:
    for unit in _AGENTS:
        if reader.is_active(unit):
            yield Finding("other_kubernetes", ERROR, "another Kubernetes runs on the host", unit, "remove it, or choose another host")
