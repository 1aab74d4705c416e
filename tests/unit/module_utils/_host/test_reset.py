# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a reset recognises as left over, and what it must not touch."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import (
    cni,
    facts,
    interfaces,
    kubelet_client,
    pod_containers,
    reset,
    snapshots,
    tools,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.pod_containers import Containerd

# iptables-save v1.8.11 (nf_tables) on a worker with kube-proxy in mode iptables and portmap, shortened, and a rule of the host's own.
SAVED = """\
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:KUBE-SERVICES - [0:0]
:DOCKER - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A PREROUTING -p tcp --dport 80 -j DOCKER
-A POSTROUTING -s 192.0.2.0/24 -m comment --comment "KUBE-SERVICES is no target here" -j MASQUERADE
-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp --dport 443 -j KUBE-SVC-NPX46M4PTMTKRN6Y
COMMIT
"""


NETWORKS = cni.NETWORKS
NO_CONTAINERD = Containerd("/no/ctr", "/no/socket")


def test_only_chains_of_the_cluster_go() -> None:
    assert sorted(reset.own_chains(SAVED, NETWORKS)) == ["CNI-HOSTPORT-DNAT", "KUBE-SERVICES"]
    left = reset.without_chains(SAVED, NETWORKS)
    assert reset.own_chains(left, NETWORKS) == []
    assert "-A PREROUTING -p tcp --dport 80 -j DOCKER" in left
    assert ":DOCKER - [0:0]" in left
    assert "192.0.2.0/24" in left
    assert "-j KUBE-SERVICES" not in left
    assert left.endswith("COMMIT\n")


def test_rules_without_chains_of_ours_stay_as_they_are() -> None:
    own = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j ACCEPT\nCOMMIT\n"
    assert reset.without_chains(own, NETWORKS) == own


def test_tables() -> None:
    listed = "table ip kube-proxy\ntable ip6 kube-proxy\ntable inet firewalld\ntable ip flannel-ipv4\ntable ip nat\n"
    assert reset.own_tables(listed) == ["ip kube-proxy", "ip6 kube-proxy", "ip flannel-ipv4"]


def test_mounts_below_the_kubelet_go_the_deepest_first_and_the_folder_itself_stays() -> None:
    text = (
        "/dev/sda1 / ext4 rw 0 0\n/dev/sdb /var/lib/kubelet ext4 rw 0 0\n"
        "tmpfs /var/lib/kubelet/pods/1/volumes/a tmpfs rw 0 0\ntmpfs /var/lib/kubelet/pods/1/volumes/a/sub\\040path tmpfs rw 0 0\n"
        "nsfs /run/netns/cni-1 nsfs rw 0 0\nnsfs /run/netns/own nsfs rw 0 0\n"
        "overlay /run/containerd/io.containerd.runtime.v2.task/k8s.io/1/rootfs overlay rw 0 0\n"
        "overlay /run/containerd/io.containerd.runtime.v2.task/default/1/rootfs overlay rw 0 0\n"
    )
    assert reset.mounts(text) == [
        "/var/lib/kubelet/pods/1/volumes/a/sub path",
        "/var/lib/kubelet/pods/1/volumes/a",
        "/run/netns/cni-1",
        "/run/containerd/io.containerd.runtime.v2.task/k8s.io/1/rootfs",
    ]


def tool(folder: Path, name: str, script: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("left", ["socket", "state"])
def test_a_host_whose_containerd_is_dead_is_not_called_clean(left: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctr = tool(tmp_path, "ctr", "echo connection refused >&2; exit 1")
    state, socket = tmp_path / "state", tmp_path / "socket"
    monkeypatch.setattr(pod_containers, "STATE", (str(state),))
    assert [item for item in reset.observe(Containerd(ctr, str(socket))) if item.kind == "container"] == []

    (socket if left == "socket" else state).touch()
    with pytest.raises(HostedKubernetesError, match=r"containerd does not answer: .*connection refused; start it"):
        reset.observe(Containerd(ctr, str(socket)))


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ("iptables v1.8.9 (legacy): can't initialize iptables table `filter': Table does not exist (do you need to insmod?)", True),
        ("iptables-save v1.8.9 (nf_tables): Could not fetch rule set generation id: Protocol not supported", True),
        ("netlink: Error: cache initialization failed: Operation not permitted", False),
    ],
)
def test_only_a_firewall_that_the_kernel_lacks_has_no_rules_for_sure(
    said: str, known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "PATH", f"{tmp_path}:/usr/bin:/bin")
    tool(tmp_path, "iptables-save", f'echo "{said.replace("`", "")}" >&2; exit 1')
    if known:
        assert [item for item in reset.observe(NO_CONTAINERD) if item.kind == "rules"] == []
    else:
        with pytest.raises(HostedKubernetesError, match=r"iptables-save ended with status 1: .*Operation not permitted"):
            reset.observe(NO_CONTAINERD)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("cni0", True),
        ("flannel.1", True),
        ("flannel-v6.1", True),
        ("kube-ipvs0", True),
        ("eth0", False),
        ("docker0", False),
        ("br-cni0", False),
    ],
)
def test_links(name: str, ours: bool) -> None:
    assert bool(interfaces.POD_NETWORK.match(name)) is ours


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The places of CNI plugins on a host that runs Podman too, as CNI plugins 1.9 and Podman 4 leave them."""
    configurations, state = tmp_path / "net.d", tmp_path / "cni"
    for path in (
        configurations,
        state / "networks/cbr0",
        state / "networks/podman",
        state / "networks/blue",
        state / "results",
        state / "flannel",
    ):
        path.mkdir(parents=True)
    (configurations / "10-flannel.conflist").write_text(
        '{"name": "blue", "cniVersion": "1.0.0", "plugins": [{"type": "flannel", "name": "x"}]}'
    )
    (configurations / "87-podman-bridge.conflist").write_text('{"name": "podman"}')
    for name in ("cbr0-1f-eth0", "cni-loopback-1f-lo", "podman-2e-eth0"):
        (state / "results" / name).touch()
    monkeypatch.setattr(cni, "CONFIGURATIONS", str(configurations))
    monkeypatch.setattr(cni, "STATE", str(state))
    monkeypatch.setattr(reset, "EMPTIED", ())
    return tmp_path


def test_networks_of_other_software_stay_and_are_named(shared: Path) -> None:
    kept = [
        f"{shared}/net.d/87-podman-bridge.conflist",
        f"{shared}/cni/networks/podman",
        f"{shared}/cni/results/podman-2e-eth0",
    ]
    assert cni.files(cni.networks())[1] == kept

    found = [item.name for item in reset.observe(NO_CONTAINERD) if item.name.startswith(str(shared))]
    assert found == [
        f"{shared}/cni/results/cni-loopback-1f-lo",
        f"{shared}/cni/results/cbr0-1f-eth0",
        f"{shared}/cni/networks/cbr0",
        f"{shared}/cni/networks/blue",
        f"{shared}/cni/flannel",
        f"{shared}/net.d/10-flannel.conflist",
    ]


# iptables-save of a host with a pod and a container of Podman, each with a published port, shortened.
SHARED = """\
*nat
:CNI-0a - [0:0]
:CNI-DN-0a - [0:0]
:CNI-1b - [0:0]
:CNI-DN-1b - [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
-A POSTROUTING -s 10.88.0.3/32 -m comment --comment "name: \\"podman\\" id: \\"1b\\"" -j CNI-1b
-A POSTROUTING -s 10.244.0.3/32 -m comment --comment "name: \\"cbr0\\" id: \\"0a\\"" -j CNI-0a
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A CNI-0a ! -d 224.0.0.0/4 -m comment --comment "name: \\"cbr0\\" id: \\"0a\\"" -j MASQUERADE
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"cbr0\\" id: \\"0a\\"" -m multiport --dports 80 -j CNI-DN-0a
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"podman\\" id: \\"1b\\"" -m multiport --dports 81 -j CNI-DN-1b
COMMIT
"""


def test_chains_of_other_software_stay_with_those_they_share() -> None:
    assert cni.chains(SHARED, NETWORKS) == (["CNI-0a", "CNI-DN-0a"], ["CNI-1b", "CNI-DN-1b", "CNI-HOSTPORT-DNAT"])
    left = reset.without_chains(SHARED, NETWORKS)
    assert "cbr0" not in left
    assert left.count("podman") == 2
    assert "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT" in left
    assert reset.own_chains(left, NETWORKS) == []


def test_chains_that_nobody_else_shares_go() -> None:
    alone = "".join(line for line in SHARED.splitlines(keepends=True) if "podman" not in line and "1b" not in line)
    assert cni.chains(alone, NETWORKS)[1] == []
    assert "CNI-" not in reset.without_chains(alone, NETWORKS)


def test_what_an_upgrade_kept_goes_with_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the next cluster's upgrade would go on with the one of the last, and put its files back."""
    assert snapshots.ROOT in reset.EMPTIED
    assert kubelet_client.MARKER in reset.REMOVED
    root, marker = tmp_path / "snapshots", tmp_path / "kubelet-client"
    marker.touch()
    snapshots.take("upgrade", [str(marker)], {}, str(root))
    monkeypatch.setattr(reset, "EMPTIED", (str(root),))
    monkeypatch.setattr(reset, "REMOVED", (str(marker),))
    found = [item for item in reset.observe(NO_CONTAINERD) if item.name.startswith(str(tmp_path))]
    assert [str(item) for item in found] == [f"file {root}/upgrade", f"file {marker}"]


# ctr 2.2.5 on a worker, shortened.
LAYERS = """\
KEY                                      PARENT     KIND
extract-715-F1 sha256:8e2                sha256:1c  Active
4f7c2d                                   sha256:8e  Active
sha256:1c                                           Committed
sha256:8e                                sha256:1c  Committed
"""
IMAGES = """\
REF                             TYPE                                                 DIGEST     SIZE    PLATFORMS   LABELS
registry.k8s.io/pause:3.10.2    application/vnd.docker.distribution.manifest.v2+json sha256:aaa 1.4 MiB linux/amd64 io.cri-containerd.image=managed
sha256:0123                     application/vnd.docker.distribution.manifest.v2+json sha256:aaa 1.4 MiB linux/amd64 io.cri-containerd.image=managed
registry.acme.example/shop:1    application/vnd.oci.image.index.v1+json              sha256:bbb 9 MiB   linux/amd64 io.cri-containerd.image=managed
sha256:4567                     application/vnd.oci.image.index.v1+json              sha256:bbb 9 MiB   linux/amd64 io.cri-containerd.image=managed
"""


def test_what_was_written_into_goes_and_layers_of_images_stay() -> None:
    assert pod_containers.writable(LAYERS) == ["4f7c2d"]
    assert pod_containers.writable("") == []


@pytest.mark.parametrize(
    ("kept", "gone"),
    [
        (["registry.k8s.io/pause:3.10.2"], ["registry.acme.example/shop:1", "sha256:4567"]),
        ([], ["registry.k8s.io/pause:3.10.2", "sha256:0123", "registry.acme.example/shop:1", "sha256:4567"]),
    ],
)
def test_images_of_the_bundle_stay_under_all_their_names(kept: list[str], gone: list[str]) -> None:
    assert pod_containers.superfluous(IMAGES, kept) == gone


@pytest.fixture
def containerd_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Containerd:
    """A ctr that keeps its containers, layers and images in files, and forgets what is removed."""
    root = tmp_path / "containerd"
    for name in ("io.containerd.snapshotter.v1.overlayfs", "io.containerd.snapshotter.v1.btrfs"):
        (root / name).mkdir(parents=True)
    (tmp_path / "layers").write_text(LAYERS)
    (tmp_path / "images").write_text(IMAGES)
    (tmp_path / "containers").write_text("4f7c2d\n")
    ctr = tool(
        tmp_path,
        "ctr",
        f"""cd {tmp_path}
shift 2; while [ "${{1#--}}" != "$1" ]; do shift 2; done
case "$*" in
  "containers list"*) cat containers ;;
  "container delete "*) sed -i "/^$3/d" containers; sed -i "/^$3/d" layers ;;
  "snapshots --snapshotter overlayfs list") cat layers ;;
  "snapshots --snapshotter overlayfs remove "*) sed -i "/^$5/d" layers ;;
  "snapshots"*) echo "ctr: snapshotter not loaded: btrfs: invalid argument" >&2; exit 1 ;;
  "images list") cat images ;;
  "images remove --sync "*) sed -i "\\|^$4|d" images ;;
  "task "*) exit 1 ;;
  *) echo "not known: $*" >&2; exit 1 ;;
esac""",
    )
    (tmp_path / "socket").touch()
    monkeypatch.setattr(facts, "RESET_RECORD", str(tmp_path / "var/reset.json"))
    monkeypatch.setattr(pod_containers, "ROOT", str(root))
    for name in ("EMPTIED", "REMOVED"):
        monkeypatch.setattr(reset, name, ())
    return Containerd(ctr, str(tmp_path / "socket"), ["registry.k8s.io/pause:3.10.2"])


def of_containerd(containerd: Containerd) -> list[str]:
    return [str(item) for item in reset.observe(containerd) if item.kind in ("container", "layer", "image")]


def look_at_containerd_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine is no worker; what it has besides is not the test's."""
    every = reset.observe

    def seen(runtime: Containerd) -> list[reset.Leftover]:
        return [item for item in every(runtime) if item.kind in ("container", "layer", "image") or item.name == facts.RESET_RECORD]

    monkeypatch.setattr(reset, "observe", seen)


def test_a_reset_that_was_killed_is_ended_by_the_next_one_with_its_images(
    containerd_host: Containerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_at_containerd_only(monkeypatch)

    def killed(reference: str) -> None:
        raise KeyboardInterrupt(reference)

    with monkeypatch.context() as patched:
        patched.setattr(Containerd, "remove_image", lambda _self, reference: killed(reference))
        with pytest.raises(KeyboardInterrupt):
            reset.reset("/no/kubeadm", containerd_host)
    assert facts.read_membership()["is_reset_unfinished"]

    # Whoever goes on need not know about images: a join that finds the host half reset does not.
    found = reset.reset("/no/kubeadm", Containerd(containerd_host.ctr, containerd_host.socket))
    assert [str(item) for item in found] == [
        "image registry.acme.example/shop:1",
        "image sha256:4567",
        f"file {facts.RESET_RECORD}",
    ]
    assert not facts.read_membership()["is_reset_unfinished"]
    assert reset.reset("/no/kubeadm", containerd_host) == []


def test_containers_layers_and_images_go_and_the_report_says_where_nothing_is_left(
    containerd_host: Containerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = of_containerd(containerd_host)
    assert found == [
        "container 4f7c2d",
        "layer overlayfs 4f7c2d",
        "image registry.acme.example/shop:1",
        "image sha256:4567",
    ]
    look_at_containerd_only(monkeypatch)
    assert [str(item) for item in reset.reset("/no/kubeadm", containerd_host)] == found
    assert of_containerd(containerd_host) == []
    assert {"containers of pods", "layers of containers", "images"} <= set(reset.places(containerd_host))
    assert "images" not in reset.places(Containerd(containerd_host.ctr, containerd_host.socket))
    assert "containers of pods" not in reset.places(NO_CONTAINERD)
