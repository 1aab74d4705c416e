# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One real cluster for all tests of this layer, on a lab machine of its own. A missing bundle is an error that says `make bundle`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.tests.support.bundle import bundle_directory
from ansible_collections.hosted.kubernetes.tests.support.cluster import Cluster, running_cluster


@pytest.fixture(scope="session")
def bundle() -> Path:
    """Folder of the bundle under test."""
    return bundle_directory()


@pytest.fixture(scope="session")
def cluster(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A management cluster with the bundle's images, shared by the session: every test uses names of its own and removes what it made."""
    with running_cluster(bundle, tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def kubeconfig(cluster: Cluster) -> Path:
    """Path of an administrator's kubeconfig."""
    return cluster.kubeconfig
