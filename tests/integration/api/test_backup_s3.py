# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups in a bucket of a real S3 server: as in a directory, and nothing is lost when server, network or login fail."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import secrets
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.errors import BackupError
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.s3 import PART_BYTES, Bucket, S3Target
from ansible_collections.hosted.kubernetes.plugins.modules import datastore_snapshot, tenant_backup, tenant_restore
from ansible_collections.hosted.kubernetes.tests.support.backups import backup_request, content, fill, fingerprint, key_file, run_backup
from ansible_collections.hosted.kubernetes.tests.support.certificates import Authority
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module
from ansible_collections.hosted.kubernetes.tests.support.playbooks import run_playbook
from ansible_collections.hosted.kubernetes.tests.support.processes import free_ports
from ansible_collections.hosted.kubernetes.tests.support.relay import relay_to
from ansible_collections.hosted.kubernetes.tests.support.tenants import RENEW_BEFORE_DAYS, Tenant, run_and_die
from ansible_collections.hosted.kubernetes.tests.support.versitygw import REGION, ROOT, STRANGER, S3Server, running_s3

NAME = "team-a_acme_20261128T050009Z.hkbackup"
OLDER = "team-a_acme_20261127T050009Z.hkbackup"
PREFIX = "backups/tenants"
# The server takes Go more than a minute to build.
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running_s3(tmp_path_factory.mktemp("s3")) as found:
        yield found


@functools.cache
def connected(bucket: Bucket) -> S3Target:
    """One connection for all of a test."""
    return S3Target(bucket)


@dataclass(frozen=True)
class Place:
    """A bucket of a test, with what the modules need to reach it."""

    server: S3Server
    bucket: str
    key_file: Path

    @property
    def s3(self) -> dict[str, str]:
        return {"bucket": self.bucket, "prefix": PREFIX, **self.server.options}

    def where(self, **changes: str) -> Bucket:
        given = {**self.s3, **changes}
        return Bucket(name=given.pop("bucket"), **given)

    def target(self, **changes: str) -> S3Target:
        return connected(self.where(**changes))

    def objects(self) -> list[str]:
        return sorted(item["Key"] for item in self.server.client.list_objects_v2(Bucket=self.bucket).get("Contents", []))

    def options(self, tenant: Tenant, **changes: Any) -> dict[str, Any]:
        given = {
            "kubeconfig": str(tenant.ground.kubeconfig),
            "name": tenant.name,
            "namespace": tenant.namespace,
            "s3": self.s3,
            "encryption_key_file": str(self.key_file),
        }
        return {key: value for key, value in {**given, **changes}.items() if value is not None}

    def backup(self, tenant: Tenant, *, check: bool = False, **changes: Any) -> Any:
        return run_module(tenant_backup.main, self.options(tenant, **changes), check=check)

    def restore(self, tenant: Tenant, *, check: bool = False, **changes: Any) -> Any:
        options = {"renew_before": RENEW_BEFORE_DAYS, "wait": False, "in_place": True, **changes}
        return run_module(tenant_restore.main, self.options(tenant, **options), check=check)


@pytest.fixture
def place(server: S3Server, tmp_path: Path) -> Place:
    return make_place(server, tmp_path)


def make_place(server: S3Server, directory: Path) -> Place:
    bucket = f"test-{secrets.token_hex(4)}"
    server.client.create_bucket(Bucket=bucket)
    return Place(server, bucket, key_file(directory))


@pytest.fixture
def made(tenant: Tenant) -> Tenant:
    tenant.run()
    fill(tenant.ground.driver, tenant.isolation, 450)
    return tenant


def write(target: S3Target, name: str, text: bytes) -> None:
    with target.create(name) as sink:
        sink.write(text)


def begin(target: S3Target, name: str) -> None:
    """What a killed run leaves: an upload that has a part."""
    target.client().create_multipart_upload(**target.location(name))


# The place


def test_an_object_appears_when_it_is_complete(place: Place) -> None:
    target = place.target()
    assert target.names() == []
    with target.create(NAME) as sink:
        sink.write(b"one")
        assert target.names() == []
    assert target.names() == [NAME]
    assert target.describe(NAME) == f"s3://{place.bucket}/{PREFIX}/{NAME}"
    assert place.objects() == [f"{PREFIX}/{NAME}"]
    with target.open(NAME) as source:
        assert (source.read(2), source.read(9), source.read(9)) == (b"on", b"e", b"")
        source.rewind()
        assert source.read(3) == b"one"
    target.delete(NAME)
    target.delete(NAME)
    assert place.objects() == []


def test_only_backups_of_the_folder_count(place: Place) -> None:
    top = place.target(prefix="")
    for target in (place.target(), top, place.target(prefix=f"/{PREFIX}/deeper/")):
        write(target, NAME, b"x")
    place.target().client().put_object(Bucket=place.bucket, Key=f"{PREFIX}/notes.txt", Body=b"x")
    write(top, OLDER, b"x")
    assert (top.names(), place.target().names()) == ([OLDER, NAME], [NAME])
    top.delete(NAME)
    assert place.target().names() == [NAME]


def test_many_parts_in_little_memory(place: Place) -> None:
    """Of 48 MiB, sent and read in pieces that do not match the parts, never more than some parts are in memory."""
    target, piece = place.target(), os.urandom(3 << 20)
    tracemalloc.start()
    try:
        with target.create(NAME) as sink:
            for _number in range(16):
                sink.write(piece)
        with target.open(NAME) as source:
            for _number in range(16):
                assert source.read(len(piece)) == piece
            assert source.read(1) == b""
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * PART_BYTES
    (item,) = target.client().list_objects_v2(Bucket=place.bucket)["Contents"]
    assert item["ETag"].endswith('-6"')


def test_a_failure_leaves_nothing(place: Place) -> None:
    def fail() -> None:
        with place.target().create(NAME) as sink:
            sink.write(b"x" * (PART_BYTES + 1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (place.objects(), place.server.uploads(place.bucket)) == ([], [])


def test_an_existing_object_is_never_replaced(place: Place) -> None:
    write(place.target(), NAME, b"first")
    with pytest.raises(BackupError, match="another run wrote it in the same second; run again"):
        write(place.target(), NAME, b"second")
    with place.target().open(NAME) as source:
        assert source.read(9) == b"first"
    assert place.server.uploads(place.bucket) == []


def test_unfinished_uploads_of_this_tenant_are_ended(place: Place) -> None:
    target, others = place.target(), ("team-a_acme-2_20261128T050009Z.hkbackup", "notes.txt")
    for name in (NAME, OLDER, *others):
        begin(target, name)
    begin(place.target(prefix="elsewhere"), NAME)
    write(target, NAME, b"x")
    assert place.server.uploads(place.bucket) == sorted([f"elsewhere/{NAME}", *(f"{PREFIX}/{name}" for name in others)])
    assert target.names() == [NAME]


def test_two_runs_of_one_tenant_at_a_time(place: Place) -> None:
    """The later one wins; the earlier one says what happened."""

    def both() -> None:
        with place.target().create(OLDER) as sink:
            sink.write(b"first")
            write(place.target(), NAME, b"second")

    with pytest.raises(BackupError, match=r"NoSuchUpload .*another run of this tenant.* ended the upload"):
        both()
    assert place.target().names() == [NAME]


# The modules


def test_backup_and_restore(place: Place, made: Tenant) -> None:
    """Check, run, run again, with retention."""
    driver, old = made.ground.driver, f"{made.namespace}_{made.name}_20200101T000000Z.hkbackup"
    write(place.target(), old, b"x")
    predicted = place.backup(made, check=True, keep=1)
    assert place.target().names() == [old]
    done = place.backup(made, keep=1)
    assert predicted["removed"] == done["removed"] == [f"s3://{place.bucket}/{PREFIX}/{old}"]
    told = done["backup"]
    assert told["path"] == f"s3://{place.bucket}/{PREFIX}/{told['name']}"
    assert place.target().names() == [told["name"]]
    assert (told["keys"], told["encrypted"]) == (450, True)
    with place.target().open(told["name"]) as source:
        assert len(source.read(told["size"] + 1)) == told["size"]
    before = content(driver, made.isolation)
    fill(driver, made.isolation, 300, seed=2)
    damaged = fingerprint(driver, made.isolation)
    predicted = place.restore(made, check=True)
    assert fingerprint(driver, made.isolation) == damaged
    done = place.restore(made)
    assert done["plan"] == predicted["plan"]
    assert done["backup"]["sha256"] == told["sha256"]
    assert content(driver, made.isolation) == before
    for check in (False, True):
        assert not place.restore(made, check=check)["changed"]
    assert ROOT[1] not in str([predicted, done])


def test_refused_options(place: Place, made: Tenant, tmp_path: Path) -> None:
    bad = tmp_path / "bad.crt"
    bad.write_text("nothing")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"directory": str(tmp_path)}, "mutually exclusive: directory|s3"),
        ({"s3": None}, "one of the following is required: directory, s3"),
        ({"s3": {**place.s3, "bucket": ""}}, "s3.bucket is missing"),
        ({"s3": {**place.s3, "endpoint": "127.0.0.1:9000"}}, "is no URL; write https://HOST:PORT"),
        ({"s3": {**place.s3, "secret_key": ""}}, "s3.access_key and s3.secret_key belong together"),
        ({"s3": {**place.s3, "ca_file": str(bad)}}, f"s3.ca_file {bad}: "),
        ({"s3": {**place.s3, "ca_file": str(tmp_path / "none.crt")}}, "No such file or directory; give a readable file with CAs in PEM"),
        (
            {
                "s3": {**place.s3, "endpoint": f"http://127.0.0.1:{place.server.port}"},
                "encryption_key_file": None,
                "unencrypted": "everything",
            },
            "sends backups in plain text, which whoever sees them could read and alter; use https://, or give encryption_key_file",
        ),
    ]
    for changes, reason in cases:
        with pytest.raises(ModuleFailedError) as failed:
            place.backup(made, **changes)
        assert reason in failed.value.result["msg"]
        assert ROOT[1] not in str(failed.value.result)
    assert place.objects() == []


def test_boto3_is_missing_or_old(place: Place, made: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    told = "Python library boto3 is missing or too old for .*; install the collection's requirements-s3.txt there"
    with monkeypatch.context() as patched:
        patched.setattr(boto3, "__version__", "1.34.46")
        with pytest.raises(ModuleFailedError, match=told):
            place.backup(made)
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ModuleFailedError, match=told):
        place.backup(made)


def test_a_plain_backup_is_not_taken_for_an_encrypted_one(place: Place, made: Tenant) -> None:
    """Whoever can write to the bucket, but does not have the key, cannot bring data into a tenant."""
    place.backup(made, encryption_key_file=None, unencrypted="everything")
    with pytest.raises(ModuleFailedError, match="is not encrypted, so that anybody may have written it"):
        place.restore(made)
    assert not place.restore(made, encryption_key_file=None)["changed"]


def test_backup_killed_anywhere(place: Place, made: Tenant) -> None:
    """In the middle of an upload that has parts: nothing is visible, and the next run removes them."""
    start = f"/{made.isolation.schema}/registry/large"
    for number in range(9):
        made.ground.driver._call("Put", key=f"{start}{number}".encode(), value=os.urandom(1_200_000))
    request, parts = backup_request(made.namespace, made.name, Path(), place=S3Target(place.where())), 0
    for number in (1, 100):
        status = run_and_die(str(made.ground.kubeconfig), request, number, work=run_backup)
        if status != -signal.SIGKILL:
            break
        assert place.target().names() == []
        (key,) = place.server.uploads(place.bucket)
        (upload,) = place.server.client.list_multipart_uploads(Bucket=place.bucket)["Uploads"]
        parts += len(place.server.client.list_parts(Bucket=place.bucket, Key=key, UploadId=upload["UploadId"]).get("Parts", []))
    assert place.server.uploads(place.bucket) == []
    assert len(place.target().names()) == 1


def test_playbooks(place: Place, made: Tenant) -> None:
    variables: dict[str, Any] = {
        "tenant_control_plane_kubeconfig": str(made.ground.kubeconfig),
        "tenant_backup_tenants": made.key,
        "tenant_backup_encryption_key_file": str(place.key_file),
        **{f"tenant_backup_s3_{option}": value for option, value in place.s3.items()},
    }
    done = run_playbook("hosted.kubernetes.tenant_backup", "-vvv", **variables)
    assert (done.status, len(place.target().names())) == (0, 1), done.output
    assert ROOT[1] not in done.output
    fill(made.ground.driver, made.isolation, 10)
    extra: dict[str, Any] = {
        "tenant_restore_tenant": made.key,
        "tenant_restore_in_place": True,
        "tenant_control_plane_renew_before": RENEW_BEFORE_DAYS,
    }
    done = run_playbook("hosted.kubernetes.tenant_restore", **variables, **extra)
    assert (done.status, done.changed) == (0, 1), done.output
    assert len(content(made.ground.driver, made.isolation)) == 450


def test_a_snapshot_of_a_whole_store(place: Place, made: Tenant) -> None:
    """Beside backups of tenants in the same folder, each with a retention of its own; what a killed run has sent is removed."""
    store = made.ground.store
    place.backup(made)
    begin(place.target(), f"{store}_20260101T000000Z.snapshot.db")
    write(place.target(), f"{store}_20260102T000000Z.snapshot.db", b"older")
    variables: dict[str, Any] = {
        "datastore_kubeconfig": str(made.ground.kubeconfig),
        "datastore_snapshot_names": store,
        "datastore_snapshot_keep": 1,
        **{f"datastore_snapshot_s3_{option}": value for option, value in place.s3.items()},
    }
    done = run_playbook("hosted.kubernetes.datastore_snapshot", "-vvv", **variables)
    assert done.status == 0, done.output
    assert ROOT[1] not in done.output
    assert place.server.uploads(place.bucket) == []
    (backup, snapshot) = sorted(place.target().names(), key=lambda name: name.endswith(".snapshot.db"))
    assert backup.endswith(".hkbackup")
    with place.target().open(snapshot) as source:
        content_of = source.read(1 << 30)
    assert hashlib.sha256(content_of[:-32]).digest() == content_of[-32:]
    options = {"kubeconfig": str(made.ground.kubeconfig), "name": store, "s3": {**place.s3, "endpoint": "http://127.0.0.1:1"}}
    with pytest.raises(ModuleFailedError, match=r"sends backups in plain text, .*; use https://$"):
        run_module(datastore_snapshot.main, options)


# Faults


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"bucket": "nobody-made-it"},
            "NoSuchBucket (HTTP 404) The specified bucket does not exist; there is no such bucket; make it, or correct",
        ),
        (
            {"access_key": STRANGER[0], "secret_key": STRANGER[1]},
            "AccessDenied (HTTP 403) Access Denied; this access key may not do that there",
        ),
        ({"secret_key": "wrong"}, "; the secret key is not that of this access key; correct secret_key"),
        ({"access_key": "unknown"}, "; the server does not know this access key; correct access_key"),
        ({"bucket": "x/y"}, "; correct bucket and prefix"),
    ],
    ids=["bucket", "denied", "secret", "key", "name"],
)
def test_errors_say_what_to_do(place: Place, changes: dict[str, str], reason: str) -> None:
    target = place.target(**changes)
    with pytest.raises(BackupError) as listed:
        target.names()
    with pytest.raises(BackupError) as read, target.open(NAME):
        pass
    with pytest.raises(BackupError) as written:
        write(target, OLDER, b"x")
    for verb, failed in (("list", listed), ("read", read), ("write", written)):
        assert reason in failed.value.msg
        assert failed.value.msg.startswith(f"cannot {verb} s3://{changes.get('bucket', place.bucket)}/{PREFIX}/")
        assert f" at {place.server.url}: " in failed.value.msg
    assert place.objects() == []


def test_a_file_that_is_not_there(place: Place) -> None:
    with pytest.raises(BackupError, match=r"NoSuchKey .*; there is no such file; correct the name"), place.target().open(OLDER):
        pass


def test_connections_that_fail(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # An empty one makes the library connect without verification.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")
    foreign = str(Authority(tmp_path, "foreign").pair.certificate)
    cases: list[tuple[dict[str, str], str]] = [
        ({"ca_file": foreign}, "CERTIFICATE_VERIFY_FAILED.*; its certificate must be valid for that name and signed by a CA of ca_file"),
        ({"ca_file": ""}, "CERTIFICATE_VERIFY_FAILED"),
        (
            {"endpoint": f"https://127.0.0.1:{free_ports(1)[0]}"},
            "Could not connect to the endpoint URL: .*; check endpoint, network and server, then run again",
        ),
    ]
    for changes, reason in cases:
        with pytest.raises(BackupError, match=reason):
            place.target(**changes).names()


def test_logins_of_the_environment(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Key and CA as users of the library have them; without any, the message names them. An endpoint of the environment does not count."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    none = {"access_key": "", "secret_key": "", "region": "", "ca_file": ""}
    monkeypatch.setenv("AWS_CA_BUNDLE", str(place.server.authority.pair.certificate))
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with pytest.raises(BackupError, match="Unable to locate credentials; give access_key and secret_key, or AWS_ACCESS_KEY_ID"):
        S3Target(place.where(**none)).names()
    monkeypatch.setenv("AWS_PROFILE", "backups")
    with pytest.raises(BackupError, match=r"\(backups\) could not be found; correct AWS_PROFILE"):
        S3Target(place.where(**none)).names()
    (tmp_path / "credentials").write_text(f"[backups]\naws_access_key_id = {ROOT[0]}\naws_secret_access_key = {ROOT[1]}\n")
    assert S3Target(place.where(**none)).names() == []
    with pytest.raises(BackupError, match="AccessDenied"):
        place.target(**{**none, "access_key": STRANGER[0], "secret_key": STRANGER[1]}).names()


def test_a_download_that_is_cut_goes_on(place: Place) -> None:
    text = os.urandom(5 << 20)
    write(place.target(), NAME, text)
    with relay_to(place.server.port) as relay:
        target = place.target(endpoint=f"https://127.0.0.1:{relay.port}")
        relay.cuts, relay.cut_bytes = 3, 1_500_000
        with target.open(NAME) as source:
            assert source.read(len(text) + 1) == text
            assert (relay.cuts, relay.connections) == (0, 4)
            source.rewind()
            assert source.read(1 << 20) == text[: 1 << 20]


class Empty(http.server.BaseHTTPRequestHandler):
    """Promises an object of 100 bytes, and sends none of them."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_response(200 if self.asked == 1 else 206)
        self.send_header("ETag", '"x"')
        self.send_header("Content-Length", "100")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the output of the tests clean."""


def test_a_download_that_never_goes_on_ends(place: Place) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Empty) as broken:
        thread = threading.Thread(target=broken.serve_forever)
        thread.start()
        try:
            with place.target(endpoint=f"http://127.0.0.1:{broken.server_port}").open(NAME) as source, pytest.raises(BackupError) as failed:
                source.read(10)
        finally:
            broken.shutdown()
            thread.join()
    assert "the connection was cut 5 times at byte 0 of 100" in failed.value.msg
    assert Empty.asked == 5


def test_a_restore_whose_download_breaks_changes_nothing(place: Place, made: Tenant) -> None:
    for number in range(3):
        made.ground.driver._call("Put", key=f"/{made.isolation.schema}/registry/large{number}".encode(), value=os.urandom(1_000_000))
    place.backup(made)
    fill(made.ground.driver, made.isolation, 10)
    before = fingerprint(made.ground.driver, made.isolation)
    with relay_to(place.server.port) as relay:
        relay.cuts, relay.cut_bytes, relay.ends = 2, 1_500_000, True
        with pytest.raises(ModuleFailedError, match="cannot read s3://") as failed:
            place.restore(made, s3={**place.s3, "endpoint": f"https://127.0.0.1:{relay.port}"})
        # Of the list, of the file, and of its rest.
        assert relay.connections == 3
    assert "Could not connect to the endpoint URL" in failed.value.result["msg"]
    assert fingerprint(made.ground.driver, made.isolation) == before
    assert place.restore(made)["changed"]


def test_another_file_under_the_name_while_it_is_read(place: Place) -> None:
    target, text = place.target(), os.urandom(3 << 20)
    write(target, NAME, text)
    with target.open(NAME) as source:
        source.read(10)
        target.client().put_object(**target.location(NAME), Body=text[::-1])
        source.rewind()
        with pytest.raises(BackupError, match=r"PreconditionFailed .*another file has its name by now; run again"):
            source.read(10)


def test_disk_full(tmp_path: Path) -> None:
    """A server with 20 MiB: what was there stays, the new backup leaves nothing behind."""
    data = tmp_path / "small"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(data)], check=True)
    try:
        with running_s3(tmp_path, data) as server:
            place = make_place(server, tmp_path)
            write(place.target(), OLDER, b"first")
            with pytest.raises(
                BackupError, match=r"cannot write .*HTTP 507.*; the server has no room left, or the quota is used up; make room"
            ):
                write(place.target(), NAME, os.urandom(4 * PART_BYTES))
            assert place.target().names() == [OLDER]
            assert server.uploads(place.bucket) == []
    finally:
        subprocess.run(["umount", str(data)], check=True)
