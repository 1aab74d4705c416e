# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a definition has the shape its CRD wants: known fields, types, ranges, lengths of lists, keys that differ.

The table of fields is made from the CRD (crd_fields.py), so that the module and the API server agree.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

Table = Mapping[str, Mapping[str, str]]

_LIST: Final = re.compile(r"\[(?P<item>.*)\](?: max (?P<max>\d+))?(?: by (?P<keys>\S+))?")
_RANGE: Final = re.compile(r"(integer|string) (?P<low>-?\d*)\.\.(?P<high>-?\d*)")
_QUANTITY: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?(\d+(\.\d*)?|\.\d+))?")
_SIMPLE: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "string": ((str,), "a text"),
    "integer": ((int,), "a whole number"),
    "number": ((int, float), "a number"),
    "boolean": ((bool,), "true or false"),
    "integer-or-string": ((int, str), "a whole number or a text"),
    "quantity": ((int, str), 'a quantity such as 100m, "0.5" or 1Gi'),
}


def shape_problems(path: str, value: Any, type_text: str, table: Table) -> Iterator[str]:
    """Yield what is wrong with a value of the given type (see crd_fields.py), each beginning with the path of the field."""
    if value is None:
        yield f"{path} is null; write a value, or leave it out"
    elif type_text == "any":
        return
    elif type_text in table:
        yield from _mapping(path, value, table[type_text], table)
    elif type_text.startswith("["):
        yield from _list(path, value, type_text, table)
    elif type_text.startswith("{"):
        yield from _dictionary(path, value, type_text[1:-1], table)
    elif type_text.startswith("integer "):
        yield from _range(path, value, type_text)
    elif type_text.startswith("string "):
        yield from _length(path, value, type_text)
    elif type_text in _SIMPLE:
        yield from _scalar(path, value, type_text)
    else:
        yield from _enumeration(path, value, type_text.split("|"))


def shown(value: Any) -> str:
    """A value as it would stand in JSON, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}…"


def without_nulls(value: Any) -> Any:
    """The value without fields that are null: the API server drops them too. Elements of lists stay."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def nearest(word: str, known: list[str]) -> str:
    """The hint for a word that is not one of `known`."""
    near = difflib.get_close_matches(word.lower(), [item.lower() for item in known], n=1)
    if near:
        return "did you mean " + next(item for item in known if item.lower() == near[0]) + "?"
    return f"known are {', '.join(known)}"


def _mapping(path: str, value: Any, fields: Mapping[str, str], table: Table) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} {shown(value)} is not a mapping; its fields are {', '.join(fields)}"
        return
    for key, item in value.items():
        if key in fields:
            yield from shape_problems(f"{path}.{key}", item, fields[key].removesuffix("!"), table)
        else:
            yield f"{path}.{key} is not a known field; {nearest(str(key), list(fields))}"
    for key, type_text in fields.items():
        if type_text.endswith("!") and key not in value:
            yield f"{path}.{key} is missing; it must be given"


def _list(path: str, value: Any, type_text: str, table: Table) -> Iterator[str]:
    match = _LIST.fullmatch(type_text)
    if match is None:
        raise ValueError(f"the table of fields says {type_text}")
    if not isinstance(value, list):
        yield f"{path} {shown(value)} is not a list; write a list"
        return
    if match["max"] and len(value) > int(match["max"]):
        yield f"{path} has {len(value)} elements; at most {match['max']} are possible"
    for index, item in enumerate(value):
        yield from shape_problems(f"{path}[{index}]", item, match["item"], table)
    if match["keys"]:
        yield from _duplicates(path, value, match["keys"].split(","))


def _duplicates(path: str, value: list[Any], keys: list[str]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for index, item in enumerate(value):
        if not isinstance(item, dict) or any(key not in item for key in keys):
            continue
        identity = shown([item[key] for key in keys])
        if identity in seen:
            text = " and ".join(f"{key} {shown(item[key])}" for key in keys)
            yield f"{path}[{index}] has the same {text} as {path}[{seen[identity]}]; each may appear once"
        seen.setdefault(identity, index)


def _dictionary(path: str, value: Any, item_type: str, table: Table) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} {shown(value)} is not a mapping; write names and values"
        return
    for key, item in value.items():
        if not isinstance(key, str):
            yield f"{path} has the name {shown(key)}, which is not a text; put it in quotes"
        yield from shape_problems(f"{path}.{key}", item, item_type, table)


def _range(path: str, value: Any, type_text: str) -> Iterator[str]:
    match = _RANGE.fullmatch(type_text)
    if match is None:
        raise ValueError(f"the table of fields says {type_text}")
    if not isinstance(value, int) or isinstance(value, bool):
        yield f"{path} {shown(value)} is not a whole number"
        return
    if (match["low"] and value < int(match["low"])) or (match["high"] and value > int(match["high"])):
        limits = f"from {match['low']} to {match['high']}" if match["low"] and match["high"] else f"of at least {match['low']}"
        yield f"{path} {value} is out of range; write a number {limits}"


def _length(path: str, value: Any, type_text: str) -> Iterator[str]:
    match = _RANGE.fullmatch(type_text)
    if match is None:
        raise ValueError(f"the table of fields says {type_text}")
    if not isinstance(value, str):
        yield from _scalar(path, value, "string")
    elif match["low"] and len(value) < int(match["low"]):
        yield f"{path} is empty; write a text"
    elif match["high"] and len(value) > int(match["high"]):
        yield f"{path} {shown(value)} has {len(value)} characters; at most {match['high']} are possible"


def _scalar(path: str, value: Any, type_text: str) -> Iterator[str]:
    types, words = _SIMPLE[type_text]
    fits = isinstance(value, types) and (not isinstance(value, bool) or bool in types)
    if type_text == "quantity" and isinstance(value, str):
        fits = _QUANTITY.fullmatch(value) is not None
    if not fits:
        quote = "; put it in quotes" if str in types and isinstance(value, (int, float, bool)) else ""
        yield f"{path} {shown(value)} is not {words}{quote}"


def _enumeration(path: str, value: Any, known: list[str]) -> Iterator[str]:
    if value not in known:
        yield f"{path} {shown(value)} is not possible; {nearest(str(value), known)}"
