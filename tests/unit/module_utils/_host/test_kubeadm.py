# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubeadm join: the configuration with its token, and what a failure says."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import facts, kubeadm
from ansible_collections.hosted.kubernetes.plugins.modules import kubeadm_join
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._host.test_facts import kubelet_conf
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._host.test_x509 import EC, HASHES

TOKEN = "abcdef.0123456789abcdef"
CONFIG = {
    "kind": "JoinConfiguration",
    "discovery": {"bootstrapToken": {"apiServerEndpoint": "198.51.100.20:6443", "caCertHashes": [HASHES["ec"]]}},
}
# kubeadm v1.36.3 join on a host whose port is taken.
REFUSED = """\
[preflight] Running pre-flight checks
error execution phase preflight: [preflight] Some fatal errors occurred:
\t[ERROR Port-10250]: Port 10250 is in use
\t[ERROR FileContent--proc-sys-net-ipv4-ip_forward]: /proc/sys/net/ipv4/ip_forward contents are not set to 1
[preflight] If you know what you are doing, you can make a check non-fatal with `--ignore-preflight-errors=...`
To see the stack trace of this error execute with --v=5 or higher
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host whose files lie in a folder of their own."""
    monkeypatch.setattr(kubeadm, "JOIN_CONFIG", str(tmp_path / "join.yaml"))
    monkeypatch.setattr(kubeadm, "PATCHES", str(tmp_path / "patches"))
    monkeypatch.setattr(facts, "KUBELET_CONF", str(tmp_path / "kubelet.conf"))
    return tmp_path


def program(folder: Path, script: str) -> str:
    path = folder / "kubeadm"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_the_token_is_added_and_the_callers_configuration_is_left_alone() -> None:
    complete = kubeadm.with_token(CONFIG, TOKEN, patches=False)
    assert complete["discovery"]["bootstrapToken"] == {**CONFIG["discovery"]["bootstrapToken"], "token": TOKEN}  # type: ignore[index]
    assert "patches" not in complete
    assert TOKEN not in json.dumps(CONFIG)


def test_join_gives_kubeadm_a_private_file_and_removes_it(host: Path) -> None:
    copy = host / "seen"
    kubeadm.join(
        program(host, f'cp -p "$3" {copy}; ls {host}/patches > {host}/listed'), CONFIG, TOKEN, {"kubeletconfiguration0+merge.yaml": "a: 1"}
    )
    assert json.loads(copy.read_text())["discovery"]["bootstrapToken"]["token"] == TOKEN
    assert json.loads(copy.read_text())["patches"] == {"directory": str(host / "patches")}
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert (host / "listed").read_text() == "kubeletconfiguration0+merge.yaml\n"
    assert not (host / "join.yaml").exists()


def test_patches_of_an_earlier_join_go(host: Path) -> None:
    (host / "patches").mkdir()
    (host / "patches/old.yaml").write_text("old: 1")
    kubeadm.join(program(host, "exit 0"), CONFIG, TOKEN, {})
    assert not (host / "patches").exists()


def test_a_failure_carries_the_reasons_and_never_the_token(host: Path) -> None:
    (host / "refused").write_text(REFUSED + TOKEN)
    with pytest.raises(HostedKubernetesError, match=r"Port 10250 is in use; \[ERROR FileContent") as caught:
        kubeadm.join(program(host, f"cat {host}/refused; exit 1"), CONFIG, TOKEN, {})
    assert TOKEN not in json.dumps([caught.value.msg, caught.value.result])
    assert caught.value.result["exit_code"] == 1
    assert not (host / "join.yaml").exists()


def test_kubeadm_that_is_not_installed(host: Path) -> None:
    with pytest.raises(HostedKubernetesError, match="not installed; run the role kubelet first"):
        kubeadm.run(str(host / "none"), ["reset"])


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["[preflight] Running", "error execution phase kubelet-start: timed out"], "error execution phase kubelet-start: timed out"),
        (["something else"], "something else"),
        ([], "it printed nothing"),
    ],
)
def test_explain(lines: list[str], said: str) -> None:
    assert kubeadm.explain(lines) == said


def test_membership_is_decided_by_the_pinned_ca(host: Path) -> None:
    assert kubeadm.is_joined(CONFIG) is False
    (host / "ca.crt").write_text(EC)
    (host / "kubelet.conf").write_text(kubelet_conf(f"certificate-authority: {host}/ca.crt", "client-certificate: /none"))
    assert kubeadm.is_joined(CONFIG) is True
    other = {"discovery": {"bootstrapToken": {"caCertHashes": [HASHES["rsa"]]}}}
    with pytest.raises(HostedKubernetesError, match=r"has joined https://198\.51\.100\.20:6443 already"):
        kubeadm.is_joined(other)


def test_the_list_of_kernel_settings_and_colours_are_left_out() -> None:
    text = "\x1b[0;37mCONFIG_AUFS_FS\x1b[0m: \x1b[0;33mnot set - Required for aufs.\x1b[0m\n\nCGROUPS_CPU: enabled\n\x1b[0;37mOS\x1b[0m: Linux\nerror: why\n"
    assert kubeadm.readable(text) == ["error: why"]


def test_a_kubeadm_that_was_killed(host: Path) -> None:
    with pytest.raises(HostedKubernetesError, match="kubeadm join failed: it was ended by signal 9; run again"):
        kubeadm.join(program(host, "kill -9 $$"), CONFIG, TOKEN, {})


@pytest.mark.parametrize("hashes", ["ec", "rsa"], ids=["joined here", "unlike the tenant's CA"])
def test_a_check_foresees_the_join_after_a_reset_that_it_did_not_do(host: Path, hashes: str) -> None:
    (host / "ca.crt").write_text(EC)
    (host / "kubelet.conf").write_text(kubelet_conf(f"certificate-authority: {host}/ca.crt", "client-certificate: /none"))
    arguments = {"config": {"discovery": {"bootstrapToken": {"apiServerEndpoint": "198.51.100.20:6443", "caCertHashes": [HASHES[hashes]]}}}}
    found = run_module(kubeadm_join.main, {**arguments, "after_reset": True}, check=True)
    assert found["changed"]
    assert found["diff"]["after"] == "joined to 198.51.100.20:6443\n"

    if hashes == "ec":
        assert not run_module(kubeadm_join.main, {**arguments, "after_reset": True})["changed"]
    else:
        with pytest.raises(ModuleFailedError, match="reset it first"):
            run_module(kubeadm_join.main, {**arguments, "after_reset": True})
