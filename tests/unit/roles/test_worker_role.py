# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A join touches its own host and the tenant's API, no other host, and costs few tasks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
# Run on the controller without a connection to the host: some hundredths of a second each.
CHEAP = {"assert", "debug", "fail", "include_role", "include_tasks", "set_fact"}
BUDGET = 40


def tasks(role: str, name: str = "main") -> Iterator[dict[str, Any]]:
    """Every task of a role's file, with those it includes; conditions are taken as true."""
    for task in flat(yaml.safe_load((ROOT / f"roles/{role}/tasks/{name}.yml").read_text())):
        yield task
        included = task.get("ansible.builtin.include_tasks")
        if included:
            yield from tasks(role, included["file"].removesuffix(".yml"))
        other = task.get("ansible.builtin.include_role")
        if other:
            yield from tasks(other["name"].rpartition(".")[2], other.get("tasks_from", "main"))


def flat(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        if "block" in entry:
            for part in ("block", "rescue", "always"):
                yield from flat(entry.get(part) or [])
        else:
            yield entry


def module_of(task: dict[str, Any]) -> str:
    return next(key for key in task if "." in key)


@pytest.mark.parametrize("name", ["main", "reset"])
def test_no_task_touches_another_host(name: str) -> None:
    found = list(tasks("worker", name))
    assert found
    for task in found:
        assert task.get("delegate_to", "localhost") == "localhost", task["name"]
        assert "run_once" not in task, task["name"]
        assert "hostvars" not in str(task), task["name"]


def test_the_join_stays_within_its_budget_of_tasks() -> None:
    costly = [task["name"] for task in tasks("worker") if module_of(task).rpartition(".")[2] not in CHEAP]
    assert 10 <= len(costly) <= BUDGET, costly


def test_a_token_is_deleted_whatever_happens() -> None:
    entries = yaml.safe_load((ROOT / "roles/worker/tasks/join.yml").read_text())
    block = next(entry for entry in entries if "block" in entry)
    made = [task["hosted.kubernetes.bootstrap_token"] for task in block["block"] if "hosted.kubernetes.bootstrap_token" in task]
    deleted = [task["hosted.kubernetes.bootstrap_token"] for task in block["always"]]
    assert len(made) == 1
    assert [item["state"] for item in deleted] == ["absent"]
    assert made[0]["for_host"] == deleted[0]["for_host"]


def test_tasks_that_hold_a_token_hide_it() -> None:
    for task in tasks("worker"):
        if task.get("register") == "__worker_token":
            assert task["no_log"] == "{{ worker_secure_logging }}"
