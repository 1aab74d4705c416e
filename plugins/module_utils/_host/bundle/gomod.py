# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading upstream's go.mod and writing our own. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError

_STAGING = re.compile(r"^\s*(?:replace\s+)?(\S+)\s+=>\s+\./staging/", re.MULTILINE)
_GO = re.compile(r"^go\s+(\S+)", re.MULTILINE)
_GODEBUG = re.compile(r"^godebug\s+([^\s(]\S*)", re.MULTILINE)
_GODEBUG_BLOCK = re.compile(r"^godebug\s*\((.*?)^\)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class UpstreamModule:
    """What our go.mod takes over from upstream's: language version, runtime settings, modules published from ./staging."""

    go: str
    godebug: tuple[str, ...] = ()
    staging: tuple[str, ...] = ()


def parse_go_mod(text: str) -> UpstreamModule:
    """Read a go.mod. A file without a go line counts as Go 1.17, the first with complete requirements."""
    go = _GO.search(text)
    godebug = list(_GODEBUG.findall(text))
    for block in _GODEBUG_BLOCK.findall(text):
        godebug += [line.strip() for line in block.splitlines() if line.strip() and not line.strip().startswith("//")]
    return UpstreamModule(go.group(1) if go else "1.17", tuple(godebug), tuple(_STAGING.findall(text)))


def staging_version(kubernetes: str) -> str:
    """Return the version under which Kubernetes publishes its staging modules: v1.36.3 -> v0.36.3."""
    major, _dot, rest = kubernetes.partition(".")
    if major != "v1":
        raise HostedKubernetesError(f'Kubernetes "{kubernetes}": no rule is known for the version of its staging modules; only v1 has one')
    return f"v0.{rest}"


def render_go_mod(name: str, upstream: UpstreamModule, requires: Iterable[tuple[str, str]], replaces: Sequence[tuple[str, str]]) -> str:
    """Write the go.mod of a component. replaces: (module, "module version" or the path of a folder that stands for it)."""
    lines = [f"module hosted.kubernetes/bundle/{name}", "", f"go {upstream.go}"]
    # GODEBUG is taken from the main module only: without these lines the binaries would behave otherwise than upstream's.
    lines += [f"godebug {setting}" for setting in upstream.godebug]
    lines += [f"require {module} {version}" for module, version in requires]
    lines += [f"replace {module} => {other}" for module, other in replaces]
    return "\n".join(lines) + "\n"


def newest_go(versions: Iterable[str]) -> str:
    """Return the highest of several Go versions such as 1.26.0 and 1.26rc1."""
    return max(versions, key=go_key)


def go_key(version: str) -> tuple[int, ...]:
    """Return a sort key of a Go version; a pre-release counts as its release."""
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("rc")[0].partition("beta")[0]))
