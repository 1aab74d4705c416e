# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module of the collection in this process, as ansible would run it: arguments in, the printed result out."""

from __future__ import annotations

import contextlib
import io
import json
from types import ModuleType
from typing import Any

from ansible.module_utils.testing import patch_module_args


def run_module(module: ModuleType, *, check: bool = False, **arguments: Any) -> dict[str, Any]:
    """Return the result of one call; `failed` is in it when the module failed. check: in check mode, with diff."""
    arguments = {**arguments, "_ansible_check_mode": check, "_ansible_diff": check}
    output = io.StringIO()
    with contextlib.suppress(SystemExit), patch_module_args(arguments), contextlib.redirect_stdout(output):
        module.main()
    result: dict[str, Any] = json.loads(output.getvalue().strip().splitlines()[-1])
    return result
