# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role management_cluster on a machine, and a cluster that exists already."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.hosted.kubernetes.plugins.modules import management_cluster_info, manifest
from ansible_collections.hosted.kubernetes.tests.support.certificates import Authority
from ansible_collections.hosted.kubernetes.tests.support.cluster import Cluster
from ansible_collections.hosted.kubernetes.tests.support.lab import machine_root, on_machine
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module
from ansible_collections.hosted.kubernetes.tests.support.playbooks import kill_when_written, run_command, run_playbook

ETCDCTL = (
    "etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt "
    "--cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt --key=/etc/kubernetes/pki/etcd/healthcheck-client.key"
)
NOTHING_CHANGED = {"0"}


def changes(output: str) -> set[str]:
    return set(re.findall(r"changed=(\d+)", output))


def on_management(lab: str, command: str) -> str:
    return on_machine(lab, f"{lab}-management", command)


def test_secrets_cannot_be_read_in_etcd(cluster: Cluster) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mc-probe", "namespace": "default"}}
    arguments = {"kubeconfig": str(cluster.kubeconfig), "definition": {**secret, "stringData": {"key": "in-plain-text"}}}
    run_module(manifest.main, arguments)
    try:
        stored = on_management(cluster.lab_name, f"{ETCDCTL} get --print-value-only /registry/secrets/default/mc-probe | base64 -w 0")
    finally:
        run_module(manifest.main, {**arguments, "state": "absent"})
    assert base64.b64decode(stored).startswith(b"k8s:enc:secretbox:v1:")
    assert b"in-plain-text" not in base64.b64decode(stored)
    assert on_management(cluster.lab_name, "stat -c %a:%U /etc/kubernetes/encryption/config.yaml").strip() == "600:root"


def test_the_timer_saves_etcd_and_a_snapshot_can_be_read(cluster: Cluster) -> None:
    assert "hosted-kubernetes-etcd-snapshot.timer" in on_management(cluster.lab_name, "systemctl list-timers --no-legend")
    on_management(cluster.lab_name, "systemctl start hosted-kubernetes-etcd-snapshot.service")
    directory = "/var/lib/hosted-kubernetes/etcd-snapshots"
    newest = on_management(cluster.lab_name, f"ls -1 {directory} | sort | tail -n 1").strip()
    status = json.loads(on_management(cluster.lab_name, f"etcdutl snapshot status --write-out=json {directory}/{newest}"))
    assert status["totalKey"] > 100
    assert on_management(cluster.lab_name, f"stat -c %a {directory}").strip() == "700"


def test_the_kubeconfig_is_for_its_owner_only(cluster: Cluster) -> None:
    assert cluster.kubeconfig.stat().st_mode & 0o777 == 0o600


@pytest.mark.long
def test_a_changed_setting_reaches_the_running_cluster_once(cluster: Cluster, bundle: Path) -> None:
    setting: dict[str, Any] = {"management_cluster_api_server_extra_args": [{"name": "event-ttl", "value": "2h"}]}
    command_line = 'tr "\\\\0" " " </proc/$(pgrep -xo kube-apiserver)/cmdline'
    try:
        assert changes(cluster.playbook("management_cluster", bundle_dir=str(bundle), **setting)) != NOTHING_CHANGED
        assert "--event-ttl=2h" in on_management(cluster.lab_name, command_line)
        assert changes(cluster.playbook("management_cluster", bundle_dir=str(bundle), **setting)) == NOTHING_CHANGED
    finally:
        cluster.playbook("management_cluster", bundle_dir=str(bundle))
    assert "--event-ttl" not in on_management(cluster.lab_name, command_line)


@pytest.mark.long
def test_certificates_that_end_soon_are_renewed_and_no_old_one_is_served(cluster: Cluster, bundle: Path) -> None:
    """kubeadm makes them for 365 days. A run that died after the renewal is repeated by the next one."""

    def ends() -> dict[str, str]:
        found: dict[str, str] = run_module(management_cluster_info.main, {"kubeconfig": str(cluster.kubeconfig)})["certificates"]
        return found

    def containers() -> set[str]:
        return set(on_management(cluster.lab_name, f"crictl ps --quiet --name '{names}'").split())

    names = "^(etcd|kube-apiserver|kube-controller-manager|kube-scheduler)$"
    before, running = ends(), containers()
    soon: dict[str, Any] = {"bundle_dir": str(bundle), "management_cluster_renew_before_days": 400}
    checked = run_command([*cluster.command("management_cluster", **soon), "--check"])
    assert "A real run renews the certificates of the control plane, which end in 364 days" in " ".join(checked.output.split())
    assert containers() == running

    assert changes(cluster.playbook("management_cluster", **soon)) != NOTHING_CHANGED
    assert all(ends()[kind] > before[kind] for kind in ("server", "client"))
    assert len(running) == 4
    assert running.isdisjoint(containers())
    assert changes(cluster.playbook("management_cluster", bundle_dir=str(bundle))) == NOTHING_CHANGED

    running = containers()
    on_management(cluster.lab_name, "touch /etc/kubernetes/hosted-kubernetes/renewal.started")
    assert changes(cluster.playbook("management_cluster", bundle_dir=str(bundle))) != NOTHING_CHANGED
    assert running.isdisjoint(containers())
    assert changes(cluster.playbook("management_cluster", bundle_dir=str(bundle))) == NOTHING_CHANGED


def test_a_wrong_setting_is_refused_before_anything_is_changed(cluster: Cluster, bundle: Path) -> None:
    with pytest.raises(Exception, match=r"kubeadm.yaml: the new content is refused by .*podSubnet"):
        cluster.playbook("management_cluster", bundle_dir=str(bundle), management_cluster_pod_cidr="10.244.0.0/33")
    assert changes(cluster.playbook("management_cluster", bundle_dir=str(bundle))) == NOTHING_CHANGED


@pytest.mark.long
def test_a_control_plane_that_the_role_did_not_make_is_refused_before_it_is_changed(cluster: Cluster, bundle: Path) -> None:
    """A cluster of another kubeadm looks like ours without its record; one changed unit shows whether the host was touched."""
    applied, unit = "/etc/kubernetes/hosted-kubernetes/kubeadm.applied.yaml", "/etc/systemd/system/kubelet.service"
    on_management(cluster.lab_name, f"mv {applied} /root/applied; cp -p {unit} /root/unit; echo '# another' >>{unit}")
    try:
        done = run_command(cluster.command("management_cluster", bundle_dir=str(bundle)))
        assert done.status != 0
        assert re.search(
            r"host lab-management: it is a control plane of https://198\.\S+ that this role did not make \(found \S+admin", done.text
        )
        assert "leave the group management empty and set management_cluster_kubeconfig to its kubeconfig" in done.text
        assert "# another" in on_management(cluster.lab_name, f"cat {unit}")
    finally:
        on_management(cluster.lab_name, f"mv /root/applied {applied}; mv /root/unit {unit}")
    assert changes(cluster.playbook("management_cluster", bundle_dir=str(bundle))) == NOTHING_CHANGED


def test_a_check_without_the_kubeconfig_says_what_it_cannot_show(cluster: Cluster, bundle: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "management.kubeconfig"
    variables = {"bundle_dir": str(bundle), "management_cluster_kubeconfig": str(elsewhere)}
    done = run_command([*cluster.command("management_cluster", **variables), "--check"])
    assert done.status == 0, done.output
    assert f"runs a cluster, but there is no {elsewhere} on the controller" in " ".join(done.output.split())
    assert not elsewhere.exists()


@pytest.mark.long
def test_a_cluster_of_ones_own_is_used_as_it_is(cluster: Cluster) -> None:
    """The inventory has no management host."""
    variables = {"management_cluster_kubeconfig": str(cluster.kubeconfig)}
    done = run_playbook("hosted.kubernetes.management_cluster", "--connection", "local", **variables)
    assert done.status == 0, done.output
    assert "Wait for the API server and check its version" in done.output
    assert done.changed == 0


def probe(kubeconfig: Any, path: Path) -> str:
    """Return the message of the probe of a cluster that cannot be used."""
    path.write_text(yaml.safe_dump(kubeconfig))
    with pytest.raises(ModuleFailedError) as caught:
        run_module(management_cluster_info.main, {"kubeconfig": str(path)})
    return str(caught.value.result["msg"])


def test_a_cluster_that_cannot_be_used_is_told_from_another(cluster: Cluster, tmp_path: Path) -> None:
    """Unreachable, another authority, credentials that this cluster did not issue: each message names server and cure."""
    original = yaml.safe_load(cluster.kubeconfig.read_text())
    server = original["clusters"][0]["cluster"]["server"]
    path = tmp_path / "kubeconfig"

    unreachable = json.loads(json.dumps(original))
    unreachable["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    assert re.search(r"https://127\.0\.0\.1:1 .*kubeconfig.*refused", probe(unreachable, path))

    other = Authority(tmp_path)
    foreign = json.loads(json.dumps(original))
    certificate = base64.b64encode(other.pair.certificate.read_bytes()).decode()
    foreign["clusters"][0]["cluster"]["certificate-authority-data"] = certificate
    assert re.search(re.escape(server) + ".*kubeconfig.* is not signed by the given CA .*another cluster's: take it", probe(foreign, path))

    unknown = json.loads(json.dumps(original))
    unknown["users"][0]["user"] = {"token": "not-one-of-this-cluster"}
    assert re.search(re.escape(server) + ".*401", probe(unknown, path))


@pytest.mark.long
def test_kubeadm_init_that_was_killed_is_completed(bundle: Path, tmp_path: Path) -> None:
    """Both the run and kubeadm die as soon as the first static pod is written."""
    broken = Cluster("broken", tmp_path)
    manifests = machine_root("broken", "broken-management") / "etc/kubernetes/manifests/etcd.yaml"
    try:
        broken.playbook("lab", lab_machine_state="absent")
        broken.playbook("lab")
        kill_when_written(
            broken.command("management_cluster", bundle_dir=str(bundle)),
            manifests,
            0.02,
            lambda: on_management("broken", "pkill -KILL -x kubeadm"),
        )
        assert changes(broken.playbook("management_cluster", bundle_dir=str(bundle))) != NOTHING_CHANGED
        assert changes(broken.playbook("management_cluster", bundle_dir=str(bundle))) == NOTHING_CHANGED
        facts = run_module(management_cluster_info.main, {"kubeconfig": str(broken.kubeconfig)})
        assert facts["nodes"] == {"broken-management": True}
    finally:
        broken.playbook("lab", lab_machine_state="absent")
