# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The built artefact, installed where nothing knows of the checkout: documentation, playbooks and roles by their full names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

COLLECTION = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
PLAYBOOKS = sorted(path.stem for path in (COLLECTION / "playbooks").glob("*.yml"))
MODULES = sorted(path.stem for path in (COLLECTION / "plugins/modules").glob("*.py"))
ROLES = sorted(path.name for path in (COLLECTION / "roles").glob("*") if path.is_dir())
SIZE_LIMIT_BYTES = 20 * 1024 * 1024


def run(elsewhere: Path, *command: str) -> str:
    """Run one of Ansible's programs with only the installed collection in its path."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON"))}
    environment |= {"ANSIBLE_COLLECTIONS_PATH": str(elsewhere), "ANSIBLE_HOME": str(elsewhere / "home"), "NO_COLOR": "1"}
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]], cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artefact")
    run(folder, "ansible-galaxy", "collection", "build", "--output-path", str(folder), str(COLLECTION))
    (built,) = folder.glob("hosted-kubernetes-*.tar.gz")
    return built


@pytest.fixture(scope="session")
def elsewhere(artefact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("elsewhere")
    run(folder, "ansible-galaxy", "collection", "install", "--offline", "-p", str(folder), str(artefact))
    return folder


@pytest.fixture(scope="session")
def documented(elsewhere: Path) -> dict[str, dict[str, object]]:
    """What ansible-doc says, one call per kind: starting it costs half a second."""
    said = {}
    for kind, names in (("module", MODULES), ("role", ROLES)):
        said[kind] = json.loads(run(elsewhere, "ansible-doc", "--json", "--type", kind, *(f"hosted.kubernetes.{name}" for name in names)))
    return said


def test_artefact_is_of_this_version_and_small(artefact: Path) -> None:
    version = yaml.safe_load((COLLECTION / "galaxy.yml").read_text(encoding="utf-8"))["version"]

    assert artefact.name == f"hosted-kubernetes-{version}.tar.gz"
    assert artefact.stat().st_size < SIZE_LIMIT_BYTES


def test_artefact_holds_the_collection_and_no_build_results(elsewhere: Path) -> None:
    installed = elsewhere / "ansible_collections/hosted/kubernetes"

    assert {"README.md", "LICENSE", "meta", "plugins", "roles", "playbooks"} <= {path.name for path in installed.iterdir()}
    unwanted = {".git", ".venv", ".demo", ".ci", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".ansible", "__pycache__", "output"}
    assert [str(path) for path in installed.rglob("*") if path.name in unwanted] == []


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_playbook_runs_by_its_full_name(elsewhere: Path, playbook: str) -> None:
    """Resolves every import, role and module of the playbook; what it does is the scenarios' matter."""
    said = run(elsewhere, "ansible-playbook", "--syntax-check", "-i", "localhost,", f"hosted.kubernetes.{playbook}")

    assert f"playbook: {elsewhere}/ansible_collections/hosted/kubernetes/playbooks/{playbook}.yml" in said


@pytest.mark.parametrize("module", MODULES)
def test_module_is_documented(documented: dict[str, dict[str, dict[str, dict[str, object]]]], module: str) -> None:
    said = documented["module"][f"hosted.kubernetes.{module}"]

    assert said["doc"]["short_description"]
    assert said["examples"]
    assert said["return"]


@pytest.mark.parametrize("role", ROLES)
def test_role_is_documented(documented: dict[str, dict[str, dict[str, dict[str, dict[str, object]]]]], role: str) -> None:
    entries = documented["role"][f"hosted.kubernetes.{role}"]["entry_points"]

    assert entries["main"]["short_description"]
