# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels: what can be a name or a value of one, and which objects a selector picks.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.shape import shown

_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_SHORT_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_DNS_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def is_name(text: str) -> bool:
    """Whether a text can name a label or an annotation: a short name, with a DNS name and "/" before it or without."""
    prefix, slash, short = text.rpartition("/")
    fits = len(short) <= 63 and len(prefix) <= 253 and bool(_SHORT_NAME.fullmatch(short))
    return fits and (is_dns_name(prefix) if slash else True)


def is_dns_name(text: str) -> bool:
    """Whether a text is a DNS name in lower case, as most Kubernetes objects are called; its length is the caller's to judge."""
    return _DNS_NAME.fullmatch(text) is not None


def value_problems(path: str, value: str) -> Iterator[str]:
    """Yield why a text cannot be the value of a label, beginning with its path."""
    if not _VALUE.fullmatch(value):
        hint = 'write A-Z, a-z, 0-9, "-", "_" and ".", with a letter or digit at both ends'
        yield f"{path} {shown(value)} is not the value of a label; {hint}"


@dataclass(frozen=True)
class Requirement:
    """One term of a selector: operator is In, NotIn, Exists or DoesNotExist. As in Kubernetes, NotIn holds without the label too."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        if self.operator in ("Exists", "DoesNotExist"):
            return (self.key in labels) == (self.operator == "Exists")
        return (labels.get(self.key) in self.values) == (self.operator == "In")


@dataclass(frozen=True)
class Selector:
    """A label selector; all of its terms must hold, so that one without any picks everything."""

    requirements: tuple[Requirement, ...] = field(default=())

    @classmethod
    def parse(cls, selector: Json | None) -> Selector:
        """Build one from a valid LabelSelector."""
        given = selector or {}
        exact = (Requirement(key, "In", frozenset({value})) for key, value in (given.get("matchLabels") or {}).items())
        terms = given.get("matchExpressions") or ()
        rest = (Requirement(item["key"], item["operator"], frozenset(item.get("values") or ())) for item in terms)
        return cls((*exact, *rest))

    def picks(self, labels: Mapping[str, str] | None) -> bool:
        return all(item.holds(labels or {}) for item in self.requirements)


def selector_problems(path: str, selector: Json) -> Iterator[str]:
    """Yield what is wrong with a LabelSelector whose shape is right."""
    for key, value in (selector.get("matchLabels") or {}).items():
        yield from _key_problems(f"{path}.matchLabels", key)
        yield from value_problems(f"{path}.matchLabels.{key}", value)
    for index, item in enumerate(selector.get("matchExpressions") or ()):
        yield from _expression_problems(f"{path}.matchExpressions[{index}]", item)


def _expression_problems(path: str, item: Mapping[str, Any]) -> Iterator[str]:
    operator, values = item["operator"], item.get("values") or []
    yield from _key_problems(f"{path}.key", item["key"])
    if operator in ("In", "NotIn") and not values:
        yield f"{path}.values is empty; {operator} needs at least one value"
    if operator in ("Exists", "DoesNotExist") and values:
        yield f"{path}.values must be left out, since {operator} looks at the key alone"
    for number, value in enumerate(values):
        yield from value_problems(f"{path}.values[{number}]", value)


def _key_problems(path: str, key: str) -> Iterator[str]:
    if not is_name(key):
        yield f"{path} {shown(key)} is not the name of a label; write a name such as example.com/team"
