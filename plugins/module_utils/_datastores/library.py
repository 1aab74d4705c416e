# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate to grpcio and protobuf: the one file of this package that imports them.

A missing library must not hinder an import (ansible-test imports every file without it), so the names stand for None until
require() is called, which raises the ImportError that the module's adapter explains.
"""

from __future__ import annotations

import importlib
import os

# gRPC prints its own view of every TLS failure to stderr; ours is in the error (diagnose.py).
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

try:
    import grpc
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
except ImportError:
    grpc = descriptor_pb2 = descriptor_pool = message_factory = None

__all__ = ["descriptor_pb2", "descriptor_pool", "grpc", "message_factory", "require"]


def require() -> None:
    """Raise ImportError when grpcio or protobuf cannot be imported."""
    importlib.import_module("google.protobuf.message_factory")
    importlib.import_module("grpc")
