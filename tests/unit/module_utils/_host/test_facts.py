# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of a host: kubelet.conf, ports, memory."""

from __future__ import annotations

import base64
import os
import socket
import time
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._host import facts, tools
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._host.test_x509 import EC, HASHES, NODE, RSA

BROKEN = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def kubelet_conf(cluster: str, user: str) -> str:
    """As the kubelet 1.36.3 writes it after its bootstrap."""
    return f"""\
apiVersion: v1
clusters:
- cluster:
    {cluster}
    server: https://198.51.100.20:6443
  name: default-cluster
contexts:
- context:
    cluster: default-cluster
    namespace: default
    user: default-auth
  name: default-context
current-context: default-context
kind: Config
users:
- name: default-auth
  user:
    {user}
    client-key: /var/lib/kubelet/pki/kubelet-client-current.pem
"""


def test_kubelet_conf_with_inline_ca_and_certificate_file(tmp_path: Path) -> None:
    client = tmp_path / "client.pem"
    client.write_text(EC)
    authority = base64.b64encode((RSA + EC).encode()).decode()
    text = kubelet_conf(f"certificate-authority-data: {authority}", f"client-certificate: {client}")
    assert facts.describe_kubelet_conf(text) == {
        "server": "https://198.51.100.20:6443",
        "ca_hashes": sorted([HASHES["rsa"], HASHES["ec"]]),
        "ca_names": ["kubernetes-ec", "kubernetes-rsa"],
        "client_not_after_s": 2110736706,
        "node_name": None,
        "problem": None,
    }


def test_a_host_knows_what_its_cluster_calls_it(tmp_path: Path) -> None:
    (tmp_path / "client.pem").write_text(NODE, encoding="utf-8")
    found = facts.describe_kubelet_conf(kubelet_conf("", f"client-certificate: {tmp_path / 'client.pem'}"))
    assert found["node_name"] == "worker-1.example"


def test_kubelet_conf_with_files_that_are_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone.pem"
    found = facts.describe_kubelet_conf(kubelet_conf(f"certificate-authority: {gone}", f"client-certificate: {gone}"))
    assert (found["ca_hashes"], found["client_not_after_s"], found["problem"]) == ([], None, None)


def test_kubelet_conf_with_a_broken_certificate() -> None:
    broken = base64.b64encode(BROKEN.encode()).decode()
    found = facts.describe_kubelet_conf(kubelet_conf(f"certificate-authority-data: {broken}", "client-certificate-data: ''"))
    assert "cannot be read" in found["problem"]


def test_an_empty_kubelet_conf_names_no_server() -> None:
    assert facts.describe_kubelet_conf("")["server"] is None


def test_a_port_in_use_is_found_with_its_process() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        table = Path("/proc/net/tcp").read_text()
        with open("/proc/self/comm", encoding="utf-8") as stream:
            name = stream.read().strip()
        assert facts.used_ports([port, 1], table) == {str(port): name}
    assert facts.used_ports([port], Path("/proc/net/tcp").read_text()) == {}


def test_memory() -> None:
    assert facts.memory_mb("MemTotal:        2097152 kB\nMemFree: 1 kB\n") == 2048
    assert facts.memory_mb("") == 0


def test_reads_this_host_without_changing_it(tmp_path: Path) -> None:
    found = facts.read(["sh", "no-such-program|nor-this"], [], [str(tmp_path / "not/yet/there")], ["127.0.0.1:1"], 0.5)
    assert found["missing_tools"] == ["no-such-program or nor-this"]
    assert found["free_mb"][str(tmp_path / "not/yet/there")] > 0
    assert found["unreachable"] == ["127.0.0.1:1"]
    assert found["is_root"] == (os.geteuid() == 0)
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize("text", ["server: https://a:1", '{"clusters":[{"cluster":{"server":"https://a:1"}}]}', '  server: "https://a:1"'])
def test_server_is_found_in_yaml_and_json(text: str) -> None:
    assert facts.describe_kubelet_conf(text)["server"] == "https://a:1"


def test_the_clock_is_compared_while_the_facts_are_read() -> None:
    assert facts.read([], [], [], [], 0.1)["clock_offset_s"] is None
    assert abs(facts.read([], [], [], [], 0.1, time.time())["clock_offset_s"]) <= 1
    assert 3598 <= facts.read([], [], [], [], 0.1, time.time() - 3600)["clock_offset_s"] <= 3602


@pytest.mark.parametrize(("text", "expected"), [(EC, 2110736706), (EC + RSA, 2110736706), ("", None), ("no PEM", None), (BROKEN, None)])
def test_when_the_serving_certificate_ends(text: str, expected: int | None) -> None:
    assert facts.serving_not_after_s(text) == expected


def test_addresses_of_this_host_are_those_of_its_own_interfaces() -> None:
    """What tells whose interface it is has its tests in those of the preflight."""
    found = facts.read_addresses()
    assert found == sorted(set(found))
    assert not {"127.0.0.1", "::1"} & set(found)


def test_addresses_are_what_the_ip_command_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = '[{"ifname": "eth0", "addr_info": [{"scope": "global", "local": "192.0.2.1"}, {"scope": "link", "local": "fe80::1"}]}]'
    for text, expected in ((printed, ["192.0.2.1"]), ("", []), ("Option -json is unknown", [])):
        program = tmp_path / "ip"
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n", encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setattr(tools, "find", lambda _name, path=str(program): path)
        assert facts.read_addresses() == expected
    monkeypatch.setattr(tools, "find", lambda _name: None)
    assert facts.read_addresses() == []
