# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role bundle as a whole, against a loopback server with upstream's paths: check, run, again, tampering."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.make import host_arch
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._host.bundle.conftest import KUBERNETES, Upstream, served

TREE_ROOT = Path(__file__).resolve().parents[6]
PLAY = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "roles": [{"role": "hosted.kubernetes.bundle"}]}]


@pytest.fixture(name="upstream")
def upstream_fixture() -> Iterator[Upstream]:
    with served(Upstream()) as upstream:
        yield upstream


class Role:
    """Runs the role with variables; the result of the last run is in `output` and `recap`."""

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self.cache = folder / "cache"
        self.bundle = self.cache / "bundles" / f"{KUBERNETES}-{host_arch()}"
        self._play = folder / "play.json"
        self._play.write_text(json.dumps(PLAY))
        self._variables: dict[str, Any] = {
            "ansible_python_interpreter": sys.executable,
            "bundle_cache_dir": str(self.cache),
            "bundle_arch": host_arch(),
            "bundle_kubernetes_url": upstream.url,
            "bundle_github_url": upstream.url,
            "bundle_registries": dict.fromkeys(("registry.k8s.io", "ghcr.io", "quay.io"), upstream.url),
        }
        self.output = ""

    def run(self, *options: str, **variables: Any) -> bool:
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(TREE_ROOT), "no_proxy": "*", "ANSIBLE_NOCOLOR": "1"}
        extra = json.dumps({**self._variables, **variables})
        command = ["ansible-playbook", "-i", "localhost,", "-e", extra, *options, str(self._play)]
        executable = str(Path(sys.executable).parent / command[0])
        done = subprocess.run([executable, *command[1:]], env=environment, capture_output=True, text=True, check=False)
        self.output = done.stdout + done.stderr
        return done.returncode == 0

    def text(self) -> str:
        """Return the output without the line breaks that older versions of ansible-core put into messages."""
        return " ".join(self.output.split())

    def is_unchanged(self) -> bool:
        return " changed=0 " in self.output


@pytest.fixture(name="role")
def role_fixture(tmp_path: Path, upstream: Upstream) -> Role:
    return Role(tmp_path, upstream)


def test_check_run_again_and_tampering(role: Role) -> None:
    assert role.run("--check"), role.output
    assert not role.is_unchanged()
    assert "Make containerd v2.2.5" in role.output
    assert f"Make etcd as kubeadm {KUBERNETES} names it" in role.output
    assert not role.bundle.exists()

    assert role.run(), role.output
    assert not role.is_unchanged()
    assert "  etcd v3.6.8: fetched http://127.0.0.1:" in role.output
    assert (role.bundle / "manifest.json").exists()

    for options in ([], ["--check"]):
        assert role.run(*options), role.output
        assert role.is_unchanged()

    (role.bundle / "bin/kubectl").write_bytes(b"something else")
    assert not role.run()
    assert f"{role.bundle}/bin/kubectl: expected SHA-256" in role.text()


def test_directory_needs_its_path(role: Role) -> None:
    assert not role.run(bundle_source="directory")
    assert "directory needs bundle_directory" in role.text()


def test_a_bad_version_names_the_variable(role: Role) -> None:
    assert not role.run(bundle_metallb_version="0.15")
    assert 'bundle_metallb_version "0.15" is not a version' in role.text().replace("\\", "")
