# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of the module tenant_control_plane in a process of its own, and what it cost.

Reads the module's arguments from standard input and prints one JSON object: result (of the module), ready_at (on the clock
of time.monotonic(), which all processes share; null when no tenant was reached), cpu_s (of this whole process, the start of
Python included) and calls ("management GET" → number).
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import Counter
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.modules import tenant_control_plane
from ansible_collections.hosted.kubernetes.tests.support.modules import run_module


class Recorder:
    """Notes every client that is made, and when the first tenant answered /readyz."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.ready_at: float | None = None

    def install(self) -> None:
        made, asked = Client.__init__, Client.get_raw

        def init(client: Client, *arguments: Any, **options: Any) -> None:
            made(client, *arguments, **options)
            self.clients.append(client)

        def get_raw(client: Client, path: str, **options: Any) -> str:
            text = asked(client, path, **options)
            if path == "/readyz" and self.ready_at is None:
                self.ready_at = time.monotonic()
            return text

        setattr(Client, "__init__", init)  # noqa: B010 - mypy refuses the plain assignment of a method
        setattr(Client, "get_raw", get_raw)  # noqa: B010

    def calls(self) -> Counter[str]:
        """The first client is the management cluster's, all others lead into tenants."""
        where = ["management", *["tenant"] * len(self.clients)]
        return Counter(f"{cluster} {call.method}" for cluster, client in zip(where, self.clients, strict=False) for call in client.calls)


def main() -> None:
    recorder = Recorder()
    recorder.install()
    result = run_module(tenant_control_plane.main, json.load(sys.stdin), diff=False)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime
    print(json.dumps({"result": result, "ready_at": recorder.ready_at, "cpu_s": cpu, "calls": recorder.calls()}))


if __name__ == "__main__":
    main()
