# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private keys: made in the algorithms kubeadm knows, written in the PEM forms it writes.

kube-apiserver, kube-controller-manager and etcd read "EC PRIVATE KEY" (SEC 1), "RSA PRIVATE KEY" (PKCS #1) and
"PRIVATE KEY" (PKCS #8): k8s.io/client-go/util/keyutil, ParsePrivateKeyPEM. The first two are written here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.library import (
    UnsupportedAlgorithm,
    ec,
    rsa,
    serialization,
)

if TYPE_CHECKING:
    PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class PkiError(HostedKubernetesError):
    """A key, a certificate or a kubeconfig cannot be used; the message says which fault, never the content."""


class KeyAlgorithm(StrEnum):
    """The names of kubeadm's ClusterConfiguration.encryptionAlgorithm."""

    ECDSA_P256 = "ECDSA-P256"
    ECDSA_P384 = "ECDSA-P384"
    RSA_2048 = "RSA-2048"
    RSA_3072 = "RSA-3072"
    RSA_4096 = "RSA-4096"


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, both PEM. The certificate may be followed by further ones."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class ServiceAccountKeys:
    """The keys that check and sign ServiceAccount tokens, both PEM."""

    public: bytes
    key: bytes = field(repr=False)


def new_private_key(algorithm: KeyAlgorithm) -> PrivateKey:
    """Make a key from the operating system's randomness. RSA takes 0.1 to 1 s, ECDSA under 1 ms."""
    if algorithm is KeyAlgorithm.ECDSA_P256:
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm is KeyAlgorithm.ECDSA_P384:
        return ec.generate_private_key(ec.SECP384R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=int(algorithm.value.removeprefix("RSA-")))


def encode_private_key(key: PrivateKey) -> bytes:
    """Return the PEM kubeadm writes: SEC 1 for ECDSA, PKCS #1 for RSA, not encrypted."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())


def encode_public_key(key: PublicKey) -> bytes:
    """Return the PEM of a SubjectPublicKeyInfo ("PUBLIC KEY"), as kubeadm's sa.pub."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def load_private_key(pem: bytes) -> PrivateKey:
    """Read an ECDSA or RSA key. Raises PkiError for anything else, encrypted keys among them."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError as exc:
        raise PkiError("the private key is encrypted; store it without a passphrase") from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise PkiError("the private key cannot be read; expected PEM with an ECDSA or RSA key") from exc
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        raise PkiError("the private key is neither ECDSA nor RSA; Kubernetes accepts no other kind")
    return key


def new_service_account_keys(*, algorithm: KeyAlgorithm) -> ServiceAccountKeys:
    """Make the pair behind --service-account-key-file and --service-account-signing-key-file."""
    key = new_private_key(algorithm)
    return ServiceAccountKeys(public=encode_public_key(key.public_key()), key=encode_private_key(key))


def check_service_account_keys(keys: ServiceAccountKeys) -> None:
    """Raise PkiError when the pair cannot be read or its halves do not belong together.

    A public part with several keys is accepted if one of them belongs to the private key: an API server goes on
    accepting tokens of the others.
    """
    own = encode_public_key(load_private_key(keys.key).public_key())
    if own.strip() not in keys.public.replace(b"\r\n", b"\n"):
        raise PkiError(
            "the public key does not belong to the private key, so no ServiceAccount token would be accepted; "
            "restore both from the same backup"
        )
