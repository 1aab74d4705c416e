# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets with which images are pulled (https://kubernetes.io/docs/concepts/containers/images/#specifying-imagepullsecrets-on-a-pod)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError

TYPE: Final = "kubernetes.io/dockerconfigjson"
DATA_KEY: Final = ".dockerconfigjson"


def merged(configs: Mapping[str, bytes]) -> bytes:
    """Return one Docker configuration with the registries of all.

    configs: name of the Secret → its value of the key .dockerconfigjson; of a registry named twice the first counts, as for a pod.
    Raises InvalidError with the name of a Secret whose value is none; the text of a secret is in no message.
    """
    auths: dict[str, Any] = {}
    for name, text in configs.items():
        for registry, entry in _auths(name, text).items():
            auths.setdefault(registry, entry)
    return json.dumps({"auths": auths}, sort_keys=True).encode()


def _auths(name: str, text: bytes) -> Mapping[str, Any]:
    try:
        auths = json.loads(text)["auths"]
    except (ValueError, KeyError, TypeError):
        auths = None
    if not isinstance(auths, dict):
        raise InvalidError(
            f"Secret {name} holds no registries in {DATA_KEY}; make it with kubectl create secret docker-registry, or from a Docker "
            "configuration with a mapping auths"
        )
    return auths
