# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader and the module on this machine: real ports, files and disks."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._host.preflight.host_reader import HostReader
from ansible_collections.hosted.kubernetes.plugins.modules import host_preflight
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module

# What this machine is depends on who runs the tests; these depend on what a test does.
OURS = ["ports", "reach", "disk", "memory", "clock", "dns", "container_runtime"]


@pytest.fixture
def reader() -> HostReader:
    return HostReader(1, "/nonexistent/ctr", "/nonexistent/containerd.sock")


def test_a_disk_is_tried_without_a_trace(reader: HostReader, tmp_path: Path) -> None:
    took = reader.fsync_ms(str(tmp_path / "not" / "there"))
    assert took is None or took > 0
    assert list(tmp_path.iterdir()) == []
    assert reader.disk(str(tmp_path / "not")).free_mb > 0


def test_files_and_programs(reader: HostReader, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("text\n", encoding="utf-8")
    assert reader.text(str(tmp_path / "one")) == "text\n"
    assert reader.text(str(tmp_path / "two")) is None
    assert reader.entries(str(tmp_path)) == ["one"]
    assert reader.entries(str(tmp_path / "two")) == []
    assert reader.output("echo", "said") == "said\n"
    assert reader.output("false") is None
    assert reader.output("no-such-program") is None


def test_a_way_with_its_mtu_and_one_that_is_none(reader: HostReader) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        target = f"127.0.0.1:{server.getsockname()[1]}"
        way = reader.connect(target)
        assert way.problem == ""
        # 16 bits are all that a length in IP has.
        assert way.mtu == min(int(Path("/sys/class/net/lo/mtu").read_text()), 65535)
    assert reader.connect(target).problem == "Connection refused"


def test_a_server_that_speaks_no_tls_is_no_api_server(reader: HostReader) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        answer = reader.ask_api_server(f"127.0.0.1:{server.getsockname()[1]}", "no certificate")
    assert answer.problem
    assert answer.clock_s is None


def look(**options: object) -> dict[str, list[str]]:
    """Findings of the checks of OURS, as problems by check; the host is changed neither by a run nor by a check."""
    given = {"only": OURS, "ports": [], "minimum_free_mb": 0, "minimum_memory_mb": 0, "ignore": ["dns"], **options}
    seen = run_module(host_preflight.main, given)
    assert not seen["changed"]
    again = run_module(host_preflight.main, given, check=True)
    assert [(item["check"], item["where"]) for item in seen["findings"]] == [(item["check"], item["where"]) for item in again["findings"]]
    found: dict[str, list[str]] = {}
    for item in seen["findings"]:
        found.setdefault(item["check"], []).append(f"{item['where']}: {item['problem']}")
    return found


def test_the_module_finds_what_is_wrong_here(tmp_path: Path) -> None:
    foreign = tmp_path / "config.toml"
    foreign.write_text("version = 3\n", encoding="utf-8")
    places = {"container_runtime_config": str(tmp_path / "none"), "container_runtime_unit": str(tmp_path / "unit")}
    clean = look(**places)
    assert clean.keys() <= {"container_runtime", "clock"}, clean

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        found = look(
            ports=[port],
            connect=["127.0.0.1:1"],
            disks=[str(tmp_path)],
            minimum_free_mb=1 << 40,
            minimum_memory_mb=1 << 40,
            controller_time=time.time() - 3600,
            container_runtime_config=str(foreign),
            container_runtime_unit=str(tmp_path / "unit"),
        )
    me = Path(f"/proc/{os.getpid()}/comm").read_text().strip()
    assert f"{port}: TCP port {port} is in use by {me}" in found["ports"]
    assert found["reach"] == ["127.0.0.1:1: it cannot be reached by TCP: Connection refused"]
    assert found["disk"][0].startswith(f"{tmp_path}: ")
    assert "MiB of memory" in found["memory"][0]
    assert any("+3600 s off the controller's" in said for said in found["clock"])
    assert f"file {foreign}: a container runtime is there that these roles did not set up" in found["container_runtime"]


def test_the_whole_of_this_machine_can_be_looked_at() -> None:
    """Whatever is found here, it is a finding; nothing raises, and no secret of the machine is shown."""
    seen = run_module(host_preflight.main, {})
    assert seen["errors"] == sum(item["severity"] == "error" for item in seen["findings"])
    assert seen["facts"]["hostname"] == socket.gethostname()
    machine_id = Path("/etc/machine-id")
    assert not machine_id.exists() or machine_id.read_text().strip() not in str(seen) or not machine_id.read_text().strip()


def test_a_check_that_does_not_exist_is_named() -> None:
    with pytest.raises(ModuleFailedError, match="no check is called prots; there are privileges, python"):
        run_module(host_preflight.main, {"ignore": ["prots"]})
