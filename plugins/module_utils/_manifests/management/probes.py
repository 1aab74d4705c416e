# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes of the control-plane containers.

Startup is asked every second, with a budget of minutes: a busy node delays a start, it must not end it. When the startup
probe succeeds the kubelet asks for readiness at once. Only the API server and what the user asks for have a readiness
probe: a scheduler that is down must not take the API server out of the Service. Liveness is as patient as kubeadm's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json

_STARTUP: Final = {"periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 300}
_READINESS: Final = {"periodSeconds": 2, "timeoutSeconds": 5, "failureThreshold": 3}
_LIVENESS: Final = {"periodSeconds": 10, "timeoutSeconds": 15, "failureThreshold": 8}


def api_server(settings: Mapping[str, Any], port: int) -> Json:
    return {
        "startupProbe": _probe("/readyz", port, _STARTUP, _given(settings, "apiServer", "startup")),
        "readinessProbe": _probe("/readyz", port, _READINESS, _given(settings, "apiServer", "readiness")),
        "livenessProbe": _probe("/livez", port, _LIVENESS, _given(settings, "apiServer", "liveness")),
    }


def component(settings: Mapping[str, Any], name: str, port: int) -> Json:
    """Probes of the scheduler or the controller manager. name: as in spec…probes."""
    probes = {
        "startupProbe": _probe("/healthz", port, _STARTUP, _given(settings, name, "startup")),
        "livenessProbe": _probe("/healthz", port, _LIVENESS, _given(settings, name, "liveness")),
    }
    readiness = (settings.get(name) or {}).get("readiness")
    if readiness:
        probes["readinessProbe"] = _probe("/healthz", port, _READINESS, _given(settings, name, "readiness"))
    return probes


def konnectivity(port: int) -> Json:
    """Its own /readyz waits for an agent, which in turn waits for the API server: only its health counts."""
    return {
        "startupProbe": _probe("/healthz", port, _STARTUP, {}, scheme="HTTP"),
        "livenessProbe": _probe("/healthz", port, _LIVENESS, {}, scheme="HTTP"),
    }


def kine(path: str, port: int) -> Json:
    """It serves its metrics once it has reached the database; the containers that need it start after that."""
    return {
        "startupProbe": _probe(path, port, _STARTUP, {}, scheme="HTTP"),
        "livenessProbe": _probe(path, port, _LIVENESS, {}, scheme="HTTP"),
    }


def _probe(path: str, port: int, ours: Mapping[str, int], given: Mapping[str, int], scheme: str = "HTTPS") -> Json:
    return {"httpGet": {"path": path, "port": port, "scheme": scheme}, "successThreshold": 1, **ours, **given}


def _given(settings: Mapping[str, Any], name: str, kind: str) -> dict[str, int]:
    """The user's numbers: those for all components first, then those of this one."""
    return {**(settings.get(kind) or {}), **((settings.get(name) or {}).get(kind) or {})}
