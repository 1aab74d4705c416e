# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All data of one share of a real etcd: read at one revision, replaced, and never anything beside it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.record import Record
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import errors, tenant_data
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.connect import connect_etcd
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd import EtcdDriver
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_data import EtcdData
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.tenant_data import Replaced
from ansible_collections.hosted.kubernetes.tests.support.backups import LiveNeighbour, content, fill, fingerprint, records
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION, binary
from ansible_collections.hosted.kubernetes.tests.support.etcd import Etcd, running_etcd
from ansible_collections.hosted.kubernetes.tests.support.tenants import datastore_definition, open_driver


@pytest.fixture(scope="module")
def driver(tls_etcd: Etcd) -> Iterator[EtcdDriver]:
    with contextlib.closing(open_driver(tls_etcd)) as driver:
        yield driver


@pytest.fixture
def share(driver: EtcdDriver) -> Iterator[Isolation]:
    """A share of its own; that of a neighbour begins with the same letters."""
    name = f"data_{secrets.token_hex(4)}"
    yield Isolation(name, name)
    EtcdData(driver).replace(Isolation(name, name), [])


@pytest.fixture
def neighbour(driver: EtcdDriver, share: Isolation) -> Iterator[Isolation]:
    found = Isolation(f"{share.schema}-2", f"{share.user}-2")
    yield found
    EtcdData(driver).replace(found, [])


def put(driver: EtcdDriver, share: Isolation, key: bytes, value: bytes, lease: int = 0) -> None:
    driver._call("Put", key=f"/{share.schema}/".encode() + key, value=value, lease=lease)


def compact(bundle: Path, etcd: Etcd, revision: int) -> None:
    assert etcd.authority
    assert etcd.root
    files = [f"--cacert={etcd.authority.pair.certificate}", f"--cert={etcd.root.certificate}", f"--key={etcd.root.key}"]
    subprocess.run(
        [binary(bundle, "etcdctl"), f"--endpoints={etcd.url}", *files, "compact", str(revision)], check=True, stdout=subprocess.DEVNULL
    )


def test_nothing(driver: EtcdDriver, share: Isolation) -> None:
    (page,) = EtcdData(driver).read(share)
    assert list(page.records) == []
    assert page.revision > 0
    assert EtcdData(driver).replace(share, []) == Replaced()


def test_all_pages_are_of_one_revision(driver: EtcdDriver, share: Isolation) -> None:
    before = fill(driver, share, 1200)
    pages = EtcdData(driver).read(share)
    first = next(pages)
    found = list(first.records)
    put(driver, share, before[-1].key, b"changed")
    put(driver, share, b"registry/zzz", b"new")
    driver._call("DeleteRange", key=f"/{share.schema}/".encode() + before[-2].key)
    rest = list(pages)
    assert len(found) < 1200
    assert [*found, *(item for page in rest for item in page.records)] == before
    assert {page.revision for page in rest} == {first.revision}


def test_compaction_meanwhile_is_an_error_of_its_own(driver: EtcdDriver, share: Isolation, tls_etcd: Etcd, bundle: Path) -> None:
    fill(driver, share, 1200, size=8000)
    pages = EtcdData(driver).read(share)
    revision = next(pages).revision
    put(driver, share, b"registry/zzz", b"new")
    compact(bundle, tls_etcd, revision + 1)
    with pytest.raises(errors.DatastoreCompactedError, match="was compacted while it was read"):
        list(pages)
    assert len(content(driver, share)) == 1201


def test_large_values(driver: EtcdDriver, share: Isolation) -> None:
    """More in one page than an answer may hold; and each larger than a batch is."""
    given = [Record(b"registry/%03d" % number, secrets.token_bytes(1_400_000)) for number in range(60)]
    assert EtcdData(driver).replace(share, given).put == 60
    assert [item for page in EtcdData(driver).read(share) for item in page.records] == given


def test_a_value_that_the_store_does_not_take(driver: EtcdDriver, share: Isolation) -> None:
    with pytest.raises(errors.DatastoreTooLargeError, match=r"refuses a write .*.*larger than max.*--max-request-bytes"):
        EtcdData(driver).replace(share, [Record(b"a", b"x" * 3_000_000)])


def test_keys_under_leases(driver: EtcdDriver, share: Isolation) -> None:
    """They keep the time they have left, and share a lease with those that have as much."""
    lease = driver._call("LeaseGrant", TTL=600).ID
    for number in range(3):
        put(driver, share, b"registry/events/%d" % number, b"event", lease)
    put(driver, share, b"registry/masterleases/192.0.2.7", b"lease", driver._call("LeaseGrant", TTL=30).ID)
    put(driver, share, b"registry/pods/web", b"pod")
    found = [item for page in EtcdData(driver).read(share) for item in page.records]
    assert [600 - 10 <= item.ttl_s <= 600 for item in found] == [True, True, True, False, False]
    assert 20 <= found[3].ttl_s <= 30
    assert found[4].ttl_s == 0

    EtcdData(driver).replace(share, [])
    EtcdData(driver).replace(share, found)
    page = driver._call("Range", key=f"/{share.schema}/".encode(), range_end=f"/{share.schema}0".encode())
    leases = [item.lease for item in page.kvs]
    assert leases[0] == leases[1] == leases[2] != leases[3] != 0 == leases[4]
    assert lease not in leases
    left = driver._call("LeaseTimeToLive", ID=leases[0])
    assert 580 <= left.TTL <= left.grantedTTL <= 600
    assert EtcdData(driver).replace(share, found) == Replaced(kept=5)


def test_only_what_differs_is_written(driver: EtcdDriver, share: Isolation) -> None:
    wanted = fill(driver, share, 1500)
    put(driver, share, wanted[7].key, b"changed")
    put(driver, share, b"registry/aaa", b"new")
    put(driver, share, b"registry/zzz", b"new")
    driver._call("DeleteRange", key=f"/{share.schema}/".encode() + wanted[900].key)
    expected = Replaced(put=2, deleted=2, kept=1498)
    assert EtcdData(driver).compare(share, wanted) == expected
    assert EtcdData(driver).compare(share, wanted) == expected
    assert EtcdData(driver).replace(share, wanted) == expected
    assert content(driver, share) == wanted
    before = fingerprint(driver, share)
    assert EtcdData(driver).replace(share, wanted) == Replaced(kept=1500)
    assert fingerprint(driver, share) == before


def test_a_sleeping_neighbour_is_not_touched(driver: EtcdDriver, share: Isolation, neighbour: Isolation) -> None:
    fill(driver, neighbour, 1000, seed=2)
    before = fingerprint(driver, neighbour)
    wanted = fill(driver, share, 1000)
    EtcdData(driver).replace(share, [])
    EtcdData(driver).replace(share, wanted)
    list(EtcdData(driver).read(share))
    assert fingerprint(driver, neighbour) == before


def test_a_live_neighbour_is_not_touched(driver: EtcdDriver, share: Isolation, neighbour: Isolation) -> None:
    with LiveNeighbour(driver, neighbour) as live:
        wanted = fill(driver, share, 3000)
        assert content(driver, share) == wanted
        EtcdData(driver).replace(share, wanted[1::2])
    assert live.check() > 10
    assert len(content(driver, share)) == 1500


def test_stopped_before_the_next_batch(driver: EtcdDriver, share: Isolation) -> None:
    def guard() -> None:
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        EtcdData(driver, guard=guard).replace(share, records(500))
    assert content(driver, share) == []


@pytest.mark.parametrize("batches", [1, 3, 7])
def test_killed_in_the_middle(driver: EtcdDriver, share: Isolation, tls_etcd: Etcd, batches: int) -> None:
    """The next call writes what is missing, and no more."""
    fill(driver, share, 900, seed=2)
    context = multiprocessing.get_context("forkserver")
    os.environ["PYTHONPATH"] = str(COLLECTION.parents[2])
    context.set_forkserver_preload([__name__])
    process = context.Process(target=replace_and_die, args=(datastore_definition("shared", tls_etcd), share, batches))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    wanted = list(records(900))
    assert EtcdData(driver).replace(share, wanted) == Replaced(
        put=900 - batches * tenant_data.BATCH_KEYS, kept=batches * tenant_data.BATCH_KEYS
    )
    assert content(driver, share) == wanted


def replace_and_die(definition: Json, share: Isolation, batches: int) -> None:
    store = api.check(definition)
    with connect_etcd(store, api.resolve(store, {})) as driver:
        EtcdData(driver, after_batch=partial(die, batches)).replace(share, records(900))


def die(batches: int, number: int) -> None:
    if number == batches:
        os.kill(os.getpid(), signal.SIGKILL)


def test_store_that_ends_in_the_middle(bundle: Path, tmp_path: Path) -> None:
    share = Isolation("data", "data")
    with contextlib.ExitStack() as server:
        etcd = server.enter_context(running_etcd(bundle, tmp_path, tls=True))
        with contextlib.closing(open_driver(etcd)) as driver:
            fill(driver, share, 1200, size=8000)
            pages = EtcdData(driver).read(share)
            next(pages)
            server.close()
            with pytest.raises(errors.DatastoreUnreachableError, match="check that it runs"):
                list(pages)
            with pytest.raises(errors.DatastoreUnreachableError, match="check that it runs"):
                EtcdData(driver).replace(share, records(10))
