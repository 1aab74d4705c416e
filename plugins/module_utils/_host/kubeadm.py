# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubeadm on a host: join with a configuration that carries the token, and reset."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import facts, tools
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import files as host_files

# Memory only: the token must not reach a disk, and does not outlive a boot when a run is killed.
JOIN_CONFIG = "/run/hosted-kubernetes-join.yaml"
PATCHES = "/etc/kubernetes/hosted-kubernetes/patches"
_SHOWN_LINES = 25
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What its system verification prints for each setting, whether it passes or not.
_KERNEL_SETTING = re.compile(r"^(\[preflight\] )?(CONFIG|CGROUPS)_\w+: |^(OS|KERNEL_VERSION): ")


def with_token(config: Mapping[str, Any], token: str, *, patches: bool) -> dict[str, Any]:
    """Return a JoinConfiguration completed by the token and, when there are any, the folder of the patches."""
    discovery = dict(config.get("discovery") or {})
    discovery["bootstrapToken"] = {**(discovery.get("bootstrapToken") or {}), "token": token}
    complete = {**config, "discovery": discovery}
    return {**complete, "patches": {"directory": PATCHES}} if patches else complete


def is_joined(config: Mapping[str, Any]) -> bool:
    """Whether this host's kubelet trusts a CA that the configuration pins.

    Raises HostedKubernetesError when it has joined another cluster.
    """
    conf = facts.read_membership()["kubelet_conf"]
    if conf is None:
        return False
    pinned = ((config.get("discovery") or {}).get("bootstrapToken") or {}).get("caCertHashes") or []
    if set(conf["ca_hashes"]) & set(pinned):
        return True
    raise HostedKubernetesError(f"this host has joined {conf['server']} already; reset it first, or choose another host")


def join(kubeadm: str, config: Mapping[str, Any], token: str, patches: Mapping[str, str]) -> None:
    """Run kubeadm join. Raises HostedKubernetesError with the end of its output; the token is never in it."""
    host_files.remove(PATCHES)
    if patches:
        os.makedirs(PATCHES, mode=0o755)
        for name, text in patches.items():
            host_files.write(os.path.join(PATCHES, name), text.encode(), 0o644)
    complete = with_token(config, token, patches=bool(patches))
    try:
        # JSON is YAML, as far as kubeadm reads it.
        host_files.write(JOIN_CONFIG, json.dumps(complete).encode(), 0o600)
        run(kubeadm, ["join", "--config", JOIN_CONFIG], secret=token)
    finally:
        host_files.remove(JOIN_CONFIG)


def run(kubeadm: str, arguments: Sequence[str], *, secret: str = "") -> str:
    """Run kubeadm and return what it printed. Raises HostedKubernetesError."""
    try:
        done = subprocess.run(
            [kubeadm, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            env=tools.environment(),
        )
    except FileNotFoundError as error:
        raise HostedKubernetesError(f"{kubeadm}: not installed; run the role kubelet first") from error
    text = done.stdout.decode(errors="replace")
    if secret:
        text = text.replace(secret, "<token>")
    if done.returncode != 0:
        lines = readable(text)
        why = f"it was ended by signal {-done.returncode}; run again" if done.returncode < 0 else explain(lines)
        raise HostedKubernetesError(f"kubeadm {arguments[0]} failed: {why}", output=lines[-_SHOWN_LINES:], exit_code=done.returncode)
    return text


def readable(text: str) -> list[str]:
    """Return the lines of kubeadm's output without colours, empty lines and its long list of kernel settings."""
    lines = (_COLOUR.sub("", line) for line in text.splitlines())
    return [line for line in lines if line.strip() and not _KERNEL_SETTING.match(line)]


def explain(lines: Sequence[str]) -> str:
    """Return the lines of kubeadm's output that say why it failed: its list of preflight errors, or its last error."""
    preflight = [line.strip() for line in lines if line.lstrip().startswith("[ERROR ")]
    if preflight:
        return "; ".join(preflight) + " (a check can be left out by its name with ignore_preflight_errors)"
    errors = [line.strip() for line in lines if line.startswith(("error", "Error", "couldn't", "failed"))]
    return errors[0] if errors else (lines[-1].strip() if lines else "it printed nothing")
