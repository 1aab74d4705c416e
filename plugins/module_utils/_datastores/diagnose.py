# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a TLS endpoint could not be used, found out step by step: name, connection, certificate.

gRPC and libpq report all of it as one text, the TLS library's internal one; a person needs to know which step failed.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Final, NamedTuple

from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import errors


class Fault(NamedTuple):
    """error: the class to raise. reason completes "etcd at HOST …" (or another driver's name), remedy says what to do."""

    error: type[errors.DatastoreError]
    reason: str
    remedy: str


# Asks for TLS on a fresh connection, for protocols that begin in plain text. Returns why there is none, None when it may begin.
StartTls = Callable[[socket.socket], "Fault | None"]


def diagnose(
    address: str, server_name: str | None, ca_certificate: bytes, timeout_s: float, start_tls: StartTls = lambda _connection: None
) -> Fault | None:
    """Return the first step that fails, None when the server's side is in order.

    address: host:port as dialled. server_name: the name the certificate must carry when it is not the host.
    """
    host, _unused, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        with socket.create_connection((host, int(port)), timeout_s) as connection:
            refused = start_tls(connection)
            if refused is not None:
                return refused
            context = ssl.create_default_context(cadata=ca_certificate.decode())
            with context.wrap_socket(connection, server_hostname=server_name or host):
                return None
    except OSError as error:
        return fault_of(error, timeout_s)


def fault_of(error: OSError, timeout_s: float) -> Fault | None:
    """Return what an error of a socket means. None when the server only asks for a client certificate."""
    if isinstance(error, ssl.SSLError):
        return _tls_fault(error)
    if isinstance(error, socket.gaierror):
        return Fault(
            errors.DatastoreUnreachableError,
            f"cannot be resolved ({error.strerror})",
            "correct spec.endpoints, or let the name be resolved here",
        )
    if isinstance(error, TimeoutError):
        return Fault(
            errors.DatastoreUnreachableError,
            f"does not accept a connection within {timeout_s:g} s",
            "check that it runs and that the firewall lets this host reach the port",
        )
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return Fault(
            errors.DatastoreUnreachableError,
            f"broke the connection ({error.strerror or error})",
            "check that it runs and is not overloaded",
        )
    return Fault(
        errors.DatastoreUnreachableError,
        f"does not accept a connection ({error.strerror or error})",
        "check that it runs and that address and port in spec.endpoints are right",
    )


def _tls_fault(error: ssl.SSLError) -> Fault | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Fault(
            errors.DatastoreTlsError,
            f"shows a certificate that is not accepted ({error.verify_message})",
            "give the CA that signed it in spec.tlsConfig.certificateAuthority, or endpoints by a name it carries",
        )
    if isinstance(error, ssl.SSLEOFError):
        # A port-forward accepts first and closes when its target does not.
        return Fault(errors.DatastoreUnreachableError, "closes the connection at once", "check that it runs and serves TLS there")
    if "CERTIFICATE_REQUIRED" in str(error):
        return None
    return Fault(
        errors.DatastoreTlsError,
        f"does not speak TLS as expected ({error.reason or error})",
        "check the port, and that spec.tlsConfig.certificateAuthority holds a PEM certificate",
    )


def after_handshake(code: str, details: str) -> Fault:
    """The server's side is in order, so it refused ours, or it did not answer in time."""
    if code == "DEADLINE_EXCEEDED":
        return Fault(
            errors.DatastoreTimeoutError,
            "accepts connections but did not answer in time",
            "see whether a majority of its members runs and whether their disks keep up",
        )
    if any(word in details for word in ("refused", "timed out", "unreachable", "DNS")):
        return Fault(
            errors.DatastoreUnreachableError,
            f"became reachable only after the call had failed ({details[:200]})",
            "run again; see its log when it happens again",
        )
    return CLIENT_CERTIFICATE_REFUSED


CLIENT_CERTIFICATE_REFUSED: Final = Fault(
    errors.DatastoreTlsError,
    "refuses the client certificate",
    "give one signed by the CA that the store trusts, and not expired, in spec.tlsConfig.clientCertificate",
)
NO_TLS: Final = Fault(
    errors.DatastoreTlsError,
    "does not offer TLS",
    "give the server a certificate and switch TLS on; passwords and data of tenants never go over a plain connection",
)
