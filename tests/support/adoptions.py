# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Adoptions that are killed."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from pathlib import Path

import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import adoption
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION
from ansible_collections.hosted.kubernetes.tests.support.tenants import CRDS, RENEW_BEFORE_DAYS, settings_of


def adopt_and_die(kubeconfig: Path, number: int) -> bool:
    """Adopt in a process of its own that is killed (SIGKILL) right after change `number`; False when it ended well before that."""
    context = multiprocessing.get_context("forkserver")
    # The server, which has imported the engine and never opened a connection, does not learn sys.path from its parent.
    os.environ["PYTHONPATH"] = str(COLLECTION.parents[2])
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_adopt_and_die, args=(str(kubeconfig), number))
    process.start()
    process.join(180)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def _adopt_and_die(kubeconfig: str, number: int) -> None:
    changes = itertools.count(1)

    def die(_count: int) -> None:
        if next(changes) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    definitions = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(CRDS.glob("*.yaml"))]
    with connect(ConnectionOptions(kubeconfig=kubeconfig)) as client:
        settings = settings_of(holder="killed", timeout_s=120.0, after_change=die)
        adoption.adopt(client, adoption.Request(definitions, RENEW_BEFORE_DAYS), settings)
