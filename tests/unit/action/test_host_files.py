# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller half of host_files looks up in a bundle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.action.host_files import resolve
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    base = {"version": "v1", "kind": "binary", "sha256": "aa"}
    artefacts = [{**base, "name": name, "path": f"bin/{name}"} for name in ("kubelet", "kubeadm")]
    (tmp_path / "manifest.json").write_text(json.dumps({"kubernetes": "v1.36.3", "arch": "amd64", "artefacts": artefacts}))
    return str(tmp_path)


def test_artefacts_get_their_checksum_and_text_stays(bundle: str) -> None:
    text = {"path": "/etc/unit", "content": "x"}
    entries, artefacts = resolve(
        bundle, [{"path": "/bin/kubelet", "artefact": "kubelet"}, {"path": "/bin/kubeadm", "artefact": "kubeadm"}, text]
    )
    assert [entry.get("sha256") for entry in entries] == ["aa", "aa", None]
    assert list(artefacts) == ["aa"]


def test_optional_artefacts_that_are_missing_are_left_out(bundle: str) -> None:
    assert resolve(bundle, [{"path": "/bin/runc", "artefact": "runc", "optional": True}]) == ([], {})


def test_missing_artefacts_are_named(bundle: str) -> None:
    with pytest.raises(HostedKubernetesError, match='has no binary "runc"'):
        resolve(bundle, [{"path": "/bin/runc", "artefact": "runc"}])


def test_text_needs_no_bundle() -> None:
    assert resolve("", [{"path": "/etc/unit", "content": "x"}]) == ([{"path": "/etc/unit", "content": "x"}], {})


def test_a_missing_bundle_says_how_to_make_one() -> None:
    with pytest.raises(HostedKubernetesError, match=r'bundle_dir "/nonexistent": No such file .* role hosted.kubernetes.bundle'):
        resolve("/nonexistent", [{"path": "/bin/kubelet", "artefact": "kubelet"}])
