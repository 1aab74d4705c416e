# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to older files once a new one is there."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._backup.target import BackupTarget


def retain(place: BackupTarget, present: Sequence[str], gone: Sequence[str], made: str, *, check: bool) -> Json:
    """Remove what is too much; in check mode only say what that would be. Returns removed and diff of a module's result.

    present: all files of the series, the oldest first, with the one that was made; gone: those of them that go.
    """
    if not check:
        for name in gone:
            place.delete(name)
    lines = {"before": [name for name in present if name != made], "after": [name for name in present if name not in gone]}
    diff = {when: "".join(f"{place.describe(name)}\n" for name in names) for when, names in lines.items()}
    return {"removed": [place.describe(name) for name in gone], "diff": diff}
