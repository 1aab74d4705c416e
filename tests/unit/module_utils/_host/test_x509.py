# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates made with openssl 3.0 in 2026; hashes as `openssl x509 -pubkey | openssl pkey -outform DER | sha256sum` prints."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._host import x509

RSA = """
-----BEGIN CERTIFICATE-----
MIIDMTCCAhmgAwIBAgIUBdR4iYHCJv3F3Skob3RuksLkeAUwDQYJKoZIhvcNAQEL
BQAwKDENMAsGA1UECgwEYWNtZTEXMBUGA1UEAwwOa3ViZXJuZXRlcy1yc2EwHhcN
MjYxMTIyMTk0NTA2WhcNMzYxMTE5MTk0NTA2WjAoMQ0wCwYDVQQKDARhY21lMRcw
FQYDVQQDDA5rdWJlcm5ldGVzLXJzYTCCASIwDQYJKoZIhvcNAQEBBQADggEPADCC
AQoCggEBAKtC7sO7qTz/crU8R8KBz/zImFG6xqfvsLTbL7omOfL7c/EKZdANtJut
1YvSBkxCdfR9njXbmnU162P0w1/IvW0DdNH9nVmQSxqOT9qozIuUkrfatMHhlk/M
fWBSERpOHUct0cCRs0bAu4rMP4vsMrizIPIY3Uy2lmfLSdO4sK+gj6Syrehh6L1P
uvYsgG1y+dV7H00v+50AthQxj8H600MMywYOIrezJYLHkOl9K+Msd6axoGywn3/O
8mSvqmKt/MXtb0YO2BYce74GK+QH46C4ISWVtjSMz71ZSNeIv0IXK1fRsGjtlnRc
t6oYSpCSYeAGIaWzGxulK1IV7Gko7VECAwEAAaNTMFEwHQYDVR0OBBYEFAC09zrm
H2K//oe7lxH0286AZIInMB8GA1UdIwQYMBaAFAC09zrmH2K//oe7lxH0286AZIIn
MA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQELBQADggEBAGPMrDqu06UmnvHY
mFaB+SJUNlKyo6U6/ZeqyhxWRLy3w8nKptNUTiUQNJKc28G9fo5i1YaLTy1wHdhQ
oe/sAucvxYqECDpMAdeEYiUeuwQQVxbHPaMRHSToNDeBf7iMXY7INNI6gHOlhJYp
R3yDcqt0AhrEFF06P+8bX8aKDJPpXNIcfhm/lLi23ldZEmIAv3pMKlZ7FlMgpXyE
Xvn1q598bgJ7BDf4ROgTbh+Elt3VeTsyoqvxxHa2GVHfJe+VA+wqNfFfVJVXK6tu
cWThmQgMmkUgvcvQ1LO7MW9opI+BLshpSERUBEskSl2dv4yFfxma4K21C0LU8cLB
zvvhLs0=
-----END CERTIFICATE-----
"""
EC = """
-----BEGIN CERTIFICATE-----
MIIBpDCCAUmgAwIBAgIUeqPfM2fU/g5z55ukSPNEHEKUQvkwCgYIKoZIzj0EAwIw
JzENMAsGA1UECgwEYWNtZTEWMBQGA1UEAwwNa3ViZXJuZXRlcy1lYzAeFw0yNjEx
MjIxOTQ1MDZaFw0zNjExMTkxOTQ1MDZaMCcxDTALBgNVBAoMBGFjbWUxFjAUBgNV
BAMMDWt1YmVybmV0ZXMtZWMwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQg4cLV
RJXm13ww1UWSAz+0Hwfb8D5K8JndjGH6CSyYNXAahmNyKHuJWsT7IJSN/l2IreBo
ye4O9UgsXRdhNEhYo1MwUTAdBgNVHQ4EFgQUlvvsaXKrTCFm3jAuxx11s9W8s5Qw
HwYDVR0jBBgwFoAUlvvsaXKrTCFm3jAuxx11s9W8s5QwDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAgNJADBGAiEA6kEYmy5z4goTQ7kiDYOS/FC1mh1EWTntfYtW
4DJcbIoCIQD2g8k+hukGtfsDeI3WoNz+m+IHPJ63+oE3GxEK8Y5KQQ==
-----END CERTIFICATE-----
"""
# Of a kubelet: O = system:nodes, CN = system:node:worker-1.example.
NODE = """
-----BEGIN CERTIFICATE-----
MIIBzzCCAXegAwIBAgIUX2nd9s6S4V01rqYQ6+VzvNNbYGYwCgYIKoZIzj0EAwIw
PjEVMBMGA1UECgwMc3lzdGVtOm5vZGVzMSUwIwYDVQQDDBxzeXN0ZW06bm9kZTp3
b3JrZXItMS5leGFtcGxlMB4XDTI2MTEyODE5NDcwOFoXDTM2MTEyNTE5NDcwOFow
PjEVMBMGA1UECgwMc3lzdGVtOm5vZGVzMSUwIwYDVQQDDBxzeXN0ZW06bm9kZTp3
b3JrZXItMS5leGFtcGxlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEFBpwYdNo
Lnq0EqQXbQUbTVKFdB009mH8/47dBqUCkKeQCGQJorN1tHZlnsFsloTpKMPy48M2
Dawr1KVXY01yIKNTMFEwHQYDVR0OBBYEFGDk4KLakeX8KUf4tDqKRBdVsEEIMB8G
A1UdIwQYMBaAFGDk4KLakeX8KUf4tDqKRBdVsEEIMA8GA1UdEwEB/wQFMAMBAf8w
CgYIKoZIzj0EAwIDRgAwQwIfGtsNj+gi26+2osRsrJe2RssFpIXVcvxwFkTpcZxP
ZgIgBLsCty0m/t7aZBaPT8zshGT+NEK/FE7QOUWuNTvEXzs=
-----END CERTIFICATE-----
"""
# Ends after 2049: GeneralizedTime instead of UTCTime.
LATE = """
-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUDdvotMrWQWBQmN0/rH0rUJKPBa0wCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEbGF0ZTAgFw0yNjExMjIxOTQ1MDZaGA8yMDU5MDkzMDE5NDUw
NlowDzENMAsGA1UEAwwEbGF0ZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAcz
vnSHSpFWORSB+zYhrZaHrN8GQv4hTLg5FgpoB5vbizkUsMe6fr6K26GP3SgBKSu/
bd4Hk6daJCJTOoKYCZ6jUzBRMB0GA1UdDgQWBBQfb5iCauMG/usutx8KrSMbQC9o
mjAfBgNVHSMEGDAWgBQfb5iCauMG/usutx8KrSMbQC9omjAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIQCSqgy2Pxu085BBaziJzjp/wam5zkC/aJh1
ataAv7EflgIgPNZlhpiBNtGPcrhRovO1fCc+ZwHKGsghyg0BryE8YtI=
-----END CERTIFICATE-----
"""
HASHES = {
    "rsa": "sha256:6112129f1a588c59cf5d8775d2f01df7b2462436407e36b032fa5402ccdddddb",
    "ec": "sha256:4412b5de6f18b11db5694feecb0e9b7af37074b91a51c247c93be83b267c8ea2",
    "late": "sha256:8b61a0cc65df8fbd213403186dfb30d6665d4ee5ca26e2ef4d65caaf7b634355",
}


@pytest.mark.parametrize(
    ("pem", "name", "end", "digest"),
    [
        (RSA, "kubernetes-rsa", datetime(2036, 11, 19, 19, 45, 6, tzinfo=timezone.utc), HASHES["rsa"]),
        (EC, "kubernetes-ec", datetime(2036, 11, 19, 19, 45, 6, tzinfo=timezone.utc), HASHES["ec"]),
        (LATE, "late", datetime(2059, 9, 30, 19, 45, 6, tzinfo=timezone.utc), HASHES["late"]),
    ],
)
def test_reads_a_certificate(pem: str, name: str, end: datetime, digest: str) -> None:
    assert x509.read_pem(pem) == [x509.Certificate(common_name=name, not_after=end, public_key_hash=digest)]


def test_reads_every_certificate_of_a_bundle_and_skips_keys() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    assert [item.common_name for item in x509.read_pem(RSA + key + EC)] == ["kubernetes-rsa", "kubernetes-ec"]


def test_no_certificate_is_no_error() -> None:
    assert x509.read_pem("") == []


@pytest.mark.parametrize("body", ["AAAA", "MIIDMTCCAhmgAwIBAgIU", "x", "MAA="])
def test_refuses_what_is_no_certificate(body: str) -> None:
    with pytest.raises(x509.DerError):
        x509.read_pem(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
