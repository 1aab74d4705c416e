# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checksums that were seen before: what upstream publishes under one name must not change."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError


class Pins:
    """The first checksum seen of each URL, image reference and Go module, and those the user wrote down.

    path: the record, one JSON object. given: bundle_checksums; it wins over the record.
    """

    def __init__(self, path: str, given: Mapping[str, str]) -> None:
        self._path = path
        self._given = given

    def check(self, name: str, found: str) -> None:
        """Accept a checksum, and record it when the name is new.

        Raises HostedKubernetesError that names what, expected and found when another one was given or recorded.
        """
        if name in self._given:
            if self._given[name] != found:
                raise _changed(name, self._given[name], found, f'bundle_checksums["{name}"]', "correct it there when the new one is right")
            return
        seen = self._read()
        if name not in seen:
            self._write({**seen, name: found})
        elif seen[name] != found:
            raise _changed(name, seen[name], found, self._path, "when you know why it changed, remove its line there and run again")

    def _read(self) -> dict[str, str]:
        try:
            with open(self._path, encoding="utf-8") as stream:
                seen: dict[str, str] = json.load(stream)
                return seen
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise HostedKubernetesError(
                f"{self._path}: not a record of checksums ({error}); restore it, or remove it to trust upstream anew"
            ) from error

    def _write(self, seen: Mapping[str, str]) -> None:
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        partial = f"{self._path}.part"
        with open(partial, "w", encoding="utf-8") as stream:
            json.dump(dict(sorted(seen.items())), stream, indent=1)
        os.replace(partial, self._path)


def _changed(name: str, expected: str, found: str, where: str, remedy: str) -> HostedKubernetesError:
    return HostedKubernetesError(
        f"{name}: the checksum is not the known one: expected {expected} (from {where}), found {found}; nothing was taken over; {remedy}",
        file=name,
        expected=expected,
        found=found,
    )
