# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys: algorithms and PEM forms."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import (
    KeyAlgorithm,
    KeyPair,
    PkiError,
    ServiceAccountKeys,
    check_service_account_keys,
    encode_private_key,
    load_private_key,
    new_private_key,
    new_service_account_keys,
)

EC, RSA = b"-----BEGIN EC PRIVATE KEY-----", b"-----BEGIN RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("algorithm", "first_line", "size"),
    [
        (KeyAlgorithm.ECDSA_P256, EC, 256),
        (KeyAlgorithm.ECDSA_P384, EC, 384),
        (KeyAlgorithm.RSA_2048, RSA, 2048),
    ],
)
def test_key_has_the_form_kubeadm_writes(algorithm: KeyAlgorithm, first_line: bytes, size: int) -> None:
    keys = new_service_account_keys(algorithm=algorithm)
    assert keys.key.startswith(first_line)
    assert keys.public.startswith(b"-----BEGIN PUBLIC KEY-----")
    assert load_private_key(keys.key).key_size == size
    check_service_account_keys(keys)


def test_every_algorithm_of_kubeadm_is_known_by_its_name() -> None:
    assert [item.value for item in KeyAlgorithm] == ["ECDSA-P256", "ECDSA-P384", "RSA-2048", "RSA-3072", "RSA-4096"]
    assert KeyAlgorithm("RSA-3072") is KeyAlgorithm.RSA_3072


def _pem(key: serialization.PrivateFormat, password: bytes | None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return new_private_key(KeyAlgorithm.ECDSA_P256).private_bytes(serialization.Encoding.PEM, key, encryption)


@pytest.mark.parametrize(
    ("pem", "message"),
    [
        (b"", "cannot be read"),
        (b"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n", "cannot be read"),
        (_pem(serialization.PrivateFormat.PKCS8, b"secret"), "is encrypted"),
        (
            ed25519.Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            "neither ECDSA nor RSA",
        ),
    ],
    ids=["empty", "broken", "encrypted", "ed25519"],
)
def test_unusable_key_is_refused(pem: bytes, message: str) -> None:
    with pytest.raises(PkiError, match=message):
        load_private_key(pem)


def test_pkcs8_key_of_another_tool_is_read() -> None:
    assert encode_private_key(load_private_key(_pem(serialization.PrivateFormat.PKCS8, None))).startswith(EC)


def test_service_account_halves_of_two_pairs_are_refused() -> None:
    one, other = (new_service_account_keys(algorithm=KeyAlgorithm.ECDSA_P256) for _unused in range(2))
    with pytest.raises(PkiError, match="does not belong to the private key"):
        check_service_account_keys(ServiceAccountKeys(public=one.public, key=other.key))
    check_service_account_keys(ServiceAccountKeys(public=one.public + other.public, key=other.key))


def test_no_key_is_printed() -> None:
    keys = new_service_account_keys(algorithm=KeyAlgorithm.ECDSA_P256)
    assert "PRIVATE" not in repr(keys) + repr(KeyPair(certificate=b"public", key=keys.key))
