# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Reader of a real host. It opens connections and an anonymous file, and changes nothing that lasts."""

from __future__ import annotations

import email.utils
import os
import platform
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import facts, reset, tools
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.pod_containers import Containerd
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.preflight.model import Answer, Disk, Route

_WRITES = 8
_BLOCK = b"\0" * 4096
# Linux's numbers (linux/in.h, linux/in6.h), which Python has no names for.
_IP_MTU, _IPV6_MTU = 14, 24
_ANSWER_BYTES = 16_384


class HostReader:
    """Reads this host. timeout_s: for each connection and program. ctr and socket: of containerd, for containers that are left."""

    def __init__(self, timeout_s: float, ctr: str, containerd: str) -> None:
        self._timeout_s = timeout_s
        self._ctr = ctr
        self._containerd = containerd
        self._membership: dict[str, Any] | None = None
        self.python = sys.version_info[:2]
        self.is_root = os.geteuid() == 0
        self.architecture = facts.architecture()
        self.kernel = platform.release()
        self.hostname = socket.gethostname()

    def text(self, path: str) -> str | None:
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                return stream.read()
        except OSError:
            return None

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def entries(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(folder))
        except OSError:
            return []

    def output(self, *arguments: str) -> str | None:
        try:
            done = subprocess.run(
                arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=self._timeout_s, check=False, env=tools.environment()
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.decode(errors="replace") if done.returncode == 0 else None

    def is_active(self, unit: str) -> bool:
        return facts.is_active(unit)

    def missing_tools(self, names: Sequence[str]) -> list[str]:
        return [tools.describe(name) for name in tools.missing(names)]

    def time_s(self) -> float:
        return time.time()

    def disk(self, path: str) -> Disk:
        seen = os.statvfs(facts.nearest(path))
        free_mb = seen.f_bavail * seen.f_frsize // (1 << 20)
        return Disk(free_mb, seen.f_favail if seen.f_files else None)

    def fsync_ms(self, path: str) -> float | None:
        """Write to a file without a name, so that nothing is left even of a run that is killed; None where that cannot be done."""
        try:
            descriptor = os.open(facts.nearest(path), os.O_TMPFILE | os.O_WRONLY, 0o600)
        except OSError:
            return None
        try:
            return min(_synchronised_write_ms(descriptor) for _unused in range(_WRITES))
        finally:
            os.close(descriptor)

    def listeners(self, ports: Sequence[int]) -> dict[str, str]:
        return facts.used_ports(ports, (self.text("/proc/net/tcp") or "") + (self.text("/proc/net/tcp6") or ""))

    def resolves(self, name: str) -> bool:
        try:
            return bool(socket.getaddrinfo(name, None))
        except OSError:
            return False

    def connect(self, target: str) -> Route:
        host, port = facts.split_target(target)
        try:
            with socket.create_connection((host, port), timeout=self._timeout_s) as connection:
                return Route(mtu=_path_mtu(connection))
        except OSError as error:
            return Route(problem=error.strerror or str(error))

    def ask_api_server(self, target: str, ca: str) -> Answer:
        """Ask for /version, which needs no account; only the answer's Date counts, whatever the answer is."""
        host, port = facts.split_target(target)
        request = f"GET /version HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n".encode()
        try:
            context = ssl.create_default_context(cadata=ca)
            with (
                socket.create_connection((host, port), timeout=self._timeout_s) as plain,
                context.wrap_socket(plain, server_hostname=host) as connection,
            ):
                connection.sendall(request)
                return Answer(clock_s=_date_s(connection))
        except (OSError, ValueError) as error:
            return Answer(problem=str(error))

    def membership(self) -> dict[str, Any]:
        if self._membership is None:
            self._membership = facts.read_membership()
        return self._membership

    def leftovers(self) -> list[str]:
        try:
            return [str(item) for item in reset.observe(Containerd(self._ctr, self._containerd))]
        except HostedKubernetesError as error:
            return [f"what cannot be looked at ({error.msg})"]


def _synchronised_write_ms(descriptor: int) -> float:
    started = time.perf_counter()
    os.pwrite(descriptor, _BLOCK, 0)
    os.fdatasync(descriptor)
    return (time.perf_counter() - started) * 1000


def _path_mtu(connection: socket.socket) -> int | None:
    is_v6 = connection.family == socket.AF_INET6
    try:
        return connection.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU) if is_v6 else connection.getsockopt(socket.IPPROTO_IP, _IP_MTU)
    except OSError:
        return None


def _date_s(connection: ssl.SSLSocket) -> float | None:
    """Clock of the server from the heading Date of its answer. Raises ValueError when the answer is not HTTP."""
    received = b""
    while b"\r\n\r\n" not in received and len(received) < _ANSWER_BYTES:
        chunk = connection.recv(4096)
        if not chunk:
            break
        received += chunk
    if not received.startswith(b"HTTP/1."):
        raise ValueError("it does not speak HTTP")
    for line in received.decode("latin-1").split("\r\n"):
        name, _colon, value = line.partition(":")
        if name.lower() == "date":
            return email.utils.parsedate_to_datetime(value.strip()).timestamp()
    return None
