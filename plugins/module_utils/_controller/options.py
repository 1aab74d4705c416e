# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import SERVICE_ACCOUNT
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import LEAF_VALIDITY


@dataclass(frozen=True)
class Options:
    """How a controller runs. kubeconfig None: as the pod's service account. namespaces: those that are served, empty for all.

    metrics_address: host and port, None for no web server. max_starting: API servers that start at a time; 0 derives it.
    """

    kubeconfig: str | None
    namespaces: tuple[str, ...]
    workers: int
    identity: str
    lease_namespace: str
    metrics_address: tuple[str, int] | None
    renew_before: timedelta
    resync: timedelta
    max_starting: int
    log_level: str


def read(arguments: Sequence[str]) -> Options:
    """Return the options of a command line; ends the process with a message when it is wrong."""
    parser = argparse.ArgumentParser(
        prog="hosted-kubernetes-controller", description="Keeps tenant control planes as their resources say.", allow_abbrev=False
    )
    parser.add_argument("--kubeconfig", help="of the management cluster; without it the service account of the pod is used")
    parser.add_argument("--namespace", action="append", default=[], help="serve this namespace only; may be given more than once")
    parser.add_argument("--workers", type=_positive, default=8, help="tenants that are worked on at a time (default: %(default)s)")
    parser.add_argument("--identity", default=socket.gethostname(), help="name of this replica, for Leases and events (default: host name)")
    parser.add_argument("--lease-namespace", help="where replicas elect the one that works (default: the pod's namespace)")
    parser.add_argument(
        "--metrics-address",
        type=_address,
        default=("", 8080),
        help='HOST:PORT of /metrics, /healthz and /readyz; "" for none (default: :8080)',
    )
    parser.add_argument(
        "--renew-before", type=_renew_before, default=timedelta(days=30), metavar="DAYS", help="renew certificates so early"
    )
    parser.add_argument(
        "--resync",
        type=_minutes,
        default=timedelta(minutes=10),
        metavar="MINUTES",
        help="look again inside awake tenants and at datastores so often",
    )
    parser.add_argument(
        "--max-starting", type=int, default=0, help="control planes that may start at a time; 0: as the nodes have free CPU"
    )
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    given = parser.parse_args(arguments)
    return Options(
        kubeconfig=given.kubeconfig,
        namespaces=tuple(dict.fromkeys(given.namespace)),
        workers=given.workers,
        identity=given.identity,
        lease_namespace=given.lease_namespace or _own_namespace(),
        metrics_address=given.metrics_address,
        renew_before=given.renew_before,
        resync=given.resync,
        max_starting=given.max_starting,
        log_level=given.log_level,
    )


def _own_namespace() -> str:
    path = Path(SERVICE_ACCOUNT) / "namespace"
    return path.read_text(encoding="utf-8").strip() if path.is_file() else "default"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _address(text: str) -> tuple[str, int] | None:
    host, colon, port = text.rpartition(":")
    if not text:
        return None
    if not colon or not port.isdigit():
        raise argparse.ArgumentTypeError("must be HOST:PORT or :PORT")
    return host.strip("[]"), int(port)


def _renew_before(text: str) -> timedelta:
    days = int(text)
    if not 0 <= days < LEAF_VALIDITY.days:
        raise argparse.ArgumentTypeError(f"must be from 0 to {LEAF_VALIDITY.days - 1} days, so that a new certificate is not due at once")
    return timedelta(days=days)


def _minutes(text: str) -> timedelta:
    minutes = float(text)
    if minutes <= 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return timedelta(minutes=minutes)
