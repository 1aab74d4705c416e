# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container runtime of somebody else is not taken over unasked. Its files lie in a folder of the test, this machine's are not looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._host import runtimes
from ansible_collections.hosted.kubernetes.tests.support.playbooks import PlaybookRun, run_role

OURS = "# Written by the role hosted.kubernetes.container_runtime; change its variables instead.\n"
DOCKERS = 'disabled_plugins = ["cri"]\n'


def existing(folder: Path, **variables: object) -> PlaybookRun:
    files = {"__container_runtime_config": str(folder / "config.toml"), "__container_runtime_unit": str(folder / "containerd.service")}
    return run_role(folder, "container_runtime", tasks_from="existing", ansible_become=False, **files, **variables)


def test_a_configuration_of_somebody_else_is_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(DOCKERS, encoding="utf-8")
    done = existing(tmp_path)
    assert done.status == 2
    assert f"host localhost: a container runtime that this role did not set up is there (file {tmp_path}/config.toml" in done.text
    assert "set container_runtime_replace_existing to take it over" in done.text
    assert existing(tmp_path, container_runtime_replace_existing=True).status == 0


@pytest.mark.parametrize("written", [[], ["config.toml"], ["config.toml", "containerd.service"]], ids=["bare", "killed in between", "ours"])
def test_a_host_without_one_or_with_ours_is_fine(tmp_path: Path, written: list[str]) -> None:
    for name in written:
        (tmp_path / name).write_text(OURS, encoding="utf-8")
    done = existing(tmp_path)
    assert done.status == 0, done.output


@pytest.mark.parametrize(
    ("files", "active", "found"),
    [
        ({}, ["docker.service"], ["unit docker.service"]),
        ({"config": OURS}, ["docker.service", "containerd.service"], ["unit containerd.service", "unit docker.service"]),
        ({"config": OURS, "unit": OURS}, ["docker.service", "containerd.service"], []),
        ({"config": DOCKERS}, [], ["file config"]),
        ({"config": DOCKERS, "unit": OURS}, ["containerd.service"], ["file config", "unit containerd.service"]),
        ({}, [], []),
    ],
)
def test_docker_beside_ours_is_left_alone_but_without_ours_refused(files: dict[str, str], active: list[str], found: list[str]) -> None:
    assert runtimes.foreign("config", "unit", files.get, active.__contains__) == found
