# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must agree between the files of the project: action group, documentation, roles, README, versions."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

COLLECTION = Path(__file__).resolve().parents[2]
FULL_NAME = "hosted.kubernetes"
MODULES = sorted(path.stem for path in (COLLECTION / "plugins/modules").glob("*.py"))
ROLES = sorted(path.name for path in (COLLECTION / "roles").glob("*") if path.is_dir())
INVENTORIES = sorted(path.stem for path in (COLLECTION / "plugins/inventory").glob("*.py"))
PLAYBOOKS = sorted(path.stem for path in (COLLECTION / "playbooks").glob("*.yml"))
ATTRIBUTES = {"check_mode", "diff_mode", "idempotent"}
FRAGMENTS = {f"{FULL_NAME}.attributes", f"{FULL_NAME}.attributes.api", f"{FULL_NAME}.attributes.host", f"{FULL_NAME}.attributes.info"}


def load(path: str) -> Any:
    return yaml.safe_load((COLLECTION / path).read_text(encoding="utf-8"))


@cache
def documentation(module: str) -> dict[str, Any]:
    """Return the DOCUMENTATION of a module without importing it."""
    tree = ast.parse((COLLECTION / f"plugins/modules/{module}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "DOCUMENTATION":
            return dict(yaml.safe_load(ast.literal_eval(node.value)))
    return {}


def argument_specs(role: str) -> dict[str, Any]:
    path = COLLECTION / f"roles/{role}/meta/argument_specs.yml"
    assert path.is_file(), f"roles/{role} has no meta/argument_specs.yml"
    return dict(load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"])


def test_action_group_has_every_module() -> None:
    assert sorted(load("meta/runtime.yml")["action_groups"]["kubernetes"]) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_module_states_its_attributes(module: str) -> None:
    documented = documentation(module)
    fragments = set(documented.get("extends_documentation_fragment", []))

    assert f"{FULL_NAME}.attributes" in fragments
    assert fragments & {f"{FULL_NAME}.attributes.api", f"{FULL_NAME}.attributes.host"}, (
        "says where the module works: attributes.api or .host"
    )
    if f"{FULL_NAME}.attributes.info" not in fragments:
        assert set(documented.get("attributes", {})) >= ATTRIBUTES


@pytest.mark.parametrize("module", MODULES)
def test_module_documents_what_it_is_for(module: str) -> None:
    source = (COLLECTION / f"plugins/modules/{module}.py").read_text(encoding="utf-8")
    documented = documentation(module)

    assert documented.get("module") == module
    assert documented.get("version_added")
    assert f"{FULL_NAME}.{module}:" in source, "EXAMPLES use the full name"
    # Check mode, and errors that become messages, come from the adapter.
    assert re.search(r"^    run\(", source, re.MULTILINE), "main() is one call of _ansible.module.run"
    assert "AnsibleModule(" not in source


@pytest.mark.parametrize("role", ROLES)
def test_role_documents_all_its_defaults(role: str) -> None:
    defaults = COLLECTION / f"roles/{role}/defaults/main.yml"
    names = set(yaml.safe_load(defaults.read_text(encoding="utf-8")) or {}) if defaults.is_file() else set()
    documented = {option for entry in argument_specs(role).values() for option in entry.get("options", {})}

    assert names <= documented
    assert {name for name in documented if not name.startswith(f"{role}_")} == set()


@pytest.mark.parametrize("role", ROLES)
def test_role_defaults_are_the_documented_ones(role: str) -> None:
    path = COLLECTION / f"roles/{role}/defaults/main.yml"
    defaults = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}
    options = argument_specs(role)["main"].get("options", {})
    # A default that is a template is described in words.
    defaults = {name: value for name, value in defaults.items() if "{{" not in str(value)}
    differences = {
        name: (value, options[name]["default"])
        for name, value in defaults.items()
        if "default" in options.get(name, {}) and options[name]["default"] != value
    }

    assert differences == {}


@pytest.mark.parametrize("role", ROLES)
def test_every_entry_point_of_a_role_is_a_tasks_file(role: str) -> None:
    for entry in argument_specs(role):
        assert (COLLECTION / f"roles/{role}/tasks/{entry}.yml").is_file()


@pytest.mark.parametrize("name", [*ROLES, *MODULES, *INVENTORIES, *(f"{name}.yml" for name in PLAYBOOKS)])
def test_readme_has_a_row(name: str) -> None:
    readme = (COLLECTION / "README.md").read_text(encoding="utf-8")
    row = rf"^\| *\[?`(?:playbooks/|{re.escape(FULL_NAME)}\.)?{re.escape(name)}`"

    assert re.search(row, readme, re.MULTILINE), f"a row for `{name}` in a table of README.md"


def test_readme_shows_the_links_it_promises() -> None:
    readme = (COLLECTION / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", readme)

    assert [link for link in links if not (COLLECTION / link).exists()] == []


@pytest.mark.parametrize("scenario", sorted((COLLECTION / "extensions/molecule").glob("*/molecule.yml")), ids=lambda path: path.parent.name)
def test_playbooks_of_a_scenario_exist(scenario: Path) -> None:
    """Molecule only warns when a playbook is missing, and a scenario without one proves nothing."""
    definition = yaml.safe_load(scenario.read_text(encoding="utf-8"))
    named = definition.get("ansible", {}).get("playbooks", {})
    steps = [
        step
        for step in definition["scenario"]["test_sequence"]
        if step in {"converge", "verify", "destroy", "prepare", "side_effect", "cleanup"}
    ]

    assert {"converge", "verify", "destroy"} <= set(steps)
    assert [step for step in steps if not (scenario.parent / named.get(step, f"{step}.yml")).is_file()] == []


def test_requirements_of_execution_environments_are_the_collections() -> None:
    def lines(path: str) -> list[str]:
        return [line for line in (COLLECTION / path).read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]

    assert lines("meta/ee-requirements.txt") == lines("requirements.txt")


def test_every_requirement_has_its_reason() -> None:
    reasons = (COLLECTION / "docs/dependencies.md").read_text(encoding="utf-8")
    for file in ("requirements.txt", "requirements-controller.txt", "requirements-dev.txt"):
        for line in (COLLECTION / file).read_text(encoding="utf-8").splitlines():
            name = re.match(r"[A-Za-z0-9_-]+", line)
            if name:
                assert f"`{name[0]}`" in reasons, f"docs/dependencies.md says why {name[0]} is needed"


def test_ansible_adapter_is_light() -> None:
    """The adapter is imported by every module, so it must import neither kubernetes nor cryptography nor grpc by itself."""
    script = (
        "import pathlib, sys, importlib\n"
        f"folder = pathlib.Path({str(COLLECTION / 'plugins/module_utils/_ansible')!r})\n"
        "for path in folder.glob('*.py'):\n"
        "    importlib.import_module('ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.' + path.stem)\n"
        "print(sorted({'kubernetes', 'cryptography', 'grpc', 'google.protobuf', 'jsonpatch'} & set(sys.modules)))\n"
    )
    path = f"import sys; sys.path[:] = {sys.path!r}\n"
    done = subprocess.run([sys.executable, "-c", path + script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("fragment", sorted(FRAGMENTS))
def test_doc_fragment_is_valid_yaml(fragment: str) -> None:
    name = (fragment.removeprefix(f"{FULL_NAME}.attributes").removeprefix(".") or "documentation").upper()
    fragments = importlib.import_module("ansible_collections.hosted.kubernetes.plugins.doc_fragments.attributes").ModuleDocFragment

    assert yaml.safe_load(getattr(fragments, name))["attributes"]


def test_version_is_not_behind_its_changelog() -> None:
    released = [tuple(map(int, version.split("."))) for version in load("changelogs/changelog.yaml")["releases"]]
    assert all(tuple(map(int, load("galaxy.yml")["version"].split("."))) >= version for version in released)


def test_what_is_not_used_has_a_name() -> None:
    """`_` is kept for translation functions by ansible-test, which takes minutes to say so."""
    found = [
        f"{path.relative_to(COLLECTION)}:{node.lineno}"
        for folder in ("plugins", "tests", "tools")
        for path in (COLLECTION / folder).rglob("*.py")
        if not path.is_relative_to(COLLECTION / "tests/output")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Name) and node.id == "_") or (isinstance(node, ast.arg) and node.arg == "_")
    ]

    assert found == []
