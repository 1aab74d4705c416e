# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that the modules of the bundle role share (documented in plugins/doc_fragments/bundle.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.make import Order
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.recipes import parse_spec

BUNDLE = ArgumentSpec(
    options={
        "spec": {
            "type": "dict",
            "required": True,
            "options": {
                "kubernetes": {"type": "str", "required": True},
                "arch": {"type": "str", "required": True},
                "versions": {"type": "dict", "required": True},
                "urls": {"type": "dict", "required": True},
                "registries": {"type": "dict", "default": {}},
                "mains": {"type": "dict", "default": {}},
            },
        },
        "cache_dir": {"type": "path", "required": True},
    }
)


def order_of(params: Mapping[str, Any]) -> Order:
    """Turn the options of a module into an order. Raises HostedKubernetesError that names the role's variables."""
    return Order(
        spec=parse_spec(params["spec"]),
        cache_dir=params["cache_dir"],
        bundle_dir=params.get("dir") or "",
        directory=params.get("directory") or "",
        mains=params["spec"]["mains"],
        checksums=params.get("checksums") or {},
    )
