# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One place for the management cluster's kubeconfig, whoever asks and from wherever."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.filter.management_kubeconfig import management_kubeconfig

MANAGEMENT = {"all": ["main", "worker"], "management": ["main"]}


def test_it_is_beside_the_inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    site.mkdir()
    hosts = site / "hosts.yml"
    hosts.touch()
    beside = str(site / ".kube/management.kubeconfig")
    assert management_kubeconfig([str(site)], MANAGEMENT) == beside
    assert management_kubeconfig([str(hosts), "other"], MANAGEMENT) == beside
    monkeypatch.chdir(site)
    assert management_kubeconfig(["hosts.yml"], MANAGEMENT) == beside


@pytest.mark.parametrize("sources", [[], ["main,worker,"], ["/nowhere/hosts"]])
def test_without_a_file_it_is_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert management_kubeconfig(sources, MANAGEMENT) == str(tmp_path / ".kube/management.kubeconfig")


@pytest.mark.parametrize("groups", [{"all": ["main"]}, {"all": ["main"], "management": []}])
def test_a_cluster_of_your_own_is_the_one_of_the_environment(tmp_path: Path, groups: dict[str, list[str]]) -> None:
    assert management_kubeconfig([str(tmp_path)], groups) == ""
