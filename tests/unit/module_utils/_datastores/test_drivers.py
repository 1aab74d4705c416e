# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of the datastore drivers needs no store: names, key ranges, the committed descriptor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import datastore as api
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import errors
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.connect import connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Isolation
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd import key_range
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_wire import methods

COLLECTION = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize(("schema", "user"), [("", "u"), ("s", ""), ("a/b", "u"), ("root", "u"), ("s", "root"), ("s\0", "u")])
def test_names_that_cannot_isolate_are_refused(schema: str, user: str) -> None:
    with pytest.raises(InvalidError, match="cannot keep tenants apart"):
        Isolation(schema, user)


def test_key_range_ends_with_the_prefix() -> None:
    key, end = key_range("acme")
    assert key <= b"/acme/registry/x" < end
    assert not key <= b"/acme-2/registry/x" < end
    assert not key <= b"/acme" < end


def test_every_call_uses_etcds_own_path() -> None:
    assert methods()["Range"].path == "/etcdserverpb.KV/Range"
    assert methods()["RoleGrantPermission"].path == "/etcdserverpb.Auth/RoleGrantPermission"


def test_the_committed_descriptor_is_that_of_the_proto_file() -> None:
    generate = COLLECTION / "tools/proto/generate.py"
    assert subprocess.run([sys.executable, generate, "--check"], check=False).returncode == 0


def test_a_driver_that_does_not_exist_yet_is_named() -> None:
    basic = {"content": "eA=="}
    spec = {"driver": "NATS", "endpoints": ["nats:4222"], "basicAuth": {"username": basic, "password": basic}}
    store = api.check({"metadata": {"name": "queue"}, "spec": spec})
    with pytest.raises(errors.DatastoreError, match=r'DataStore queue: spec\.driver "NATS" is not available'):
        connect(store, api.resolve(store, {}))
