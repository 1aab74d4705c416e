# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller: watches fill a cache, changes become keys, workers have the engine make one step for each.

Thin on purpose. What is to be done is decided by _reconcile alone, as for a module; here is only when, and for whom.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.backoff import Backoff
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.cache import Cache
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.datastores import DataStores
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.events import Recorder
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.generators import Generators
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.leader import Election
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.metrics import Metrics
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.options import Options
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.reflector import SILENCE_S, Reflector
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.store import Changed
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.store_pool import StorePool
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.tenants import Tenants, Timing
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.triggers import DATASTORE, TENANT, concerned, everything
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.web import WebServer
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.work_queue import Key, WorkQueue
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.datastores import FreshOpener
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.engine import Engine, Settings
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.lease import HeldLease
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.pending import Pending

# Changes come in groups: one look serves those that follow each other closely.
_GATHER_S: Final = 0.1
_GATHER_OTHERS_S: Final = 2.0
_SYNC_LOOK_S: Final = 0.05
_LEASE_LOOK_S: Final = 1.0
# Who keeps a worker for so long, as a tenant whose API server does not answer, is served by workers of his own kind next time.
_SLOW_S: Final = 5.0
_SLOW_WORKERS: Final = 2
# A datastore is tried by one worker first.
_TRIED_S: Final = 0.5
# What a pod is given to end in must be longer.
_END_S: Final = 25.0

_log = logging.getLogger("hosted_kubernetes.controller")


class Controller:
    """One replica. connect: returns a new client for the management cluster. now: UTC.

    silence_s: for how long a watch may say nothing.
    """

    def __init__(
        self,
        options: Options,
        connect: Callable[[], Client],
        *,
        in_cluster: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        silence_s: float = SILENCE_S,
    ) -> None:
        self._options, self._silence_s = options, silence_s
        self._stop = threading.Event()
        self.metrics = Metrics()
        # Watches have a client of their own: it is closed at once at the end, while steps that were begun are finished.
        self._watching, self.client = connect(), connect()
        self._watching.listener = self.client.listener = self.metrics.called
        self.queue = WorkQueue()
        self.cache = Cache(options.namespaces, self._changed)
        self._pool = StorePool(FreshOpener(self.client, direct=in_cluster), options.resync.total_seconds())
        self._election = Election(self.client, options.lease_namespace, options.identity, self._stop, now)
        settings = Settings(
            holder=f"controller {options.identity}",
            patient=False,
            max_starting=options.max_starting,
            now=now,
            say=lambda text: _log.info("%s", text),
            tell=_tell_phase,
            turn_freed=self._turn_freed,
        )
        recorder = Recorder(self.client, options.identity, now)
        timing = Timing(options.resync, options.renew_before)
        engine = Engine(self.client, settings, self._pool)
        self._tenants = Tenants(self.client, engine, self.cache, recorder, self.metrics, timing, now)
        self._datastores = DataStores(self.client, self.cache, self._pool, recorder, self.metrics, options.resync, settings)
        self._generators = Generators(self.client, self.cache, self.metrics, options.resync)
        self._surprises = Backoff(1.0, 300.0)
        self._watches: list[Reflector] = []
        self._workers: list[threading.Thread] = []

    def run(self) -> bool:
        """Work, or wait for the turn to, until stop() is called; False when a step cannot be ended although another replica may work by now.

        Raises OSError when the web server's address is taken.
        """
        with ExitStack() as stack:
            stack.callback(self.client.close)
            stack.callback(self._pool.close)
            # The first to go, so that no new step is begun by what they tell.
            stack.callback(self._end_watches)
            self._serve(stack)
            self._watches = self.cache.start(self._watching, self._stop, silence_s=self._silence_s)
            self._wait_synced()
            while not self._stop.is_set():
                with self._election.won() as lease:
                    if lease is not None and not self._lead(lease):
                        return False
            return True

    def stop(self) -> None:
        """Have run() end: steps that were begun are finished, Leases are given back."""
        self._stop.set()

    def _lead(self, lease: HeldLease) -> bool:
        """Work until the end, or until the Lease is lost; whether all steps that were begun are finished."""
        _log.info("leads", extra={"identity": self._options.identity, "tenants": len(self.cache.tenants())})
        self.metrics.leading.set(1)
        self.queue.open()
        for key in everything(self.cache):
            self.queue.add(key)
        kinds = [False] * self._options.workers + [True] * _SLOW_WORKERS
        self._workers = [
            threading.Thread(target=self._work, args=(slow,), name=f"worker {number}", daemon=True) for number, slow in enumerate(kinds)
        ]
        for worker in self._workers:
            worker.start()
        self._keep(lease)
        self.metrics.leading.set(0)
        workers, self._workers = self._workers, []
        self.queue.close()
        deadline = time.monotonic() + _END_S
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        finished = not any(worker.is_alive() for worker in workers)
        _log.info("leads no more", extra={"identity": self._options.identity, "finished": finished})
        return finished

    def _keep(self, lease: HeldLease) -> None:
        """Until stop() is called, or the Lease could not be renewed: then it is another one's, or will be."""
        while not self._stop.wait(_LEASE_LOOK_S):
            try:
                lease.check()
            except HostedKubernetesError as error:
                _log.error("%s", error.msg)
                return

    def _wait_synced(self) -> None:
        started = time.monotonic()
        while self.cache.unsynced and not self._stop.wait(_SYNC_LOOK_S):
            pass
        if not self.cache.unsynced:
            _log.info("knows the management cluster", extra={"seconds": round(time.monotonic() - started, 3)})

    def _end_watches(self) -> None:
        self._stop.set()
        self._watching.close()

    # Changes and work

    def _changed(self, changed: Changed) -> None:
        """Told by the watches. Before all lists are read, and in a replica that waits, there is nobody to do anything: it begins with everything."""
        if self.cache.unsynced:
            return
        for key in concerned(changed, self.cache):
            self.queue.add(key, _GATHER_S if key.kind == TENANT else _GATHER_OTHERS_S)

    def _turn_freed(self) -> None:
        """Some tenant's pods are up, or held up: the next one's can start."""
        key = self._tenants.next_in_turn()
        if key is not None:
            self.queue.add(Key(TENANT, *key))

    def _work(self, slow: bool) -> None:
        while (key := self.queue.take(slow=slow)) is not None:
            started = time.monotonic()
            again_after_s: float | None = None
            try:
                again_after_s = self._reconcile(key)
            except Exception:  # noqa: BLE001  a fault of ours with one tenant must not end the work on all others
                _log.exception("an error that nobody foresaw; please report it", extra={"kind": key.kind, "tenant": str(key)})
                self.metrics.failed("Unforeseen")
                again_after_s = self._surprises.next_s(key)
            finally:
                self.queue.done(key, again_after_s, slow=time.monotonic() - started > _SLOW_S)

    def _reconcile(self, key: Key) -> float | None:
        try:
            again_after_s = self._step(key)
            self._surprises.reset(key)
            return again_after_s
        except Pending:
            return _TRIED_S
        except HostedKubernetesError as error:
            # Of one tenant it is its outcome; this came before there was one.
            _log.warning("%s", error.msg, extra={"kind": key.kind, "tenant": str(key)})
            self.metrics.failed("ReconcileFailed")
            return self._surprises.next_s(key)

    def _step(self, key: Key) -> float | None:
        if key.kind == TENANT:
            return self._tenants.reconcile((key.namespace, key.name))
        return self._datastores.reconcile(key.name) if key.kind == DATASTORE else self._generators.reconcile()

    # Pages

    def _serve(self, stack: ExitStack) -> None:
        if self._options.metrics_address is None:
            return
        self.metrics.watch(self.cache, self.queue, self._options.renew_before)
        pages = {"/healthz": self._healthy, "/readyz": self._ready, "/metrics": lambda: (HTTPStatus.OK, self.metrics.text())}
        server = WebServer(self._options.metrics_address, pages)
        stack.callback(server.close)
        _log.info("serves metrics and health", extra={"port": server.port})

    def _healthy(self) -> tuple[HTTPStatus, bytes]:
        dead = [thread.name for thread in (*self._watches, *self._workers) if not thread.is_alive()]
        if dead and not self._stop.is_set():
            return HTTPStatus.INTERNAL_SERVER_ERROR, f"these threads have ended: {', '.join(dead)}\n".encode()
        return HTTPStatus.OK, b"ok\n"

    def _ready(self) -> tuple[HTTPStatus, bytes]:
        unsynced = self.cache.unsynced
        if unsynced:
            return HTTPStatus.SERVICE_UNAVAILABLE, f"these were not listed yet: {', '.join(unsynced)}\n".encode()
        return HTTPStatus.OK, b"ok\n"


def _tell_phase(text: str) -> None:
    """One line of the engine about a tenant that is being changed: namespace/name: phase."""
    tenant, _separator, phase = text.partition(": ")
    _log.debug("works on a phase", extra={"tenant": tenant, "phase": phase})
