# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the modules that write and read backups. Documented in plugins/doc_fragments/backup_target.py, those of the key in its KEY."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError

if TYPE_CHECKING:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.target import BackupTarget

BACKUP_PLACE = ArgumentSpec(
    options={
        "directory": {"type": "path"},
        "s3": {
            "type": "dict",
            "options": {
                "bucket": {"type": "str", "required": True},
                "endpoint": {"type": "str"},
                "prefix": {"type": "str"},
                "region": {"type": "str"},
                "access_key": {"type": "str", "no_log": False},
                "secret_key": {"type": "str", "no_log": True},
                "ca_file": {"type": "path"},
            },
        },
    },
    mutually_exclusive=[["directory", "s3"]],
    required_one_of=[["directory", "s3"]],
)
BACKUP_TARGET = BACKUP_PLACE.merge(ArgumentSpec(options={"encryption_key_file": {"type": "path", "no_log": False}}))


def backup_target(params: Mapping[str, Any]) -> BackupTarget:
    """The place that the options name. Raises HostedKubernetesError, and ImportError without boto3."""
    if params["s3"]:
        return _s3_target(params["s3"], encrypted=bool(params.get("encryption_key_file")), may_encrypt="encryption_key_file" in params)
    from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.directory import DirectoryTarget

    return DirectoryTarget(params["directory"])


def _s3_target(options: Mapping[str, Any], *, encrypted: bool, may_encrypt: bool) -> BackupTarget:
    from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.s3 import Bucket, S3Target

    given = {name: value or "" for name, value in options.items()}
    bucket = Bucket(name=given.pop("bucket"), **given)
    if bucket.is_plain_http and not encrypted:
        remedy = "use https://, or give encryption_key_file" if may_encrypt else "use https://"
        raise InvalidError(
            f"s3.endpoint {bucket.endpoint} sends backups in plain text, which whoever sees them could read and alter; {remedy}"
        )
    return S3Target(bucket)


def encryption_key(params: Mapping[str, Any]) -> bytes | None:
    """The key in the file that the options name; None when they name none. Raises HostedKubernetesError."""
    from ansible_collections.hosted.kubernetes.plugins.module_utils._backup import encryption, errors
    from ansible_collections.hosted.kubernetes.plugins.module_utils._host import private_files

    path = params["encryption_key_file"]
    if not path:
        return None
    content = private_files.read(path)
    if content is None:
        raise HostedKubernetesError(
            f"encryption_key_file {path} does not exist; make one with: umask 077; openssl rand -base64 32 > {path}"
        )
    problem = private_files.problem(path)
    if problem:
        raise HostedKubernetesError(
            f"encryption_key_file {path}: {problem}; chmod 600 {path}, or use a new key if somebody may have read it"
        )
    try:
        return encryption.read_key(content)
    except errors.EncryptionKeyError as error:
        raise HostedKubernetesError(f"encryption_key_file {path}: {error.msg}") from error
