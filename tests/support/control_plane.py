# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real programs of a control plane, as processes with the flags and files of a tenant's Deployment."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management import kine
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.inputs import DatastoreInputs, ManagementInputs
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.objects import objects
from ansible_collections.hosted.kubernetes.tests.support.bundle import binary, program_of_image
from ansible_collections.hosted.kubernetes.tests.support.certificates import Authority, Pair, new_key_pair
from ansible_collections.hosted.kubernetes.tests.support.etcd import Etcd, running_etcd
from ansible_collections.hosted.kubernetes.tests.support.processes import free_ports, running
from ansible_collections.hosted.kubernetes.tests.support.tenant_cases import definition

Changes = Mapping[str, Any]
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


Files = Mapping[str, Path]


@dataclass(frozen=True)
class Store:
    """The datastore of a tenant's programs. certificate, config: what the two Secrets about it hold."""

    inputs: DatastoreInputs
    certificate: Files
    config: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class ControlPlane:
    """Arguments of each program, and what a client needs. ports: of each program.

    environment: of kine, with what its Secret gives. etcd: the datastore, where it is one.
    """

    argv: dict[str, list[str]]
    ports: dict[str, int]
    directory: Path
    admin: Pair
    authority: Authority
    kubeconfig: Path
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    etcd: Etcd | None = None

    def get(self, program: str, path: str) -> tuple[int, str]:
        """GET as administrator; raises OSError while nothing listens."""
        with contextlib.closing(self.connect(program)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def connect(self, program: str) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.authority.pair.certificate))
        context.load_cert_chain(self.admin.certificate, self.admin.key)
        if program != "kube-apiserver":
            # These serve with a certificate they make themselves, and only the kubelet asks.
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection("127.0.0.1", self.ports[program], context=context, timeout=10)

    @contextlib.contextmanager
    def run(self, program: str, path: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a program until the block ends; it answers on `path` inside it."""
        with running(
            self.argv[program], self.directory / f"{program}.log", lambda: self.get(program, path)[0] == http.HTTPStatus.OK
        ) as process:
            yield process

    @contextlib.contextmanager
    def run_kine(self, *, timeout_s: float = 60.0) -> Iterator[subprocess.Popen[bytes]]:
        """Run kine until the block ends; as for its startup probe, it has reached the database inside it."""

        def serves_metrics() -> bool:
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.ports["kine"], timeout=10)) as connection:
                connection.request("GET", kine.METRICS_PATH)
                return connection.getresponse().status == http.HTTPStatus.OK

        with running(
            self.argv["kine"], self.directory / "kine.log", serves_metrics, timeout_s=timeout_s, environment=self.environment
        ) as process:
            yield process


Contents = dict[str, dict[str, Path]]
Secrets = Mapping[str, Mapping[str, bytes]]


@contextlib.contextmanager
def prepared(bundle: Path, tmp_path: Path, changes: Changes, secrets: Secrets | None = None) -> Iterator[ControlPlane]:
    """prepared_on() an etcd of its own."""
    with running_etcd(bundle, tmp_path, tls=True) as etcd:
        yield replace(prepared_on(_etcd_store(etcd), bundle, tmp_path, changes, secrets), etcd=etcd)


def api_server_of(deployment: Json, contents: Mapping[str, Mapping[str, bytes]], bundle: Path, directory: Path) -> list[str]:
    """The command of the kube-apiserver of a tenant's live Deployment, for this host, with its files below a directory.

    contents: name → key → content of the Secrets and ConfigMaps of the tenant.
    """
    pod = deployment["spec"]["template"]["spec"]
    container = next(item for item in pod["containers"] if item["name"] == "kube-apiserver")
    return _argv(bundle, container, _files(pod, "kube-apiserver", _given(directory, [], contents), directory), 0)


def _etcd_store(etcd: Etcd) -> Store:
    assert etcd.authority
    user = etcd.authority.client("tenants_acme")
    files = {"ca.crt": etcd.authority.pair.certificate, "server.crt": user.certificate, "server.key": user.key}
    return Store(DatastoreInputs("default", "etcd", (f"{etcd.host}:{etcd.port}",), "tenants_acme", "tenants_acme", "", ""), files)


def prepared_on(store: Store, bundle: Path, tmp_path: Path, changes: Changes, secrets: Secrets | None = None) -> ControlPlane:
    """A tenant's Deployment turned into programs on this host, with its files where the flags look for them.

    secrets: name → key → content of Secrets beside those every tenant has.
    """
    ports = dict(zip((*PROGRAMS, "kine"), free_ports(4), strict=True))
    wanted = parse(
        definition(
            {
                "networkProfile.port": ports["kube-apiserver"],
                "controlPlane.deployment.extraArgs": {
                    "apiServer": ["--shutdown-delay-duration=2s", "--bind-address=127.0.0.1"],
                    "controllerManager": [f"--secure-port={ports['kube-controller-manager']}"],
                    "scheduler": [f"--secure-port={ports['kube-scheduler']}"],
                },
                **changes,
            }
        )
    )
    encrypts = names.ENCRYPTION if f"acme{names.ENCRYPTION}" in (secrets or {}) else ""
    inputs = ManagementInputs("uid", ("192.0.2.7",), "192.0.2.7", "192.0.2.7:6443", {}, store.inputs, 1, encrypts)
    made = objects(wanted, inputs)
    pod = made[-1]["spec"]["template"]["spec"]
    authority = Authority(tmp_path, "tenant-ca")
    server = f"https://127.0.0.1:{ports['kube-apiserver']}"
    own = {**_contents(tmp_path, authority, server), f"acme{names.DATASTORE_CERTIFICATE}": dict(store.certificate)}
    contents = {**own, **_given(tmp_path, made, secrets or {})}
    containers = [*pod.get("initContainers", []), *pod["containers"]]
    argv = {item["name"]: _argv(bundle, item, _files(pod, item["name"], contents, tmp_path), ports["kine"]) for item in containers}
    admin = authority.client("admin", ("system:masters",))
    kubeconfig = _kubeconfig(tmp_path / "admin.conf", server, authority, admin)
    return ControlPlane(argv, ports, tmp_path, admin, authority, kubeconfig, _environment(pod, store))


def _argv(bundle: Path, container: Json, files: Path, metrics_port: int) -> list[str]:
    command = container["command"][0]
    program = program_of_image(bundle, "kine", command, files.parent) if container["name"] == "kine" else binary(bundle, command)
    flags = [_on_this_host(flag, files) for flag in container["args"]]
    # Pods have an address each, programs of one host do not.
    return [str(program), *(flag.replace(f"=:{kine.METRICS_PORT}", f"=127.0.0.1:{metrics_port}") for flag in flags)]


def _on_this_host(text: str, files: Path) -> str:
    text = text.replace("/etc/kubernetes", str(files)).replace("/var/log/kubernetes", str(files.parent))
    return text.replace(f"unix://{kine.SOCKET}", f"unix://{files.parent}/kine.sock")


def _environment(pod: Json, store: Store) -> dict[str, str]:
    """Of kine, as the kubelet makes it: the variables of the Secret, then those that refer to them."""
    found = dict(store.config)
    for container in pod.get("initContainers", []):
        for variable in container["env"]:
            found[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda match: store.config[match[1]], variable["value"])
    return found


def _files(pod: Json, container: str, contents: Contents, directory: Path) -> Path:
    """Write the volume of one container, with nothing but what the Deployment projects into it."""
    root = directory / f"{container}-files"
    volume = next(item for item in pod["volumes"] if item["name"] == root.name)
    for source in volume["projected"]["sources"]:
        given = source.get("secret") or source["configMap"]
        for item in given["items"]:
            target = root / item["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            content = contents[given["name"]][item["key"]].read_text(encoding="utf-8")
            target.write_text(_on_this_host(content, root), encoding="utf-8")
    return root


def _given(directory: Path, made: list[Json], secrets: Secrets) -> Contents:
    """What the tenant's ConfigMaps hold, and Secrets of the user's."""
    found: dict[str, dict[str, bytes]] = {name: dict(data) for name, data in secrets.items()}
    for item in made:
        if item["kind"] == "ConfigMap":
            found[item["metadata"]["name"]] = {key: text.encode() for key, text in item["data"].items()}
    result: Contents = {}
    for name, data in found.items():
        for key, content in data.items():
            path = directory / f"{name}.{key}"
            path.write_bytes(content)
            result.setdefault(name, {})[key] = path
    return result


def _contents(directory: Path, tenant: Authority, server: str) -> Contents:
    """Secret → key → file, as the engine makes them."""
    front = Authority(directory, "front-proxy-ca")
    private, public = new_key_pair(directory, "sa")
    serving = tenant.server("kube-apiserver")
    kubelet_client = tenant.client("kube-apiserver-kubelet-client", ("kubeadm:cluster-admins",))
    front_client = front.client("front-proxy-client")
    kubeconfigs = {
        name: {f"{name}.conf": _kubeconfig(directory / f"{name}.conf", server, tenant, tenant.client(f"system:kube-{name}"))}
        for name in ("controller-manager", "scheduler")
    }
    return {
        "acme-ca": {"ca.crt": tenant.pair.certificate, "ca.key": tenant.pair.key},
        "acme-api-server-certificate": {"apiserver.crt": serving.certificate, "apiserver.key": serving.key},
        "acme-api-server-kubelet-client-certificate": {
            "apiserver-kubelet-client.crt": kubelet_client.certificate,
            "apiserver-kubelet-client.key": kubelet_client.key,
        },
        "acme-front-proxy-ca-certificate": {"front-proxy-ca.crt": front.pair.certificate},
        "acme-front-proxy-client-certificate": {
            "front-proxy-client.crt": front_client.certificate,
            "front-proxy-client.key": front_client.key,
        },
        "acme-sa-certificate": {"sa.pub": public, "sa.key": private},
        "acme-controller-manager-kubeconfig": kubeconfigs["controller-manager"],
        "acme-scheduler-kubeconfig": kubeconfigs["scheduler"],
    }


def _kubeconfig(path: Path, server: str, authority: Authority, client: Pair) -> Path:
    def embedded(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": {"server": server, "certificate-authority-data": embedded(authority.pair.certificate)}}],
        "users": [
            {"name": "a", "user": {"client-certificate-data": embedded(client.certificate), "client-key-data": embedded(client.key)}}
        ],
    }
    path.write_text(json.dumps(config), encoding="utf-8")
    return path
