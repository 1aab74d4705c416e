# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of a user's flags have no effect, since the control plane cannot work unless they are as we set them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management import common
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.arguments import flag_name

_EXTRA_ARGS = "spec.controlPlane.deployment.extraArgs"
_CONTAINERS = {
    "apiServer": common.API_SERVER,
    "controllerManager": common.CONTROLLER_MANAGER,
    "scheduler": common.SCHEDULER,
    "kine": common.KINE,
}


def overruled(tenant: TenantControlPlane, deployment: Json) -> list[str]:
    """Say of each flag that the user gives and that is not in the Deployment made for the tenant what stands there instead.

    The user's value is left out: that of a database's address has a password.
    """
    pod = deployment["spec"]["template"]["spec"]
    made = {item["name"]: item.get("args", []) for item in [*pod["containers"], *pod.get("initContainers", [])]}
    return [
        f"TenantControlPlane {tenant.key}: {path}[{index}] {given.partition('=')[0]} has no effect, {why}"
        for path, container, extra in _given(tenant)
        for index, given in enumerate(extra)
        if (why := _why(given, made.get(container)))
    ]


def _given(tenant: TenantControlPlane) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Each list of flags in the spec: its path, the container it is for, and the flags."""
    for component, extra in tenant.deployment.extra_args.items():
        yield f"{_EXTRA_ARGS}.{component}", _CONTAINERS[component], extra
    if tenant.addons.konnectivity:
        yield "spec.addons.konnectivity.server.extraArgs", common.KONNECTIVITY, tenant.addons.konnectivity.server.extra_args


def _why(given: str, made: Sequence[str] | None) -> str:
    """made: flags of the container, None when there is none."""
    if made is None:
        return "since there is no such container"
    flags = {argument.lstrip("-") for argument in made}
    if given.lstrip("-") in flags:
        return ""
    ours = next((argument for argument in made if flag_name(argument) == flag_name(f"--{given.lstrip('-')}")), "")
    return f"since this flag is set from other fields ({ours})" if ours else "since this flag is set in another way"
