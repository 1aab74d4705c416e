# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images are missing, from what containerd 2.2.5 prints."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.images import (
    LABEL,
    Containerd,
    WantedImage,
    missing,
    parse_listing,
)

TYPE = "application/vnd.docker.distribution.manifest.v2+json"
DIGEST = f"sha256:{'1f' * 32}"
# Columns as containerd v2.2.5 prints them, 2026-11-22.
LISTING = f"""\
REF                                TYPE   DIGEST   SIZE      PLATFORMS   LABELS
registry.k8s.io/pause:3.10.2       {TYPE} {DIGEST} 1.3 MiB   linux/amd64 {LABEL}=aaa,io.cri-containerd.image=managed,io.cri-containerd.pinned=pinned
registry.k8s.io/kube-proxy:v1.36.3 {TYPE} {DIGEST} 156.0 MiB linux/amd64 io.cri-containerd.image=managed
sha256:3f6c6b8dfc2ab1ab5cf7b9bf8  {TYPE} {DIGEST} 156.0 MiB linux/amd64 -
"""


def test_labels_are_read() -> None:
    assert parse_listing(LISTING) == {
        "registry.k8s.io/pause:3.10.2": "aaa",
        "registry.k8s.io/kube-proxy:v1.36.3": "",
        "sha256:3f6c6b8dfc2ab1ab5cf7b9bf8": "",
    }


def test_missing_are_those_that_are_absent_or_of_another_archive() -> None:
    pause = WantedImage("registry.k8s.io/pause:3.10.2", "aaa")
    newer = WantedImage("registry.k8s.io/pause:3.10.2", "bbb")
    absent = WantedImage("registry.k8s.io/coredns/coredns:v1.14.2", "ccc")
    foreign = WantedImage("registry.k8s.io/kube-proxy:v1.36.3", "ddd")
    labels = parse_listing(LISTING)
    assert missing([pause, absent, foreign], labels) == [absent, foreign]
    assert missing([newer], labels) == [newer]


def test_an_archive_that_was_damaged_on_its_way_is_not_imported(tmp_path: Path) -> None:
    calls, ctr, archive = tmp_path / "calls", tmp_path / "ctr", tmp_path / "archive"
    ctr.write_text(f'#!/bin/sh\necho "$@" >>{calls}\necho REF\necho registry.k8s.io/pause:3.10.2 -\n')
    ctr.chmod(0o755)
    archive.write_bytes(b"as it left")
    image = WantedImage("registry.k8s.io/pause:3.10.2", hashlib.sha256(b"as it left").hexdigest())
    containerd = Containerd(str(ctr), "/run/none.sock", "k8s.io")
    containerd.import_archive(image, str(archive))
    assert f"images import {archive}" in calls.read_text()

    calls.unlink()
    archive.write_bytes(b"as it came")
    with pytest.raises(
        HostedKubernetesError, match=rf"pause:3.10.2: its archive came to this host with SHA-256 \w+, .* says {image.sha256}; "
    ):
        containerd.import_archive(image, str(archive))
    assert not calls.exists()
