# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter kubelet_files: the files by which a worker's kubelet is configured, as its cluster wants them now."""

from __future__ import annotations

DOCUMENTATION = r"""
name: kubelet_files
short_description: The files by which a worker's kubelet is configured
description:
  - Gives the kubelet's configuration as C(kubeadm upgrade node) would write it, and its flags without those that its version does not know any
    more. A file that says already what it should is given as it is.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
positional: _input
options:
  _input:
    description: Text of C(/var/lib/kubelet/config.yaml) and C(/var/lib/kubelet/kubeadm-flags.env) by path, null for one that does not exist.
    type: dict
    required: true
  uploaded:
    description: The KubeletConfiguration that the cluster has uploaded (YAML). Empty leaves the configuration as it is.
    type: str
    required: true
  patch:
    description: Settings of this host on top of it.
    type: dict
    default: {}
  version:
    description: Version of the kubelet that will read them.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Write them
  hosted.kubernetes.host_files:
    files: "{{ facts.host.texts | hosted.kubernetes.kubelet_files(join.kubelet_configuration, {'maxPods': 200}, 'v1.36.3') }}"
"""

RETURN = r"""
_value:
  description: Entries for O(hosted.kubernetes.host_files#module:files).
  type: list
  elements: dict
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import kubelet_configuration

CONFIGURATION = "/var/lib/kubelet/config.yaml"
FLAGS = "/var/lib/kubelet/kubeadm-flags.env"


def kubelet_files(texts: Mapping[str, str | None], uploaded: str, patch: Mapping[str, Any], version: str) -> list[dict[str, str]]:
    files = []
    flags = texts.get(FLAGS)
    if flags is not None:
        files.append({"path": FLAGS, "content": kubelet_configuration.without_removed_flags(str(flags), version), "mode": "0644"})
    present = texts.get(CONFIGURATION)
    if uploaded and present is not None:
        files.append({"path": CONFIGURATION, "content": _configuration(str(present), uploaded, patch), "mode": "0644"})
    return files


def _configuration(present: str, uploaded: str, patch: Mapping[str, Any]) -> str:
    seen = yaml.safe_load(present) or {}
    wanted = kubelet_configuration.wanted_configuration(yaml.safe_load(uploaded) or {}, patch, seen)
    if kubelet_configuration.is_same(wanted, seen):
        return present
    # Values from variables are of types of Ansible's own, which YAML does not know.
    return yaml.safe_dump(json.loads(json.dumps(wanted)), default_flow_style=False)


class FilterModule:
    """Names the filter for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"kubelet_files": kubelet_files}
