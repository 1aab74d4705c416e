# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of a managed etcd; what is planned around them is tested on a real API server."""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime, timedelta

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.managed_etcd import ManagedEtcd
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import check_leaf, new_leaf
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import KeyAlgorithm, KeyPair
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.etcd_plan import SIGNER, leaf_request, new_authority

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
EC = KeyAlgorithm.ECDSA_P256


def test_the_longest_names_fit_into_certificates() -> None:
    etcd = ManagedEtcd("n" * 48, "s" * 48, 5, "registry.k8s.io/etcd:3.6.8-0", "8Gi", 1 << 30)
    for part, signer in SIGNER.items():
        data = new_authority(etcd, signer, NOW)["data"]
        ca = KeyPair(b64decode(data["ca.crt"]), b64decode(data["ca.key"]))
        request = leaf_request(etcd, part)
        pair = new_leaf(ca, request, algorithm=EC, now=NOW)
        assert check_leaf(pair, request, ca_certificate=ca.certificate, now=NOW, renew_before=timedelta(days=30)) is None
