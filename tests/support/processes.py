# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Server processes of tests: started with their log in a file, known ready by asking, ended with their parent."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

_POLL_S = 0.05
_END_S = 15.0


class StartError(Exception):
    """A server process ended early or did not become ready; the message carries the end of its log."""


@contextlib.contextmanager
def running(
    argv: list[str], log: Path, is_ready: Callable[[], bool], *, timeout_s: float = 60.0, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends. The kernel kills it when this process dies, so that nothing is left behind.

    is_ready: asked every 50 ms; an OSError counts as "not yet". environment: all of the server's; that of this process when not given.
    Raises StartError when the server ends before it is ready, or is not ready after timeout_s.
    """
    with log.open("wb") as stream:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *argv],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        _wait_until_ready(process, argv[0], log, is_ready, timeout_s)
        yield process
    finally:
        _end(process)


def free_ports(count: int) -> list[int]:
    """Return TCP ports that are free on loopback at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for number in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [int(item.getsockname()[1]) for item in sockets]


def _wait_until_ready(process: subprocess.Popen[bytes], name: str, log: Path, is_ready: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StartError(f"{name} ended with status {process.returncode}; {log} ends with:\n{_tail(log)}")
        with contextlib.suppress(OSError):
            if is_ready():
                return
        time.sleep(_POLL_S)
    raise StartError(f"{name} was not ready after {timeout_s:.0f} s; {log} ends with:\n{_tail(log)}")


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
