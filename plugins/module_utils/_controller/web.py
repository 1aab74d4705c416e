# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kubelet and Prometheus ask: /healthz, /readyz, /metrics. Plain HTTP; nothing secret is in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Page = Callable[[], tuple[HTTPStatus, bytes]]


class WebServer:
    """Serves pages from a thread of its own. address: host ("" for all) and port (0 for any)."""

    def __init__(self, address: tuple[str, int], pages: Mapping[str, Page]) -> None:
        class Handler(_Handler):
            _pages = pages

        self._server = ThreadingHTTPServer(address, Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="web", daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    _pages: Mapping[str, Page]
    timeout = 10

    def do_GET(self) -> None:
        page = self._pages.get(self.path.partition("?")[0], _missing)
        status, body = page()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Probes every few seconds are no news."""


def _missing() -> tuple[HTTPStatus, bytes]:
    return HTTPStatus.NOT_FOUND, b"not found\n"
