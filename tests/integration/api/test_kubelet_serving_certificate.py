# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module kubelet_serving_certificate on a real API server: requests come from nodes' own credentials, a real controller manager signs them."""

from __future__ import annotations

import base64
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import client_from_kubeconfig
from ansible_collections.hosted.kubernetes.plugins.modules import kubelet_serving_certificate
from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer
from ansible_collections.hosted.kubernetes.tests.support.bundle import binary
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module
from ansible_collections.hosted.kubernetes.tests.support.node_requests import serving_request
from ansible_collections.hosted.kubernetes.tests.support.playbooks import PlaybookRun, run_role
from ansible_collections.hosted.kubernetes.tests.support.processes import free_ports, running

PATH = "/apis/certificates.k8s.io/v1/certificatesigningrequests"


@dataclass(frozen=True)
class Kubelet:
    """A node that has joined, with credentials of its own."""

    server: ApiServer
    name: str
    kubeconfig: bytes

    def ask(self, *hosts: str, **more: Any) -> str:
        """Create a request for a serving certificate; returns its name."""
        with client_from_kubeconfig(self.kubeconfig) as client:
            made = client.request("POST", PATH, body=serving_request(self.name, hosts, **more))
        return str(made["metadata"]["name"])

    def entry(self, *addresses: str, missing: bool = False) -> Json:
        return {"name": self.name, "ip_addresses": list(addresses), "missing": missing}


@pytest.fixture
def kubelets(api_server: ApiServer, tmp_path: Path) -> list[Kubelet]:
    found = []
    for _unused in range(2):
        name = f"node-{secrets.token_hex(4)}"
        api_server.request("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        user = api_server.authority.client(f"system:node:{name}", ("system:nodes",))
        kubeconfig = api_server.write_kubeconfig(tmp_path / f"{name}.kubeconfig", user)
        found.append(Kubelet(api_server, name, kubeconfig.read_bytes()))
    return found


@pytest.fixture(scope="module")
def signer(bundle: Path, api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The controller of a tenant's controller manager that signs, with its flags; none of the others."""
    folder = tmp_path_factory.mktemp("signer")
    (port,) = free_ports(1)
    authority = api_server.authority.pair
    argv = [
        str(binary(bundle, "kube-controller-manager")),
        f"--kubeconfig={api_server.kubeconfig}",
        "--controllers=certificatesigningrequest-signing-controller",
        f"--cluster-signing-cert-file={authority.certificate}",
        f"--cluster-signing-key-file={authority.key}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder}",
    ]

    def is_ready() -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True

    with running(argv, folder / "log", is_ready):
        yield


def run(kubeconfig: Path, *nodes: Json, check: bool = False, **options: Any) -> dict[str, Any]:
    return run_module(
        kubelet_serving_certificate.main, {"tenant_kubeconfig": str(kubeconfig), "nodes": list(nodes), **options}, check=check
    )


def certificate(server: ApiServer, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(base64.b64decode(server.request("GET", f"{PATH}/{name}")["status"]["certificate"]))


def conditions(server: ApiServer, name: str) -> list[str]:
    return [item["type"] for item in server.request("GET", f"{PATH}/{name}")["status"].get("conditions", [])]


def test_what_nobody_signs_is_told(kubeconfig: Path, kubelets: list[Kubelet]) -> None:
    name = kubelets[0].ask(kubelets[0].name)
    with pytest.raises(
        ModuleFailedError, match=f"Node {kubelets[0].name}: request {name} is approved and not signed: look at the tenant's"
    ) as error:
        run(kubeconfig, kubelets[0].entry(), wait_timeout=1)
    assert error.value.result["changed"]
    assert not run(kubeconfig, kubelets[0].entry(), wait_timeout=1)["changed"]


@pytest.mark.usefixtures("signer")
def test_requests_of_several_nodes(api_server: ApiServer, kubeconfig: Path, kubelets: list[Kubelet]) -> None:
    addresses = [["192.0.2.1", "2001:db8::1"], ["192.0.2.2"]]
    names = [kubelet.ask(kubelet.name, *mine) for kubelet, mine in zip(kubelets, addresses, strict=True)]
    nodes = [kubelet.entry(*mine) for kubelet, mine in zip(kubelets, addresses, strict=True)]
    foreseen = run(kubeconfig, *nodes, check=True)
    assert all(conditions(api_server, name) == [] for name in names)
    done = run(kubeconfig, *nodes)
    assert (foreseen["changed"], foreseen["nodes"], foreseen["diff"]) == (True, done["nodes"], done["diff"])
    assert [entry["approved"] for entry in done["nodes"]] == [[name] for name in names]
    assert not run(kubeconfig, *nodes, check=True)["changed"]
    assert not run(kubeconfig, *nodes)["changed"]
    seen = certificate(api_server, names[0]).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert seen.get_values_for_type(x509.DNSName) == [kubelets[0].name]
    assert [str(address) for address in seen.get_values_for_type(x509.IPAddress)] == addresses[0]


@pytest.mark.usefixtures("signer")
def test_a_request_for_another_host_stays_pending(api_server: ApiServer, kubeconfig: Path, kubelets: list[Kubelet]) -> None:
    liar, honest = kubelets
    lie, truth = liar.ask(liar.name, "192.0.2.2"), honest.ask(honest.name, "192.0.2.2")
    nodes = [liar.entry("192.0.2.1"), honest.entry("192.0.2.2")]
    told = "it asks for the address 192.0.2.2, while the host has 192.0.2.1"
    for check in (True, False):
        done = run(kubeconfig, *nodes, check=check)
        assert [entry["approved"] for entry in done["nodes"]] == [[], [truth]]
        assert [entry["refused"] for entry in done["nodes"]] == [{lie: told}, {}]
        assert f"Node {liar.name}: request {lie} is left pending: {told}" in str(done["warnings"])
    assert (conditions(api_server, lie), conditions(api_server, truth)) == ([], ["Approved"])
    assert not run(kubeconfig, *nodes)["changed"]

    with pytest.raises(ModuleFailedError, match=f"Node {liar.name}: request {lie} is left pending: it asks for the address 192.0.2.2"):
        run(kubeconfig, liar.entry("192.0.2.1", missing=True))
    assert conditions(api_server, lie) == []


@pytest.mark.usefixtures("signer")
def test_a_request_that_has_to_come_is_waited_for(api_server: ApiServer, kubeconfig: Path, kubelets: list[Kubelet]) -> None:
    late = kubelets[0]
    foreseen = run(kubeconfig, late.entry("192.0.2.1", missing=True), check=True)
    assert foreseen["diff"]["prepared"] == f"Node {late.name}: its request approved, when it has come\n"
    timer = threading.Timer(0.5, late.ask, [late.name, "192.0.2.1"])
    timer.start()
    done = run(kubeconfig, late.entry("192.0.2.1", missing=True), wait_timeout=20)
    timer.join()
    ((name,),) = [entry["approved"] for entry in done["nodes"]]
    assert certificate(api_server, name)
    # A run that was killed before the kubelet had it.
    assert not run(kubeconfig, late.entry("192.0.2.1", missing=True), wait_timeout=5)["changed"]
    assert not run(kubeconfig, late.entry("192.0.2.1", missing=True), check=True)["changed"]


def test_a_request_that_does_not_come(kubeconfig: Path, kubelets: list[Kubelet]) -> None:
    with pytest.raises(ModuleFailedError, match=f"Node {kubelets[0].name}: its kubelet asks for no certificate: look at journalctl"):
        run(kubeconfig, kubelets[0].entry(missing=True), wait_timeout=1)
    assert not run(kubeconfig, kubelets[0].entry(), wait_timeout=1)["changed"]


def test_what_somebody_else_asks_for_in_the_name_of_a_node(api_server: ApiServer, kubeconfig: Path, kubelets: list[Kubelet]) -> None:
    made = api_server.request("POST", PATH, serving_request(kubelets[0].name, [kubelets[0].name]))
    assert not run(kubeconfig, kubelets[0].entry())["changed"]
    assert conditions(api_server, made["metadata"]["name"]) == []


def run_worker_role(folder: Path, kubelet: Kubelet, kubeconfig: Path, *options: str, **variables: Any) -> PlaybookRun:
    """The last step of a join, with what the steps before have read of tenant and host."""
    facts = {"hostname": "Host-1", "addresses": ["192.0.2.1"], "clock_offset_s": 0, "membership": {"serving_not_after_s": None}}
    given = {
        "worker_tenant_kubeconfig": str(kubeconfig),
        "worker_node_name": kubelet.name,
        "ansible_host": "192.0.2.2",
        "worker_wait_timeout": 5,
        "__worker_facts": {"host": facts},
        "__worker_join": {"kubelet_configuration": "serverTLSBootstrap: true\n"},
        **variables,
    }
    return run_role(folder, "worker", *options, tasks_from="serving_certificate", **given)


@pytest.mark.usefixtures("signer")
def test_the_role_worker_goes_by_inventory_and_facts(
    api_server: ApiServer, kubeconfig: Path, kubelets: list[Kubelet], tmp_path: Path
) -> None:
    kubelet = kubelets[0]
    more = {
        "worker_node_ip": "192.0.2.3,2001:db8::3",
        "worker_serving_addresses": ["192.0.2.4"],
        "worker_serving_names": ["one.example.com"],
    }
    all_names = (kubelet.name, "host-1", "one.example.com", "192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::3", "192.0.2.4")
    name = kubelet.ask(*all_names)
    checked = run_worker_role(tmp_path, kubelet, kubeconfig, "--check", "--diff", **more)
    assert (checked.status, checked.changed) == (0, 1), checked.output
    assert f"Node {kubelet.name}: request {name} approved" in checked.output
    assert conditions(api_server, name) == []
    done = run_worker_role(tmp_path, kubelet, kubeconfig, **more)
    assert (done.status, done.changed) == (0, 1), done.output
    assert certificate(api_server, name)
    again = run_worker_role(tmp_path, kubelet, kubeconfig, **more)
    assert (again.status, again.changed) == (0, 0), again.output


def test_the_role_worker_refuses_what_is_not_its_host(
    api_server: ApiServer, kubeconfig: Path, kubelets: list[Kubelet], tmp_path: Path
) -> None:
    kubelet = kubelets[0]
    name = kubelet.ask(kubelet.name, "127.0.0.1")
    done = run_worker_role(tmp_path, kubelet, kubeconfig, ansible_host="127.0.0.1")
    assert done.status == 2
    assert f"request {name} is left pending: it asks for the address 127.0.0.1, while the host has 192.0.2.1" in done.text
    assert conditions(api_server, name) == []


def test_a_node_that_is_named_twice(kubeconfig: Path) -> None:
    with pytest.raises(ModuleFailedError, match="nodes names one more than once; leave one entry for each node"):
        run(kubeconfig, {"name": "one"}, {"name": "one"})
