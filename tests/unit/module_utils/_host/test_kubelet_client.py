# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a joined kubelet reaches its cluster: what differs, what is written, and a certificate that has expired."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import facts, kubelet_client
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import files as host_files
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.kubelet_client import Places
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._host.test_facts import kubelet_conf
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._host.test_x509 import EC, RSA

SERVER, MOVED = "https://198.51.100.20:6443", "https://api.example.com:7443"
END_S = 2110736706
TOKEN = "abcdef.0123456789abcdef"


class Host:
    """Files of a joined host; its kubelet trusts RSA and has the client certificate EC."""

    def __init__(self, folder: Path) -> None:
        self.places = Places(*(str(folder / name) for name in ("kubelet.conf", "bootstrap.conf", "ca.crt", "marker")))
        self.certificate = folder / "client.pem"
        self.certificate.write_text(EC)
        conf = kubelet_conf(
            f"certificate-authority-data: {base64.b64encode(RSA.encode()).decode()}", f"client-certificate: {self.certificate}"
        )
        Path(self.places.kubelet_conf).write_text(conf)
        Path(self.places.ca_file).write_text(RSA)

    def plan(self, server: str = SERVER, ca: str = RSA, now_s: float = END_S - 60) -> list[str]:
        return kubelet_client.plan(kubelet_client.observe(self.places), server, ca, now_s)

    def apply(self, server: str = SERVER, ca: str = RSA) -> None:
        client = kubelet_client.observe(self.places)
        kubelet_client.apply(kubelet_client.plan(client, server, ca, END_S - 60), client, server, ca, self.places)

    def described(self) -> dict[str, object]:
        return facts.describe_kubelet_conf(Path(self.places.kubelet_conf).read_text())


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize(
    ("server", "ca", "now_s", "changes"),
    [
        (SERVER, RSA, END_S - 60, []),
        (SERVER, f"# a comment\n{RSA.replace(chr(10), chr(13) + chr(10))}", END_S - 60, []),
        (MOVED, RSA, END_S - 60, ["server"]),
        (SERVER, RSA + EC, END_S - 60, ["ca", "ca file"]),
        (SERVER, RSA, END_S, ["certificate"]),
        (MOVED, EC, END_S + 1, ["server", "ca", "ca file", "certificate"]),
    ],
)
def test_what_differs(host: Host, server: str, ca: str, now_s: float, changes: list[str]) -> None:
    assert host.plan(server, ca, now_s) == changes


def test_address_and_ca_are_written_and_the_rest_stays(host: Host) -> None:
    before = Path(host.places.kubelet_conf).read_text()
    host.apply(MOVED, RSA + EC)
    assert host.plan(MOVED, RSA + EC) == []
    after = Path(host.places.kubelet_conf).read_text()
    changed = sorted(line.split()[0] for line in set(before.splitlines()) - set(after.splitlines()))
    assert changed == ["certificate-authority-data:", "server:"]
    assert len(after.splitlines()) == len(before.splitlines())
    assert host.described()["server"] == MOVED
    assert Path(host.places.kubelet_conf).stat().st_mode & 0o777 == 0o600
    # By its age the kubelet's restart is known, which a run that is killed may not have made.
    assert Path(host.places.marker).stat().st_mtime <= Path(host.places.kubelet_conf).stat().st_mtime


def test_a_ca_file_alone_needs_no_restart(host: Host) -> None:
    Path(host.places.ca_file).write_text(EC)
    assert host.plan() == ["ca file"]
    host.apply()
    assert host.plan() == []
    assert not Path(host.places.marker).exists()


def test_a_kubelet_conf_that_names_its_ca_by_path_gets_it_written_in(host: Host) -> None:
    path = Path(host.places.kubelet_conf)
    path.write_text(kubelet_conf(f"certificate-authority: {host.places.ca_file}", f"client-certificate: {host.certificate}"))
    assert host.plan() == []
    host.apply(MOVED, EC)
    assert host.plan(MOVED, EC) == []


def test_a_run_that_was_killed_before_it_wrote_all_is_completed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    real = host_files.write

    def kill(path: str, content: bytes, mode: int) -> None:
        if path == host.places.kubelet_conf:
            raise KeyboardInterrupt
        real(path, content, mode)

    monkeypatch.setattr(host_files, "write", kill)
    with pytest.raises(KeyboardInterrupt):
        host.apply(MOVED, EC)
    monkeypatch.undo()
    assert Path(host.places.marker).exists()
    assert host.plan(MOVED, EC) == ["server", "ca"]
    host.apply(MOVED, EC)
    assert host.plan(MOVED, EC) == []


def test_a_kubelet_gets_a_new_certificate_with_a_token_that_does_not_stay(host: Host) -> None:
    now_s: float = END_S + 60
    seen = []

    def kubelet() -> None:
        given = json.loads(Path(host.places.bootstrap_conf).read_text())
        seen.append((given["clusters"][0]["cluster"]["server"], given["users"][0]["user"]["token"]))
        assert Path(host.places.bootstrap_conf).stat().st_mode & 0o777 == 0o600

    def sleep(_seconds: float) -> None:
        """Meanwhile the request is signed; the test has one certificate only, so that the clock goes back instead."""
        nonlocal now_s
        now_s = END_S - 60

    kubelet_client.renew(MOVED, EC, TOKEN, 30, host.places, restart=kubelet, clock=lambda: now_s, sleep=sleep)
    assert seen == [(MOVED, TOKEN)]
    assert not Path(host.places.bootstrap_conf).exists()


def test_a_kubelet_that_gets_none_is_told_of_and_its_token_goes(host: Host) -> None:
    clock = iter(range(END_S + 1, END_S + 100, 10))
    with pytest.raises(
        HostedKubernetesError, match=r"the kubelet got no client certificate in 30 s; look at journalctl -u kubelet"
    ) as caught:
        kubelet_client.renew(
            SERVER, RSA, TOKEN, 30, host.places, restart=lambda: None, clock=lambda: float(next(clock)), sleep=lambda _seconds: None
        )
    assert TOKEN not in caught.value.msg
    assert not Path(host.places.bootstrap_conf).exists()


def test_a_token_that_a_killed_run_left_goes(host: Host) -> None:
    Path(host.places.bootstrap_conf).write_text("token")
    assert host.plan() == ["token"]
    host.apply()
    assert host.plan() == []
    assert not Path(host.places.bootstrap_conf).exists()


def test_a_host_that_has_not_joined_is_told_what_to_do(host: Host) -> None:
    Path(host.places.kubelet_conf).unlink()
    with pytest.raises(HostedKubernetesError, match=r"join it first \(playbook worker\)"):
        host.plan()
