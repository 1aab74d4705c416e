# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller as a program: `python -m ansible_collections.hosted.kubernetes.plugins.module_utils._controller --help`."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence
from functools import partial

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller import library, log, options
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller.controller import Controller
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect, connect_in_cluster

_log = logging.getLogger("hosted_kubernetes.controller")


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT; return the exit status: 1 after a failure."""
    given = options.read(arguments)
    log.start(given.log_level)
    try:
        library.require()
    except ImportError as error:
        _log.error(
            "library %s is missing; install what requirements.txt and requirements-controller.txt name (%s)", error.name, sys.executable
        )
        return 1
    connected = partial(connect, ConnectionOptions(kubeconfig=given.kubeconfig)) if given.kubeconfig else connect_in_cluster
    try:
        controller = Controller(given, connected, in_cluster=given.kubeconfig is None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_unused: controller.stop())
        return 0 if controller.run() else 1
    except (HostedKubernetesError, OSError) as error:
        _log.error("%s", error)
        return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
