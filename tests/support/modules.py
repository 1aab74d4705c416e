# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module in this process, with arguments as Ansible gives them, and returns what it printed."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible.module_utils import basic


class ModuleFailedError(Exception):
    """The module called fail_json; result is what it printed."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__(result.get("msg"))
        self.result = result


def run_module(main: Callable[[], None], arguments: Mapping[str, Any], *, check: bool = False, diff: bool = True) -> dict[str, Any]:
    """Return the result of a module, given its main(). Raises ModuleFailedError."""
    settings = {"_ansible_check_mode": check, "_ansible_diff": diff, "_ansible_remote_tmp": "/tmp"}
    printed = io.StringIO()
    code: Any = None
    with _arguments({**arguments, **settings}), contextlib.redirect_stdout(printed):
        try:
            main()
        except SystemExit as error:
            code = error.code
    result: dict[str, Any] = json.loads(printed.getvalue())
    if code != 0:
        raise ModuleFailedError(result)
    return result


@contextlib.contextmanager
def _arguments(arguments: Mapping[str, Any]) -> Iterator[None]:
    try:
        from ansible.module_utils.testing import patch_module_args
    except ImportError:
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
        try:
            yield
        finally:
            basic._ANSIBLE_ARGS = None
    else:
        with patch_module_args(dict(arguments)):
            yield
