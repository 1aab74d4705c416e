# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast one tenant is backed up and restored, and how much memory that takes: 10 000 and 100 000 keys of 1000 bytes in a real etcd.

    make bench-backup

The plain read fetches the same pages and drops them. Each figure is that of a process of its own; memory is its highest resident size.
Ratios are of one run and the best of three each, since the machine does other things too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.record import Record
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.directory import DirectoryTarget
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.format import Header, Reader, Writer
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.connect import connect_etcd
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_data import EtcdData
from ansible_collections.hosted.kubernetes.tests.support.backups import KEY, records
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION, bundle_directory
from ansible_collections.hosted.kubernetes.tests.support.etcd import running_etcd
from ansible_collections.hosted.kubernetes.tests.support.tenants import datastore_definition, open_driver

SHARE: Final = Isolation("bench", "bench")
SIZE: Final = 1000
COUNTS: Final = (10_000, 100_000)
REPEATS: Final = 3
_HEADER: Final = Header("bench/bench", "2026-01-01T00:00:00Z", "0.1.0", "v1.36.3", "etcd", "bench", SHARE.schema)
_NAME: Final = "bench_bench_20260101T000000Z.hkbackup"


def plain(data: EtcdData, _directory: str) -> int:
    """Read all pages."""
    return sum(len(page.kvs) for page in data._pages(SHARE, pinned=True))


def back_up(data: EtcdData, directory: str) -> int:
    place = DirectoryTarget(directory)
    place.delete(_NAME)
    with place.create(_NAME) as sink:
        writer = Writer(sink.write, _HEADER, KEY)
        writer.resources({})
        revision = 0
        for page in data.read(SHARE):
            revision = page.revision
            writer.keys(page.records)
        return writer.end(revision).keys


def restore(data: EtcdData, directory: str) -> int:
    """Prove the file, then write it into the share, which is empty."""
    with DirectoryTarget(directory).open(_NAME) as source:
        for _record in _records(source):
            pass
        return data.replace(SHARE, _records(source)).put


def _records(source: Any) -> Iterable[Record]:
    source.rewind()
    reader = Reader(source.read, KEY)
    reader.resources()
    return reader.records()


WORK: Final = {"plain": plain, "back_up": back_up, "restore": restore}


def child(work: str, definition: str, directory: str) -> None:
    """Do one thing, print what it cost."""
    store = datastore.check(json.loads(definition))
    with connect_etcd(store, datastore.resolve(store, {}), timeout_s=30) as driver:
        driver._call("Range", key=b"/", count_only=True)
        started = time.monotonic()
        keys = WORK[work](EtcdData(driver), directory)
        seconds = time.monotonic() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"keys": keys, "s": seconds, "cpu_s": used.ru_utime + used.ru_stime, "peak_mib": used.ru_maxrss / 1024}))


def measured(work: str, definition: Json, directory: Path) -> dict[str, float]:
    command = [sys.executable, "-m", __spec__.name, "--child", work, "--directory", str(directory)]
    environment = {**os.environ, "PYTHONPATH": str(COLLECTION.parents[2])}
    done = subprocess.run(command, input=json.dumps(definition), env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", choices=WORK)
    parser.add_argument("--directory")
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, sys.stdin.read(), arguments.directory)
        return
    peaks = {}
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as name, running_etcd(bundle_directory(), Path(name), tls=True) as etcd:
            definition = datastore_definition("bench", etcd)
            with contextlib.closing(open_driver(etcd)) as driver:
                EtcdData(driver).replace(SHARE, records(count, SIZE))
                rounds = [
                    (measured("plain", definition, Path(name)), measured("back_up", definition, Path(name))) for _round in range(REPEATS)
                ]
                EtcdData(driver).replace(SHARE, [])
            back = measured("restore", definition, Path(name))
            size = (Path(name) / _NAME).stat().st_size
        read, written = (min((item[index] for item in rounds), key=lambda figures: figures["s"]) for index in (0, 1))
        peaks[count] = max(item[1]["peak_mib"] for item in rounds)
        print(
            f"{count} keys of {SIZE} bytes: plain read {read['s']:.2f} s, backup {written['s']:.2f} s (processor {written['cpu_s']:.2f} s), ",
            end="",
        )
        print(
            f"ratio {read['s'] / written['s']:.2f}, file {size / 1e6:.1f} MB, memory {peaks[count]:.0f} MiB (plain read {read['peak_mib']:.0f})"
        )
        print(f"{count} keys: restore {back['s']:.1f} s, memory {back['peak_mib']:.0f} MiB")
    print(f"memory at {COUNTS[1]} keys is {peaks[COUNTS[1]] / peaks[COUNTS[0]]:.2f} x that at {COUNTS[0]}")


if __name__ == "__main__":
    main()
