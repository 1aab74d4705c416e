# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RFC 6902 patches on configuration documents."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.library import jsonpatch


def apply_json_patches(document: Json, patches: Sequence[Json], field: str = "configurationJSONPatches") -> Json:
    """Return the document with the patches applied in order; the document itself stays as it is.

    field: where the patches stand in the user's definition, for messages.
    Raises InvalidError that names the patch by its index and says why it does not apply.
    """
    result = document
    for index, patch in enumerate(patches):
        try:
            result = jsonpatch.apply_patch(result, [patch])
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError) as error:
            operation = f"{patch.get('op')} {patch.get('path')}"
            raise InvalidError(
                f"{field}[{index}] ({operation}) does not apply: {error}; "
                "use add for what the document does not have yet, and mend the path"
            ) from error
    if not isinstance(result, dict):
        raise InvalidError(f"{field}: the patched document is not an object; leave its root alone")
    return result
