# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What joined kubelets are given, by the real programs: a new client certificate, and the configuration that kubeadm would write.

The kubelet ends right after it has its certificate, since there is no container runtime, and has touched nothing outside the folder of the test
then. kubeadm runs where its folders are others than this machine's.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import bootstrap_token
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.kubelet_configuration import is_same, wanted_configuration
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import facts, kubelet_client
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.kubelet_client import Places
from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer, running_api_server
from ansible_collections.hosted.kubernetes.tests.support.bundle import binary
from ansible_collections.hosted.kubernetes.tests.support.processes import free_ports, running

# As kubeadm binds them, and the engine in a tenant.
ROLES = ("system:node-bootstrapper", "system:certificates.k8s.io:certificatesigningrequests:nodeclient")
CONTROLLERS = "certificatesigningrequest-approving-controller,certificatesigningrequest-signing-controller"
CONFIGURATION: Json = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    # Then the kubelet waits for its certificate before it goes on, and cannot end too early.
    "rotateCertificates": False,
    "containerRuntimeEndpoint": "unix:///nonexistent.sock",
    "failCgroupV1": False,
    "failSwapOn": False,
}


@dataclass(frozen=True)
class Host:
    """A host that has joined: its files, and how its kubelet is started."""

    server: ApiServer
    ca: str
    places: Places
    kubelet: list[str]


@pytest.fixture
def server(bundle: Path, tmp_path: Path) -> Iterator[ApiServer]:
    """A cluster that takes bootstrap tokens and signs what kubelets ask for."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running_api_server(bundle, tmp_path, extra_flags=("--enable-bootstrap-token-auth=true",)))
        for number, role in enumerate(ROLES):
            subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": bootstrap_token.GROUP}
            reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
            body: Json = {"metadata": {"name": f"bootstrap-{number}"}, "roleRef": reference, "subjects": [subject]}
            server.request("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", body)
        (port,) = free_ports(1)
        flags = {
            "kubeconfig": server.kubeconfig,
            "controllers": CONTROLLERS,
            "cluster-signing-cert-file": server.authority.pair.certificate,
            "cluster-signing-key-file": server.authority.pair.key,
            "leader-elect": "false",
            "secure-port": port,
        }
        argv = [str(binary(bundle, "kube-controller-manager")), *(f"--{name}={value}" for name, value in flags.items())]
        stack.enter_context(running(argv, tmp_path / "kube-controller-manager.log", lambda: True))
        yield server


@pytest.fixture
def host(bundle: Path, server: ApiServer, tmp_path: Path) -> Host:
    places = Places(*(str(tmp_path / name) for name in ("kubelet.conf", "bootstrap-kubelet.conf", "ca.crt", "marker")))
    pki, ended = tmp_path / "pki", server.authority.client("system:node:worker-1", ("system:nodes",), timedelta(seconds=-1))
    pki.mkdir()
    current = pki / "kubelet-client-current.pem"
    dated = pki / "kubelet-client-2025-01-01-00-00-00.pem"
    dated.write_bytes(ended.certificate.read_bytes() + ended.key.read_bytes())
    # The kubelet goes on with nothing but a link.
    current.symlink_to(dated)
    ca = server.authority.pair.certificate.read_text(encoding="utf-8")
    # As the kubelet writes it, but for the format.
    conf: Json = json.loads(kubelet_client.bootstrap_conf(server.url, ca, "none"))
    conf["users"][0]["user"] = {"client-certificate": str(current), "client-key": str(current)}
    Path(places.kubelet_conf).write_text(json.dumps(conf, indent=1), encoding="utf-8")
    Path(places.ca_file).write_text(ca, encoding="utf-8")
    (tmp_path / "config.yaml").write_text(json.dumps(CONFIGURATION), encoding="utf-8")
    flags = {
        "config": tmp_path / "config.yaml",
        "kubeconfig": places.kubelet_conf,
        "bootstrap-kubeconfig": places.bootstrap_conf,
        "cert-dir": pki,
        "root-dir": tmp_path / "kubelet",
        "hostname-override": "worker-1",
    }
    return Host(server, ca, places, [str(binary(bundle, "kubelet")), *(f"--{name}={value}" for name, value in flags.items())])


def token(server: ApiServer) -> str:
    made = bootstrap_token.Token(
        id=secrets.token_hex(3), secret=secrets.token_hex(8), host="worker-1", expires=datetime.now(UTC) + timedelta(minutes=5)
    )
    server.request("POST", "/api/v1/namespaces/kube-system/secrets", made.manifest())
    return f"{made.id}.{made.secret}"


def test_an_expired_certificate_is_replaced_and_no_token_stays(host: Host, tmp_path: Path) -> None:
    now_s = datetime.now(UTC).timestamp()
    assert kubelet_client.plan(kubelet_client.observe(host.places), host.server.url, host.ca, now_s) == ["certificate"]

    started: list[subprocess.Popen[bytes]] = []
    with (tmp_path / "kubelet.log").open("wb") as log:

        def start() -> None:
            started.append(subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *host.kubelet], stdout=log, stderr=subprocess.STDOUT))

        try:
            kubelet_client.renew(host.server.url, host.ca, token(host.server), 60, host.places, restart=start)
        finally:
            for process in started:
                process.kill()
                process.wait()
    assert kubelet_client.plan(kubelet_client.observe(host.places), host.server.url, host.ca, now_s) == []
    described = facts.describe_kubelet_conf(Path(host.places.kubelet_conf).read_text(encoding="utf-8"))
    assert described["client_not_after_s"] > now_s + 3600
    assert not Path(host.places.bootstrap_conf).exists()
    # What the kubelet has written is changed as well as what a test has.
    client = kubelet_client.observe(host.places)
    kubelet_client.apply(["server"], client, "https://192.0.2.1:6443", host.ca, host.places)
    assert kubelet_client.plan(kubelet_client.observe(host.places), "https://192.0.2.1:6443", host.ca, now_s) == []


def test_the_configuration_is_what_kubeadm_writes(bundle: Path, tmp_path: Path) -> None:
    """kubeadm knows the folders /etc and /var/lib only, so that it gets some of its own, which are gone with it."""
    present = {**CONFIGURATION, "maxPods": 7, "resolvConf": "/run/systemd/resolve/resolv.conf"}
    patch = {"evictionHard": {"memory.available": "100Mi"}, "maxPods": 200, "authentication": {"anonymous": {"enabled": None}}}
    folder = tmp_path / "host"
    for path, content in {
        "etc/kubernetes/patches/kubeletconfiguration0+merge.yaml": yaml.safe_dump(patch),
        "var/lib/kubelet/config.yaml": yaml.safe_dump(present),
        "var/lib/kubelet/instance-config.yaml": yaml.safe_dump({"containerRuntimeEndpoint": present["containerRuntimeEndpoint"]}),
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content, encoding="utf-8")
    with running_api_server(bundle, tmp_path) as server:
        for name in ("kubeadm-config", "kubelet-config"):
            server.request("POST", "/api/v1/namespaces/kube-system/configmaps", uploaded(name))
        server.request("POST", "/api/v1/nodes", {"metadata": {"name": "worker-1", "labels": {"kubernetes.io/hostname": "worker-1"}}})
        own = server.authority.client("system:node:worker-1", ("system:nodes",))
        conf: Json = json.loads(
            kubelet_client.bootstrap_conf(server.url, server.authority.pair.certificate.read_text(encoding="utf-8"), "none")
        )
        conf["users"][0]["user"] = {"client-certificate": str(own.certificate), "client-key": str(own.key)}
        (folder / "etc/kubernetes/kubelet.conf").write_text(json.dumps(conf), encoding="utf-8")
        phase = [str(binary(bundle, "kubeadm")), "upgrade", "node", "phase", "kubelet-config", "--kubeconfig", str(server.kubeconfig)]
        script = f"mount --bind {folder}/etc /etc && mount --bind {folder}/var/lib /var/lib && exec {shlex.join(phase)} --patches /etc/kubernetes/patches"
        done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    theirs = yaml.safe_load((folder / "var/lib/kubelet/config.yaml").read_text(encoding="utf-8"))
    ours = wanted_configuration(yaml.safe_load(uploaded("kubelet-config")["data"]["kubelet"]), patch, present)
    # No resolved runs here, for whose sake kubeadm would set it; on a host it stays what it was.
    assert ours.pop("resolvConf") == present["resolvConf"]
    assert is_same(ours, theirs), (ours, theirs)
    assert theirs["maxPods"] == 200


def uploaded(name: str) -> Json:
    """A ConfigMap of a cluster, as the engine makes it; that kubeadm makes the same is proven elsewhere."""
    golden = Path(__file__).parents[2] / "golden/1.36/default.yaml"
    for item in yaml.safe_load(golden.read_text(encoding="utf-8")):
        if item["kind"] == "ConfigMap" and item["metadata"]["name"] == name:
            return {"metadata": {"name": name}, "data": item["data"]}
    raise AssertionError(name)
