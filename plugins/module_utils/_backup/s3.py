# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups in a bucket of S3-compatible storage, through boto3, of which this file is the gate.

An upload goes in parts and is no object before it is completed, so that a backup appears under its name when it is whole, or not at all. A download
is one stream; when it is cut, it goes on at the same byte of the same object, or ends with an error. Neither holds more than some parts in memory.
A missing library must not hinder an import (ansible-test imports every file without it), so the names stand for None until require() is called.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup import target
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.errors import BackupError

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError
except ImportError:
    boto3 = Config = None
    BotoCoreError = ClientError = Exception
    # The only one of them that has types, which a stand-in cannot match.
    HTTPError = Exception  # type: ignore[assignment,misc]

PART_BYTES: Final = 8 << 20
"""Servers take at least 5 MiB and at most 10 000 parts: 80 GB, ten times what an etcd may hold."""
_FLOOR: Final = (1, 36)
_PIECE_BYTES: Final = 256 << 10
_MOST_CUTS: Final = 5
"""Of one download without a byte between them."""
_MOST_TEXT: Final = 256
_DEFAULT_REGION: Final = "us-east-1"

_NO_ACCESS: Final = "this access key may not do that there; give it the rights that docs/backup.md lists"
_NO_SPACE: Final = "the server has no room left, or the quota is used up; make room or lower keep, then run again"
_REGION: Final = "the bucket is in another region; correct region, or endpoint"
_NETWORK: Final = "check endpoint, network and server, then run again"
_UNKNOWN: Final = "correct that, then run again"
# Codes of the protocol, then of servers, then numbers of HTTP where there is no code.
_REMEDIES: Final = {
    "NoSuchBucket": "there is no such bucket; make it, or correct bucket and endpoint",
    "NoSuchKey": "there is no such file; correct the name",
    "NoSuchUpload": "another run for the same, or a rule of the bucket, ended the upload; run again when no other run is at work",
    "PreconditionFailed": "another file has its name by now; run again",
    "AccessDenied": _NO_ACCESS,
    "InvalidAccessKeyId": "the server does not know this access key; correct access_key",
    "SignatureDoesNotMatch": "the secret key is not that of this access key; correct secret_key",
    "ExpiredToken": "the login has ended; get a new one",
    "RequestTimeTooSkewed": "the clocks of this host and of the server differ; set them right",
    "AuthorizationHeaderMalformed": _REGION,
    "PermanentRedirect": _REGION,
    "QuotaExceeded": _NO_SPACE,
    "XMinioStorageFull": _NO_SPACE,
    "403": _NO_ACCESS,
    "500": "the server failed; look into its log (is its disk full?), then run again",
    "503": "the server is not ready or has too much to do; run again later",
    "507": _NO_SPACE,
    # Classes of botocore.
    "SSLError": "its certificate must be valid for that name and signed by a CA of ca_file; correct the one that is wrong",
    "NoCredentialsError": "give access_key and secret_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile",
    "ProfileNotFound": "correct AWS_PROFILE, or give access_key and secret_key",
    "ParamValidationError": "correct bucket and prefix",
    "HTTPClientError": _NETWORK,
    "ConnectionError": _NETWORK,
}


@dataclass(frozen=True)
class Bucket:
    """A bucket and the way to it; an empty text means unset.

    endpoint: URL; AWS when unset. prefix: "folder" of the backups in the bucket. region: as the SDK finds it when unset. access_key, secret_key: both
    or none, then as the SDK finds them. ca_file: PEM; AWS_CA_BUNDLE or the CAs of the SDK when unset.
    Raises InvalidError for what cannot be right.
    """

    name: str
    endpoint: str = ""
    prefix: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    ca_file: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            raise InvalidError("s3.bucket is missing; give the name of a bucket that exists")
        url = urlsplit(self.endpoint)
        if self.endpoint and (url.scheme not in ("https", "http") or not url.hostname or url.username or url.query or url.fragment):
            raise InvalidError(
                f's3.endpoint "{url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()}" is no URL; write https://HOST:PORT'
            )
        if bool(self.access_key) != bool(self.secret_key):
            raise InvalidError("s3.access_key and s3.secret_key belong together; give both, or none to use those of the environment")
        if self.ca_file:
            try:
                ssl.create_default_context(cafile=self.ca_file)
            except OSError as error:
                raise InvalidError(f"s3.ca_file {self.ca_file}: {error.strerror or error}; give a readable file with CAs in PEM") from error

    @property
    def is_plain_http(self) -> bool:
        return urlsplit(self.endpoint).scheme == "http"

    @property
    def folder(self) -> str:
        """What stands before the name of a backup."""
        path = self.prefix.strip("/")
        return f"{path}/" if path else ""


class S3Target:
    """Implements target.BackupTarget. The bucket must be there."""

    def __init__(self, bucket: Bucket) -> None:
        require()
        self._bucket = bucket
        self._connected: Any = None

    def describe(self, name: str) -> str:
        return f"s3://{self._bucket.name}/{self._bucket.folder}{name}"

    def names(self) -> list[str]:
        with self.explained("list", ""):
            return [name for name in self._listed("") if target.is_name(name)]

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[_Upload]:
        with self.explained("write", name):
            self._clear(name)
            upload = _Upload(self, name, self.client(), self.location(name))
        try:
            yield upload
            with self.explained("write", name):
                if name in self._listed(name):
                    raise BackupError(f"cannot write {self.describe(name)}: another run wrote it in the same second; run again")
                upload.complete()
        except BaseException:
            with contextlib.suppress(BackupError), self.explained("write", name):
                upload.abort()
            raise

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[_Download]:
        with contextlib.closing(_Download(self, name)) as download:
            yield download

    def delete(self, name: str) -> None:
        with self.explained("remove", name):
            self.client().delete_object(**self.location(name))

    def location(self, name: str) -> dict[str, str]:
        """Arguments of a call about a file."""
        return {"Bucket": self._bucket.name, "Key": self._bucket.folder + name}

    def client(self) -> Any:
        """The connection, which is made when it is first used."""
        if self._connected is None:
            self._connected = _connected(self._bucket)
        return self._connected

    @contextlib.contextmanager
    def explained(self, verb: str, name: str) -> Iterator[None]:
        """Turn errors of the library into those of this package."""
        where = f"cannot {verb} {self.describe(name)} at {self._bucket.endpoint or 'AWS'}"
        try:
            yield
        except ClientError as error:
            told, status = error.response.get("Error", {}), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            code = str(told.get("Code"))
            remedy = _REMEDIES.get(code) or _REMEDIES.get(str(status), _UNKNOWN)
            reason = f"{code} (HTTP {status}) {told.get('Message', '')}"[:_MOST_TEXT].rstrip(" .")
            raise BackupError(f"{where}: {reason}; {remedy}", path=self.describe(name)) from error
        except (BotoCoreError, HTTPError) as error:
            remedy = next((_REMEDIES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _REMEDIES), _UNKNOWN)
            raise BackupError(
                f"{where}: {' '.join(str(error).split())[:_MOST_TEXT].rstrip(' .')}; {remedy}", path=self.describe(name)
            ) from error

    def _listed(self, start: str) -> Iterator[str]:
        """Names of all files that begin so."""
        pages = self.client().get_paginator("list_objects_v2")
        folder = self._bucket.folder
        for page in pages.paginate(Bucket=self._bucket.name, Prefix=folder + start, Delimiter="/"):
            yield from (item["Key"][len(folder) :] for item in page.get("Contents", []))

    def _clear(self, name: str) -> None:
        """End the uploads that killed runs for the same tenant or store have left."""
        folder, series = self._bucket.folder, target.series_of(name)
        pages = self.client().get_paginator("list_multipart_uploads")
        found = [item for page in pages.paginate(Bucket=self._bucket.name, Prefix=folder) for item in page.get("Uploads", [])]
        for item in found:
            if target.series_of(item["Key"][len(folder) :]) == series:
                self.client().abort_multipart_upload(Bucket=self._bucket.name, Key=item["Key"], UploadId=item["UploadId"])


class _Upload:
    """Implements target.Sink."""

    def __init__(self, place: S3Target, name: str, client: Any, location: dict[str, str]) -> None:
        self._place, self._name, self._client = place, name, client
        self._buffer, self._parts = bytearray(), list[dict[str, Any]]()
        upload = client.create_multipart_upload(**location, ContentType="application/octet-stream")
        self._upload = {**location, "UploadId": upload["UploadId"]}

    def write(self, content: bytes) -> None:
        self._buffer += content
        while len(self._buffer) >= PART_BYTES:
            part = bytes(memoryview(self._buffer)[:PART_BYTES])
            del self._buffer[:PART_BYTES]
            with self._place.explained("write", self._name):
                self._send(part)

    def complete(self) -> None:
        if self._buffer:
            self._send(bytes(self._buffer))
        self._client.complete_multipart_upload(**self._upload, MultipartUpload={"Parts": self._parts})

    def abort(self) -> None:
        self._client.abort_multipart_upload(**self._upload)

    def _send(self, part: bytes) -> None:
        number = len(self._parts) + 1
        sent = self._client.upload_part(**self._upload, PartNumber=number, Body=part)
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})


class _Download:
    """Implements target.Source: of one object, told by its ETag and, where the bucket keeps versions, its version."""

    def __init__(self, place: S3Target, name: str) -> None:
        self._place, self._name = place, name
        self._position = 0
        self._same: dict[str, str] = {}
        self._body: Any = None
        first = self._request()
        self._size, self._body = int(first["ContentLength"]), first["Body"]
        version = first.get("VersionId", "null")
        self._same = {"IfMatch": first["ETag"], **({} if version == "null" else {"VersionId": version})}

    def rewind(self) -> None:
        if self._position:
            self.close()
            self._position = 0

    def read(self, length: int) -> bytes:
        content = bytearray()
        while missing := min(length - len(content), self._size - self._position):
            content += self._piece(min(missing, _PIECE_BYTES))
        return bytes(content)

    def close(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def _request(self) -> Any:
        start = {"Range": f"bytes={self._position}-"} if self._position else {}
        with self._place.explained("read", self._name):
            return self._place.client().get_object(**self._place.location(self._name), **self._same, **start)

    def _piece(self, length: int) -> bytes:
        """Return some bytes, at least one; open the connection anew when it was cut."""
        cut: Exception | None = None
        for _attempt in range(_MOST_CUTS):
            if self._body is None:
                self._body = self._request()["Body"]
            try:
                content: bytes = self._body.read(length)
            except (BotoCoreError, HTTPError, OSError) as error:
                cut = error
                self.close()
                continue
            if content:
                self._position += len(content)
                return content
            self.close()
        raise BackupError(
            f"cannot read {self._place.describe(self._name)}: the connection was cut {_MOST_CUTS} times at byte {self._position} of {self._size}"
            f"{f' ({cut})' if cut else ''}; check network and server, then run again"
        ) from cut


def require() -> None:
    """Raise ImportError when boto3 cannot be imported or does not know a setting that is needed here."""
    importlib.import_module("boto3")
    if tuple(int(part) for part in boto3.__version__.split(".")[:2]) < _FLOOR:
        raise ImportError(f"boto3 {boto3.__version__} is too old", name="boto3")


def _connected(bucket: Bucket) -> Any:
    # The folder of the bucket in the path and no checksums of AWS' own: what all servers know. Every part is signed with its SHA-256 instead.
    settings = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if bucket.endpoint else "auto", "payload_signing_enabled": True},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        ignore_configured_endpoint_urls=True,
        retries={"mode": "standard", "total_max_attempts": 4},
        connect_timeout=10,
        read_timeout=60,
    )
    session = boto3.session.Session(
        aws_access_key_id=bucket.access_key or None,
        aws_secret_access_key=bucket.secret_key or None,
        region_name=bucket.region or None,
    )
    return session.client(
        "s3",
        region_name=session.region_name or _DEFAULT_REGION,
        endpoint_url=bucket.endpoint or None,
        # Never left to the library, for which an empty REQUESTS_CA_BUNDLE means not to verify.
        verify=bucket.ca_file or os.environ.get("AWS_CA_BUNDLE") or True,
        config=settings,
    )
