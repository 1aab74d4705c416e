# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a bundle, as modules read it."""

from __future__ import annotations

import json

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.bundle import parse_bundle
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError

KUBELET = {"name": "kubelet", "version": "v1.36.3", "kind": "binary", "path": "bin/kubelet", "sha256": "aa", "source": "x"}
PAUSE = {**KUBELET, "name": "pause", "kind": "image", "path": "images/pause.tar", "reference": "registry.k8s.io/pause:3.10.2"}
TEXT = json.dumps({"kubernetes": "v1.36.3", "arch": "amd64", "artefacts": [KUBELET, PAUSE]})


def test_finds_by_kind_and_name() -> None:
    bundle = parse_bundle(TEXT, "manifest.json")
    assert (bundle.kubernetes, bundle.arch) == ("v1.36.3", "amd64")
    assert bundle.get("image", "pause").reference == "registry.k8s.io/pause:3.10.2"
    assert bundle.get("binary", "kubelet").reference is None
    assert bundle.find("image", "kubelet") is None


def test_a_missing_artefact_is_named_with_what_there_is() -> None:
    with pytest.raises(HostedKubernetesError, match=r'has no image "flannel" \(it has: pause\); make the bundle again'):
        parse_bundle(TEXT, "manifest.json").get("image", "flannel")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kubernetes": "v1", "arch": "amd64", "artefacts": [{"name": "x"}]}'])
def test_what_is_no_manifest_is_refused_with_its_path(text: str) -> None:
    with pytest.raises(HostedKubernetesError, match=r"^/bundle/manifest\.json: not a bundle manifest"):
        parse_bundle(text, "/bundle/manifest.json")
