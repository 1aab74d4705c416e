# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The built artefact, installed where nothing knows of the checkout: documentation, playbooks and roles by their full names."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.make import host_arch
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._host.bundle.conftest import KUBERNETES, Upstream, served

COLLECTION = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
PLAYBOOKS = sorted(path.stem for path in (COLLECTION / "playbooks").glob("*.yml"))
MODULES = sorted(path.stem for path in (COLLECTION / "plugins/modules").glob("*.py"))
ROLES = sorted(path.name for path in (COLLECTION / "roles").glob("*") if path.is_dir())
SIZE_LIMIT_BYTES = 20 * 1024 * 1024


def tried(elsewhere: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's programs with only the installed collection in its path."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON", "K8S_AUTH_"))}
    environment |= {"ANSIBLE_COLLECTIONS_PATH": str(elsewhere), "ANSIBLE_HOME": str(elsewhere / "home"), "NO_COLOR": "1", "no_proxy": "*"}
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]], cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
    )


def run(elsewhere: Path, *command: str) -> str:
    """Return what such a program prints; it must succeed."""
    done = tried(elsewhere, *command)
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
def test_playbook_is_found_by_its_full_name(elsewhere: Path, playbook: str) -> None:
    """Resolves every import, role and module of the playbook; two of them are run below, all of them by the scenario."""
    said = run(elsewhere, "ansible-playbook", "--syntax-check", "-i", "localhost,", f"hosted.kubernetes.{playbook}")

    assert f"playbook: {elsewhere}/ansible_collections/hosted/kubernetes/playbooks/{playbook}.yml" in said


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    """A loopback server with upstream's paths."""
    with served(Upstream()) as upstream:
        yield upstream


@pytest.fixture
def site(elsewhere: Path, upstream: Upstream) -> tuple[str, ...]:
    """Options of a site whose only host is this machine, as the present user, with a bundle that the loopback server gives."""
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
    inventory = elsewhere / "inventory.json"
    groups = {"management": {"hosts": {"localhost": host}}, "workers": {"hosts": {}}}
    inventory.write_text(json.dumps({"all": {"children": groups}}), encoding="utf-8")
    variables = {
        "bundle_cache_dir": str(elsewhere / "cache"),
        "bundle_arch": host_arch(),
        "bundle_kubernetes_version": KUBERNETES,
        "bundle_kubernetes_url": upstream.url,
        "bundle_github_url": upstream.url,
        "bundle_registries": dict.fromkeys(("registry.k8s.io", "ghcr.io", "quay.io"), upstream.url),
    }
    return ("-i", str(inventory), "-e", json.dumps(variables))


def test_the_bundle_is_made_from_the_installed_collection(elsewhere: Path, site: tuple[str, ...]) -> None:
    run(elsewhere, "ansible-playbook", *site, "hosted.kubernetes.bundle")
    manifest = json.loads((elsewhere / f"cache/bundles/{KUBERNETES}-{host_arch()}/manifest.json").read_text(encoding="utf-8"))
    assert {"kubeadm", "containerd"} <= {item["name"] for item in manifest["artefacts"]}

    assert " changed=0 " in run(elsewhere, "ansible-playbook", *site, "hosted.kubernetes.bundle")


def test_the_preflight_runs_from_the_installed_collection(elsewhere: Path, site: tuple[str, ...]) -> None:
    looked = tried(elsewhere, "ansible-playbook", *site, "hosted.kubernetes.preflight")
    assert "Leave workers out that cannot be administered" in looked.stdout
    # The site's host is this machine: whether it can be administered, and what else is in the way, depends on who and where we are.
    errors = sorted(set(re.findall(r"ERROR +(\w+) ", looked.stdout)))
    assert looked.returncode == (2 if errors or os.geteuid() != 0 else 0), looked.stdout
    if os.geteuid() == 0:
        ignoring = json.dumps({"host_preflight_ignore": errors})
        run(elsewhere, "ansible-playbook", *site, "-e", ignoring, "hosted.kubernetes.preflight")

    refused = tried(elsewhere, "ansible-playbook", "-i", "localhost,", *site[2:], "hosted.kubernetes.preflight")
    assert refused.returncode == 2
    assert "the group management is empty, and management_cluster_kubeconfig" in " ".join(refused.stdout.split())


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
