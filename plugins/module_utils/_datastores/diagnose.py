# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a TLS endpoint could not be used, found out step by step: name, connection, certificate.

gRPC reports all of it as "unavailable" with the TLS library's internal text; a person needs to know which step failed.
"""

from __future__ import annotations

import socket
import ssl
from typing import NamedTuple

from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores import errors


class Fault(NamedTuple):
    """error: the class to raise. reason completes "etcd at HOST …", remedy says what to do."""

    error: type[errors.DatastoreError]
    reason: str
    remedy: str


def diagnose(address: str, server_name: str | None, ca_certificate: bytes, timeout_s: float) -> Fault | None:
    """Return the first step that fails, None when the server's side is in order.

    address: host:port as dialled. server_name: the name the certificate must carry when it is not the host.
    """
    host, _unused, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        connection = socket.create_connection((host, int(port)), timeout_s)
    except socket.gaierror as error:
        return Fault(
            errors.DatastoreUnreachableError,
            f"cannot be resolved ({error.strerror})",
            "correct spec.endpoints, or let the name be resolved here",
        )
    except TimeoutError:
        return Fault(
            errors.DatastoreUnreachableError,
            f"does not accept a connection within {timeout_s:g} s",
            "check that it runs and that the firewall lets this host reach the port",
        )
    except OSError as error:
        return Fault(
            errors.DatastoreUnreachableError,
            f"does not accept a connection ({error.strerror or error})",
            "check that it runs and that address and port in spec.endpoints are right",
        )
    with connection:
        return _check_tls(connection, server_name or host, ca_certificate)


def _check_tls(connection: socket.socket, server_name: str, ca_certificate: bytes) -> Fault | None:
    try:
        context = ssl.create_default_context(cadata=ca_certificate.decode())
        with context.wrap_socket(connection, server_hostname=server_name):
            return None
    except ssl.SSLCertVerificationError as error:
        return Fault(
            errors.DatastoreTlsError,
            f"shows a certificate that is not accepted ({error.verify_message})",
            "give the CA that signed it in spec.tlsConfig.certificateAuthority, or endpoints by a name it carries",
        )
    except ssl.SSLEOFError:
        # A port-forward accepts first and closes when its target does not.
        return Fault(errors.DatastoreUnreachableError, "closes the connection at once", "check that it runs and serves TLS there")
    except ssl.SSLError as error:
        if "CERTIFICATE_REQUIRED" in str(error):
            return None
        return Fault(
            errors.DatastoreTlsError,
            f"does not speak TLS as expected ({error.reason or error})",
            "check the port, and that spec.tlsConfig.certificateAuthority holds a PEM certificate",
        )
    except OSError as error:
        return Fault(
            errors.DatastoreUnreachableError,
            f"broke the connection ({error.strerror or error})",
            "check that it runs and is not overloaded",
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
    return Fault(
        errors.DatastoreTlsError,
        "refuses the client certificate",
        "give one signed by the CA that the store trusts, and not expired, in spec.tlsConfig.clientCertificate",
    )
