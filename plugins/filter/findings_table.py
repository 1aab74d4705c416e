# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter findings_table: what a preflight found, for people."""

from __future__ import annotations

DOCUMENTATION = r"""
name: findings_table
short_description: What a preflight found, as lines for people
description:
  - Turns the findings of M(hosted.kubernetes.host_preflight) or of P(hosted.kubernetes.fleet_findings#filter) into lines, errors first.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  _input:
    description: The findings.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what was found
  ansible.builtin.debug:
    msg: "{{ preflight.findings | hosted.kubernetes.findings_table }}"
"""

RETURN = r"""
_value:
  description: One line for each finding; one that says so when there is none.
  type: list
  elements: str
  sample: ["ERROR    ports  10250: TCP port 10250 is in use by k3s. Remedy: stop that program, or give it another port"]
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any


def findings_table(findings: Iterable[Mapping[str, Any]]) -> list[str]:
    rows = sorted(findings, key=lambda item: item["severity"] != "error")
    if not rows:
        return ["nothing found"]
    width = max(len(row["check"]) for row in rows)
    return [_line(row, width) for row in rows]


def _line(row: Mapping[str, Any], width: int) -> str:
    hosts = f"{', '.join(row['hosts'])}: " if row.get("hosts") else ""
    severity = row["severity"].upper() if row["severity"] == "error" else row["severity"]
    return f"{severity:<8} {row['check']:<{width}}  {row['where']}: {hosts}{row['problem']}. Remedy: {row['remedy']}"


class FilterModule:
    """Names the filter for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"findings_table": findings_table}
