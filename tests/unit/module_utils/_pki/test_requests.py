# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.kubelet_serving import RequestContent
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import PkiError
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.requests import read_request
from ansible_collections.hosted.kubernetes.tests.support.node_requests import pkcs10


def test_what_a_kubelet_asks_for() -> None:
    found = read_request(pkcs10("system:node:one", ["one", "192.0.2.1", "2001:db8::1"]))
    assert found == RequestContent("system:node:one", ("system:nodes",), ("one",), ("192.0.2.1", "2001:db8::1"))
    assert read_request(pkcs10("one", [], ())) == RequestContent("one", (), (), ())


def test_what_no_kubelet_asks_for_is_told() -> None:
    more = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "x"), x509.NameAttribute(NameOID.COMMON_NAME, "two")]
    found = read_request(pkcs10("one", ["mailto:a@example.com", "https://example.com"], ("a", "b"), more))
    assert found.common_name == "one, two"
    assert found.organizations == ("a", "b")
    assert found.others == (
        "subject attribute OU",
        "alternative name RFC822Name",
        "alternative name UniformResourceIdentifier",
    )


def test_a_request_that_another_key_signed() -> None:
    der = bytearray(base64.b64decode("".join(pkcs10("one", ["one"]).decode().splitlines()[1:-1])))
    der[der.index(b"one")] ^= 1
    text = base64.encodebytes(bytes(der)).decode()
    assert not read_request(f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n".encode()).is_signed


@pytest.mark.parametrize("text", [b"", b"none", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"])
def test_no_request_at_all(text: bytes) -> None:
    with pytest.raises(PkiError, match="the certificate request cannot be read"):
        read_request(text)
