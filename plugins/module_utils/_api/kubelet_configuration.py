# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kubelet's configuration on a worker as its cluster wants it now: what `kubeadm upgrade node` writes, decided without running it.

kubeadm takes what the cluster has uploaded, adds resolved's list of nameservers where resolved runs, applies the host's patches, and keeps
the socket of the container runtime (cmd/kubeadm/app/phases/kubelet/config.go). Those two are the host's own, and stay as they are there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.versions import parse_version

Json = dict[str, Any]

_OF_THE_HOST: Final = ("resolvConf", "containerRuntimeEndpoint")
# A field that says nothing: kubeadm writes what Go's zero values are, and which fields there are differs between minors.
_NOTHING: Final[tuple[Any, ...]] = (None, "", "0s", {}, [])
# Flag → first minor whose kubelet does not start with it (cmd/kubelet/app/server.go of the minor before).
_REMOVED_FLAGS: Final[Mapping[str, int]] = {"pod-infra-container-image": 35}


def wanted_configuration(uploaded: Mapping[str, Any], patch: Mapping[str, Any], present: Mapping[str, Any]) -> Json:
    """Return the whole configuration of one kubelet.

    uploaded: KubeletConfiguration of the cluster. patch: of this host (RFC 7386, as kubeadm's "+merge"). present: what the host has now.
    """
    wanted: Json = merged(dict(uploaded), patch)
    for name in _OF_THE_HOST:
        if wanted.get(name) in _NOTHING and present.get(name) not in _NOTHING:
            wanted[name] = present[name]
    return wanted


def is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two configurations say the same; fields that say nothing do not count."""
    return bool(_told(one) == _told(other))


def merged(document: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386); neither argument is changed."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(document) if isinstance(document, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def without_removed_flags(flags: str, version: str) -> str:
    """Return the text of kubeadm-flags.env without flags that a kubelet of a version does not know any more, all else unchanged."""
    minor = parse_version(version).minor
    for name, first in _REMOVED_FLAGS.items():
        if minor >= first:
            flags = re.sub(rf'--{name}=[^\s"]*\s?', "", flags)
    return flags


def _told(value: Any) -> Any:
    if isinstance(value, Mapping):
        told = {name: _told(item) for name, item in value.items()}
        return {name: item for name, item in told.items() if item not in _NOTHING}
    if isinstance(value, list):
        return [_told(item) for item in value]
    return value
