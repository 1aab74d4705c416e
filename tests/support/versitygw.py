# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real S3 server on loopback for tests: versitygw over a directory, built once from its Go module."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config

from ansible_collections.hosted.kubernetes.tests.support.bundle import cache_directory
from ansible_collections.hosted.kubernetes.tests.support.certificates import Authority
from ansible_collections.hosted.kubernetes.tests.support.processes import free_ports, running

VERSION: Final = "v1.8.0"
REGION: Final = "test-1"
ROOT: Final = ("root-access", "root-secret-of-the-test")
STRANGER: Final = ("stranger", "secret-of-a-stranger")
"""A user who may do nothing."""


def program() -> Path:
    """The server, kept in the cache; one file."""
    wanted = cache_directory() / "tests" / f"versitygw-{VERSION}"
    if not wanted.exists():
        wanted.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=wanted.parent) as made:
            # Without optimization and debugging data it is compiled in two thirds of the time.
            flags = ["-trimpath", "-gcflags", "all=-N -l -dwarf=false", "-ldflags", "-s -w"]
            go = ["go", "install", *flags, f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"]
            subprocess.run(go, env={**os.environ, "GOBIN": made, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}, check=True)
            (Path(made) / "versitygw").replace(wanted)
    return wanted


@dataclass
class S3Server:
    """One that runs. data: each bucket is a directory there."""

    port: int
    authority: Authority
    data: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def options(self) -> dict[str, str]:
        """Options of the modules, but for the bucket."""
        access_key, secret_key = ROOT
        ca_file = str(self.authority.pair.certificate)
        return {"endpoint": self.url, "region": REGION, "access_key": access_key, "secret_key": secret_key, "ca_file": ca_file}

    @functools.cached_property
    def client(self) -> Any:
        """The library's own client as root, to look at what is there."""
        access_key, secret_key = ROOT
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            verify=str(self.authority.pair.certificate),
            config=Config(s3={"addressing_style": "path"}),
        )

    def uploads(self, bucket: str) -> list[str]:
        """Keys of uploads that were not completed."""
        return sorted(item["Key"] for item in self.client.list_multipart_uploads(Bucket=bucket).get("Uploads", []))


@contextlib.contextmanager
def running_s3(directory: Path, data: Path | None = None, authority: Authority | None = None) -> Iterator[S3Server]:
    """Run a server. data: an empty directory, also one of its own file system."""
    authority = authority or Authority(directory)
    server = S3Server(free_ports(1)[0], authority, data or directory / "data")
    pair, users = authority.server("s3"), directory / "users"
    for path in (server.data, users):
        path.mkdir(exist_ok=True)
    access, secret = STRANGER
    account = {"access": access, "secret": secret, "role": "user", "userID": 0, "groupID": 0, "projectID": 0}
    (users / "users.json").write_text(json.dumps({"accessAccounts": {access: account}}), encoding="utf-8")
    argv = [str(program()), f"--port=127.0.0.1:{server.port}", f"--cert={pair.certificate}", f"--key={pair.key}", f"--region={REGION}"]
    argv += ["--quiet", f"--iam-dir={users}", "posix", str(server.data)]
    login = {"ROOT_ACCESS_KEY_ID": ROOT[0], "ROOT_SECRET_ACCESS_KEY": ROOT[1]}
    with running(argv, directory / "s3.log", lambda: _accepts(server.port), environment={**os.environ, **login}):
        yield server


def _accepts(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), 1):
        return True
