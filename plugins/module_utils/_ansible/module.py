# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Between AnsibleModule and the library: argument specs that merge, one place that turns errors into failures.

The library is imported inside the callback given to run(), so that a missing Python library becomes a message that names
the interpreter instead of a traceback, and so that documentation tools can import every module.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError

Result = dict[str, Any]

# Files with the libraries that not everybody needs.
_REQUIREMENTS = {"boto3": "requirements-s3.txt"}


class _Module(AnsibleModule):
    """A module whose results, also those of refused options, repeat of its options only what may be shown."""

    def __init__(self, shown: Mapping[str, Callable[[Any], Any]], **rules: Any) -> None:
        self._shown = shown
        super().__init__(**rules)

    def exit_json(self, **result: Any) -> None:
        super().exit_json(**result, **self._invocation())

    def fail_json(self, msg: str, **result: Any) -> None:
        super().fail_json(msg, **result, **self._invocation())

    def _invocation(self) -> Result:
        hidden = {name: shown(self.params[name]) for name, shown in self._shown.items() if name in self.params}
        return {"invocation": {"module_args": {**self.params, **hidden}}}


@dataclass(frozen=True)
class ArgumentSpec:
    """Options of a module with the rules between them, as one value that can be merged with others.

    shown: option → what of its value a result may repeat, for options that can hold secrets among public data.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    mutually_exclusive: list[list[str]] = field(default_factory=list)
    required_together: list[list[str]] = field(default_factory=list)
    required_one_of: list[list[str]] = field(default_factory=list)
    required_if: list[list[Any]] = field(default_factory=list)
    required_by: Mapping[str, list[str]] = field(default_factory=dict)
    shown: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)

    def merge(self, other: ArgumentSpec) -> ArgumentSpec:
        return ArgumentSpec(
            options={**self.options, **other.options},
            mutually_exclusive=self.mutually_exclusive + other.mutually_exclusive,
            required_together=self.required_together + other.required_together,
            required_one_of=self.required_one_of + other.required_one_of,
            required_if=self.required_if + other.required_if,
            required_by={**self.required_by, **other.required_by},
            shown={**self.shown, **other.shown},
        )

    def create_module(self) -> AnsibleModule:
        return _Module(
            self.shown,
            argument_spec=dict(self.options),
            mutually_exclusive=self.mutually_exclusive,
            required_together=self.required_together,
            required_one_of=self.required_one_of,
            required_if=self.required_if,
            required_by=dict(self.required_by),
            supports_check_mode=True,
        )


# Documented in plugins/doc_fragments/management_cluster.py; environment variables are read by _kube/connection.py,
# which knows when they must not count.
MANAGEMENT_CLUSTER = ArgumentSpec(
    options={
        "kubeconfig": {"type": "path"},
        "context": {"type": "str"},
        "host": {"type": "str"},
        "api_key": {"type": "str", "no_log": True},
        "ca_cert": {"type": "path"},
        "client_cert": {"type": "path"},
        "client_key": {"type": "path", "no_log": False},
        "proxy": {"type": "str"},
        "tls_server_name": {"type": "str"},
    },
    required_together=[["client_cert", "client_key"]],
)


def connection_options(params: Mapping[str, Any]) -> Result:
    """The management-cluster connection options of a module; an empty string, as AWX surveys send it, means unset."""
    return {name: params.get(name) or None for name in MANAGEMENT_CLUSTER.options}


def holder() -> str:
    """Who this process is, for others who wait until it is done. Containers may share host name and process number."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def run(spec: ArgumentSpec, main: Callable[[AnsibleModule], Result]) -> None:
    """Create the module, call main and exit with its result; every expected error becomes a failure with a message."""
    module = spec.create_module()
    try:
        result = main(module)
    except HostedKubernetesError as error:
        module.fail_json(msg=error.msg, **error.result)
    except ImportError as error:
        module.fail_json(msg=_missing_library(error))
    for warning in result.pop("warnings", []):
        module.warn(warning)
    module.exit_json(**result)


def _missing_library(error: ImportError) -> str:
    return (
        f"Python library {error.name or error} is missing or too old for {sys.executable}; install the collection's "
        f"{_REQUIREMENTS.get(error.name or '', 'requirements.txt')} there, or set ansible_python_interpreter to the interpreter that has them"
    )
