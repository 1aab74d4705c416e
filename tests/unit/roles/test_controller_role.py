# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role controller without a cluster: what it refuses, what its image holds, and what a check says. With one: tests/integration/api."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.leader import LEASE
from ansible_collections.hosted.kubernetes.tests.support import controller_role
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION
from ansible_collections.hosted.kubernetes.tests.support.playbooks import run_role

DEFAULTS: dict[str, Any] = yaml.safe_load((COLLECTION / "roles/controller/defaults/main.yml").read_text(encoding="utf-8"))
# Login plugins of kubeconfigs, which a pod has none of, and backups, which the controller does not make.
NOT_IMPORTED = {"kubernetes", "backports-zstd"}


def names_of(path: str) -> set[str]:
    lines = (COLLECTION / path).read_text(encoding="utf-8").splitlines()
    return {match[0].lower() for match in (re.match(r"[A-Za-z0-9_-]+", line) for line in lines) if match}


def test_the_image_has_the_libraries_of_the_requirements_as_they_are_tested() -> None:
    libraries = [item.split("==") for item in DEFAULTS["controller_image_libraries"]]
    pins = dict(line.split("==") for line in (COLLECTION / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line)
    pins = {name.lower(): version for name, version in pins.items()}

    assert {name.lower(): version for name, version in libraries} == {name.lower(): pins[name.lower()] for name, _version in libraries}
    wanted = (names_of("requirements.txt") | names_of("requirements-controller.txt")) - NOT_IMPORTED
    assert wanted <= {name.lower() for name, _version in libraries}


def test_the_lease_that_it_may_write_is_the_one_of_the_election() -> None:
    variables = yaml.safe_load((COLLECTION / "roles/controller/vars/main.yml").read_text(encoding="utf-8"))
    assert variables["__controller_name"] == LEASE == controller_role.NAME


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"controller_kubeconfig": "/nowhere"},
            'controller_kubeconfig "/nowhere" does not exist on the controller; make the management cluster',
        ),
        (
            {"controller_namespaces": []},
            "controller_namespaces is empty; name the namespaces of the tenants to serve, or set controller_cluster_wide",
        ),
        (
            {"controller_namespaces": ["a", "b"], "controller_former_namespaces": ["b"]},
            "controller_former_namespaces: b is in controller_namespaces too",
        ),
        ({"controller_image": ""}, "controller_image is empty and no host is in the group management, so that nobody can bring an image"),
        ({"controller_log_level": "loud"}, "value of controller_log_level must be one of"),
    ],
)
def test_what_it_refuses(tmp_path: Path, variables: dict[str, Any], said: str) -> None:
    given = {"controller_kubeconfig": "", "controller_image": controller_role.IMAGE, **variables}
    tasks_from = "main" if "controller_log_level" in variables else "preflight"
    done = run_role(tmp_path, "controller", tasks_from=tasks_from, **given)
    assert done.status == 2, done.output
    assert said in done.text


def test_a_check_before_there_is_a_cluster_says_what_a_real_run_does(tmp_path: Path) -> None:
    done = run_role(tmp_path, "controller", "--check", controller_kubeconfig=str(tmp_path / "none"), controller_image=controller_role.IMAGE)
    assert (done.status, done.changed) == (0, 0), done.output
    assert "puts a controller with 2 replicas into its namespace hosted-kubernetes-system, for tenants." in done.text


def test_a_check_of_the_image_says_whether_it_would_be_made(tmp_path: Path) -> None:
    given = {"controller_image_cache_dir": str(tmp_path / "cache"), "controller_image_keyring": "/nowhere"}
    check = run_role(tmp_path, "controller", "--check", tasks_from="image", **given)
    assert (check.status, check.changed) == (0, 1), check.output
    assert not (tmp_path / "cache").exists()
    real = run_role(tmp_path, "controller", tasks_from="image", **given)
    assert real.status == 2, real.output
    assert "the controller's image cannot be made here: " in real.text
    assert "/nowhere: there is no such file; install the package debian-archive-keyring" in real.text
