# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of an inventory that look like options of our roles and are none: most are misspelt."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

# How alike two names must be, from 0 to 1. Of a name that has no role's prefix only a slip of a letter or two counts.
_ALIKE: Final = 0.6
_NEARLY_THE_SAME: Final = 0.9
_MOST_HOSTS: Final = 3


@dataclass(frozen=True)
class KnownVariables:
    """options: those of each role. others: further names that playbooks and roles use; a variable may have one, none is proposed."""

    options: Mapping[str, frozenset[str]]
    others: frozenset[str]

    def role_of(self, name: str) -> str:
        """The role whose prefix a name has, the longest one; "" when it has none."""
        return max((role for role in self.options if name.startswith(f"{role}_")), key=len, default="")

    def knows(self, name: str) -> bool:
        return name in self.others or any(name in options for options in self.options.values())


def unknown_variables(names_by_host: Mapping[str, Iterable[str]], known: KnownVariables) -> list[str]:
    """Return one sentence for each variable that is probably misspelt, in alphabetical order.

    It has the prefix of a role and is no option of it, or is but for a letter or two the name of an option.
    """
    hosts: dict[str, list[str]] = {}
    for host, names in names_by_host.items():
        for name in set(names):
            hosts.setdefault(name, []).append(host)
    told = {name: _doubt(name, known) for name in hosts if not name.startswith("_") and not known.knows(name)}
    return [f"{name} ({_of(hosts[name], names_by_host)}): {doubt}" for name, doubt in sorted(told.items()) if doubt]


def _doubt(name: str, known: KnownVariables) -> str:
    role = known.role_of(name)
    nearest = _nearest(name, role, known)
    if role:
        advice = f"did you mean {nearest}?" if nearest else f"'ansible-doc -t role hosted.kubernetes.{role}' shows those it has"
        return f"role {role} has no such option; {advice}"
    return f"no role has such an option; did you mean {nearest}?" if nearest else ""


def _nearest(name: str, role: str, known: KnownVariables) -> str:
    if role:
        # What all of them begin with says nothing about how alike they are.
        rests = [option.removeprefix(f"{role}_") for option in sorted(known.options[role])]
        found = get_close_matches(name.removeprefix(f"{role}_"), rests, 1, _ALIKE)
        return f"{role}_{found[0]}" if found else ""
    options = sorted(set().union(*known.options.values()))
    return next(iter(get_close_matches(name, options, 1, _NEARLY_THE_SAME)), "")


def _of(hosts: Collection[str], all_hosts: Collection[str]) -> str:
    if len(hosts) == len(all_hosts) > 1:
        return "all hosts"
    first = ", ".join(sorted(hosts)[:_MOST_HOSTS])
    return first if len(hosts) <= _MOST_HOSTS else f"{first} and {len(hosts) - _MOST_HOSTS} others"
