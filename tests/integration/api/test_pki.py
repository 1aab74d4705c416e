# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and certificates of ours in the real programs: etcd, kube-apiserver, kube-controller-manager, kubectl, kubeadm."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import client_from_kubeconfig
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.transport import Access
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import wait_for
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import LeafRequest, new_ca, new_leaf
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import KeyAlgorithm, KeyPair, new_service_account_keys
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.kubeconfig import kubeconfig
from ansible_collections.hosted.kubernetes.tests.support.bundle import binary
from ansible_collections.hosted.kubernetes.tests.support.processes import free_ports, running

NOW = datetime.now(UTC)


@dataclass
class Pki:
    """Everything for one control plane, in one algorithm, as files."""

    directory: Path
    algorithm: KeyAlgorithm

    def __post_init__(self) -> None:
        self.ca = new_ca("kubernetes", algorithm=self.algorithm, now=NOW)
        self.etcd_ca = new_ca("etcd-ca", algorithm=self.algorithm, now=NOW)
        self.write("ca", self.ca)
        self.write("etcd-ca", self.etcd_ca)
        self.write(
            "server", self.leaf(self.ca, LeafRequest("kube-apiserver", dns_names=("kubernetes",), ip_addresses=("127.0.0.1",), server=True))
        )
        etcd = LeafRequest("etcd", ip_addresses=("127.0.0.1",), server=True, client=True)
        self.write("etcd", self.leaf(self.etcd_ca, etcd))
        self.etcd_client = self.leaf(self.etcd_ca, LeafRequest("client", client=True))
        self.write("etcd-client", self.etcd_client)
        keys = new_service_account_keys(algorithm=self.algorithm)
        (self.directory / "sa.pub").write_bytes(keys.public)
        (self.directory / "sa.key").write_bytes(keys.key)

    def leaf(self, ca: KeyPair, request: LeafRequest) -> KeyPair:
        return new_leaf(ca, request, algorithm=self.algorithm, now=NOW)

    def write(self, name: str, pair: KeyPair) -> None:
        (self.directory / f"{name}.crt").write_bytes(pair.certificate)
        (self.directory / f"{name}.key").write_bytes(pair.key)

    def kubeconfig(self, url: str, name: str, request: LeafRequest) -> Path:
        path = self.directory / f"{name}.conf"
        path.write_bytes(
            kubeconfig(server=url, ca_certificate=self.ca.certificate, client=self.leaf(self.ca, request), user=name, cluster="test")
        )
        return path


@contextlib.contextmanager
def running_etcd(bundle: Path, pki: Pki) -> Iterator[str]:
    client_port, peer_port = free_ports(2)
    url, peer, path = f"https://127.0.0.1:{client_port}", f"https://127.0.0.1:{peer_port}", pki.directory
    argv = [
        str(binary(bundle, "etcd")),
        "--name=test",
        f"--data-dir={path / 'data'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=test={peer}",
        "--unsafe-no-fsync",
        "--client-cert-auth",
        "--peer-client-cert-auth",
    ]
    for prefix in ("", "peer-"):
        argv += [
            f"--{prefix}cert-file={path}/etcd.crt",
            f"--{prefix}key-file={path}/etcd.key",
            f"--{prefix}trusted-ca-file={path}/etcd-ca.crt",
        ]
    access = Access(
        server=url,
        origin="test",
        ca=pki.etcd_ca.certificate,
        client_certificate=pki.etcd_client.certificate,
        client_key=pki.etcd_client.key,
    )
    with Client(access) as client, running(argv, path / "etcd.log", lambda: _answers(client, "/health")):
        yield url


@contextlib.contextmanager
def running_api_server(bundle: Path, pki: Pki, etcd_url: str) -> Iterator[str]:
    (port,) = free_ports(1)
    url, path = f"https://127.0.0.1:{port}", pki.directory
    argv = [
        str(binary(bundle, "kube-apiserver")),
        f"--etcd-servers={etcd_url}",
        f"--etcd-cafile={path}/etcd-ca.crt",
        f"--etcd-certfile={path}/etcd-client.crt",
        f"--etcd-keyfile={path}/etcd-client.key",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={path}/server.crt",
        f"--tls-private-key-file={path}/server.key",
        f"--client-ca-file={path}/ca.crt",
        "--authorization-mode=Node,RBAC",
        "--endpoint-reconciler-type=none",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={path}/sa.pub",
        f"--service-account-signing-key-file={path}/sa.key",
        "--service-cluster-ip-range=10.96.0.0/16",
    ]
    admin = pki.kubeconfig(url, "admin", LeafRequest("kubernetes-super-admin", organizations=("system:masters",), client=True))
    with (
        client_from_kubeconfig(admin.read_bytes()) as client,
        running(argv, path / "kube-apiserver.log", lambda: _answers(client, "/readyz")),
    ):
        yield url


@contextlib.contextmanager
def running_controller_manager(bundle: Path, pki: Pki, url: str) -> Iterator[None]:
    (port,) = free_ports(1)
    path = pki.directory
    config = pki.kubeconfig(url, "controller-manager", LeafRequest("system:kube-controller-manager", client=True))
    argv = [
        str(binary(bundle, "kube-controller-manager")),
        f"--kubeconfig={config}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={path}/server.crt",
        f"--tls-private-key-file={path}/server.key",
        f"--service-account-private-key-file={path}/sa.key",
        f"--root-ca-file={path}/ca.crt",
        f"--cluster-signing-cert-file={path}/ca.crt",
        f"--cluster-signing-key-file={path}/ca.key",
        "--use-service-account-credentials",
        "--controllers=*,-cloud-node-lifecycle-controller",
        "--leader-elect=false",
    ]
    access = Access(server=f"https://127.0.0.1:{port}", origin="test", ca=pki.ca.certificate)
    with Client(access) as client, running(argv, path / "kube-controller-manager.log", lambda: _answers(client, "/healthz")):
        yield


def _answers(client: Client, path: str) -> bool:
    try:
        client.get_raw(path)
    except HostedKubernetesError:
        return False
    return True


def kubectl(bundle: Path, config: Path, *command: str) -> str:
    done = subprocess.run(
        [str(binary(bundle, "kubectl")), "--kubeconfig", str(config), *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def existing(client: Client, kind: str, name: str) -> dict[str, Any]:
    """An object of the namespace default that somebody makes soon."""
    found = wait_for(client, resource_of(kind), name, "default", predicate=lambda obj: obj is not None, deadline=time.monotonic() + 60)
    assert found is not None
    return found


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.ECDSA_P256, KeyAlgorithm.RSA_2048])
def test_real_programs_work_with_our_keys(bundle: Path, tmp_path: Path, algorithm: KeyAlgorithm) -> None:
    pki = Pki(tmp_path, algorithm)
    with (
        running_etcd(bundle, pki) as etcd_url,
        running_api_server(bundle, pki, etcd_url) as url,
        running_controller_manager(bundle, pki, url),
    ):
        assert kubectl(bundle, tmp_path / "admin.conf", "get", "--raw", "/readyz") == "ok"
        # The controller manager has made the account and, in each namespace, published the CA; the API server signs and checks its token.
        with client_from_kubeconfig((tmp_path / "admin.conf").read_bytes()) as client:
            root = existing(client, "ConfigMap", "kube-root-ca.crt")
            existing(client, "ServiceAccount", "default")
            token = kubectl(bundle, tmp_path / "admin.conf", "create", "token", "default").strip()
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {"name": ""}, "spec": {"token": token}}
            told: dict[str, Any] = client.create(review)["status"]
        assert told["user"]["username"] == "system:serviceaccount:default:default"
        assert root["data"]["ca.crt"].encode() == pki.ca.certificate


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.ECDSA_P256, KeyAlgorithm.RSA_2048])
def test_kubeadm_goes_on_with_our_authority(bundle: Path, tmp_path: Path, algorithm: KeyAlgorithm) -> None:
    ca = new_ca("kubernetes", algorithm=algorithm, now=NOW)
    (tmp_path / "ca.crt").write_bytes(ca.certificate)
    (tmp_path / "ca.key").write_bytes(ca.key)
    command = [str(binary(bundle, "kubeadm")), "init", "phase", "certs"]
    options = ["--cert-dir", str(tmp_path), "--kubernetes-version", "v1.36.3"]
    told = subprocess.run([*command, "ca", *options], capture_output=True, text=True, check=True).stdout
    assert "Using existing ca certificate authority" in told
    subprocess.run([*command, "apiserver-kubelet-client", *options], capture_output=True, check=True)
    verified = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-CAfile", "ca.crt", "apiserver-kubelet-client.crt"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.stdout == "apiserver-kubelet-client.crt: OK\n", verified.stderr
