# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of the distribution that a node needs, and where they are looked for.

The list is kubeadm's (cmd/kubeadm/app/preflight/checks_linux.go) and what containerd and CNI plugins call. conntrack and
socat are not in it: kube-proxy does without the first since 1.32, containerd forwards ports itself.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Alternatives are separated by "|"; the value says what they are for.
REQUIRED: Mapping[str, str] = {
    "cp": "kubeadm",
    "ip": "CNI",
    "iptables|nft": "rules of the kubelet and CNI plugins",
    "losetup": "block volumes",
    "modprobe": "kernel modules",
    "mount": "volumes",
    "umount": "volumes",
}


def environment() -> dict[str, str]:
    """The environment for tools: sudo and ssh may leave /usr/sbin and /usr/local/bin out of PATH."""
    return {**os.environ, "PATH": PATH, "LC_ALL": "C"}


def find(name: str) -> str | None:
    """Return the path of a program, None when it is not installed."""
    return shutil.which(name, path=PATH)


def missing(wanted: Iterable[str]) -> list[str]:
    """Return those of wanted of which no alternative is installed."""
    return [names for names in wanted if not any(find(name) for name in names.split("|"))]


def describe(names: str) -> str:
    """Such as "iptables or nft (rules of the kubelet and CNI plugins)"."""
    reason = f" ({REQUIRED[names]})" if names in REQUIRED else ""
    return names.replace("|", " or ") + reason
