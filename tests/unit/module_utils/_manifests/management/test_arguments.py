# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All flags of all containers, as a reader would want to see them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import UNKNOWN
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management import arguments
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.deployment import deployment
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._manifests.management.samples import inputs, kine_inputs, tenant

ADMISSION = (
    "CertificateApproval,CertificateSigning,CertificateSubjectRestriction,DefaultIngressClass,DefaultStorageClass,"
    "DefaultTolerationSeconds,LimitRanger,MutatingAdmissionWebhook,NamespaceLifecycle,NodeRestriction,PersistentVolumeClaimResize,"
    "Priority,ResourceQuota,RuntimeClass,ServiceAccount,StorageObjectInUseProtection,TaintNodesByCondition,ValidatingAdmissionWebhook"
)
API_SERVER = f"""
--advertise-address=198.18.0.200
--allow-privileged=true
--authorization-mode=Node,RBAC
--client-ca-file=/etc/kubernetes/pki/ca.crt
--egress-selector-config-file=/etc/kubernetes/konnectivity/configurations/egress-selector-configuration.yaml
--enable-admission-plugins={ADMISSION}
--enable-bootstrap-token-auth=true
--endpoint-reconciler-type=none
--etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt
--etcd-certfile=/etc/kubernetes/pki/etcd/server.crt
--etcd-compaction-interval=0
--etcd-keyfile=/etc/kubernetes/pki/etcd/server.key
--etcd-prefix=/tenants_acme
--etcd-servers=https://etcd-0.etcd:2379,https://etcd-1.etcd:2379
--kubelet-client-certificate=/etc/kubernetes/pki/apiserver-kubelet-client.crt
--kubelet-client-key=/etc/kubernetes/pki/apiserver-kubelet-client.key
--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname
--proxy-client-cert-file=/etc/kubernetes/pki/front-proxy-client.crt
--proxy-client-key-file=/etc/kubernetes/pki/front-proxy-client.key
--requestheader-allowed-names=front-proxy-client
--requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt
--requestheader-extra-headers-prefix=X-Remote-Extra-
--requestheader-group-headers=X-Remote-Group
--requestheader-username-headers=X-Remote-User
--secure-port=6443
--service-account-issuer=https://kubernetes.default.svc.cluster.local
--service-account-key-file=/etc/kubernetes/pki/sa.pub
--service-account-signing-key-file=/etc/kubernetes/pki/sa.key
--service-cluster-ip-range=10.96.0.0/16
--shutdown-delay-duration=10s
--shutdown-watch-termination-grace-period=10s
--tls-cert-file=/etc/kubernetes/pki/apiserver.crt
--tls-private-key-file=/etc/kubernetes/pki/apiserver.key
""".split()
CONTROLLER_MANAGER = [
    "--allocate-node-cidrs=true",
    "--authentication-kubeconfig=/etc/kubernetes/controller-manager.conf",
    "--authorization-kubeconfig=/etc/kubernetes/controller-manager.conf",
    "--bind-address=0.0.0.0",
    "--client-ca-file=/etc/kubernetes/pki/ca.crt",
    "--cluster-cidr=10.244.0.0/16",
    "--cluster-name=acme",
    "--cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt",
    "--cluster-signing-key-file=/etc/kubernetes/pki/ca.key",
    "--controllers=*,bootstrapsigner,tokencleaner",
    "--kubeconfig=/etc/kubernetes/controller-manager.conf",
    "--leader-elect=true",
    "--requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt",
    "--root-ca-file=/etc/kubernetes/pki/ca.crt",
    "--service-account-private-key-file=/etc/kubernetes/pki/sa.key",
    "--service-cluster-ip-range=10.96.0.0/16",
    "--use-service-account-credentials=true",
]
SCHEDULER = [
    "--authentication-kubeconfig=/etc/kubernetes/scheduler.conf",
    "--authorization-kubeconfig=/etc/kubernetes/scheduler.conf",
    "--bind-address=0.0.0.0",
    "--kubeconfig=/etc/kubernetes/scheduler.conf",
    "--leader-elect=true",
]
KONNECTIVITY = [
    "--admin-port=8133",
    "--agent-namespace=kube-system",
    "--agent-port=8132",
    "--agent-service-account=konnectivity-agent",
    "--authentication-audience=system:konnectivity-server",
    "--cluster-cert=/etc/kubernetes/pki/konnectivity.crt",
    "--cluster-key=/etc/kubernetes/pki/konnectivity.key",
    "--enable-lease-controller=true",
    "--health-port=8134",
    "--kubeconfig=/etc/kubernetes/konnectivity-server.conf",
    "--mode=grpc",
    "--server-port=0",
    "--uds-name=/run/konnectivity/konnectivity-server.socket",
]
KINE = [
    "--ca-file=/etc/kubernetes/pki/datastore/ca.crt",
    "--cert-file=/etc/kubernetes/pki/datastore/server.crt",
    "--key-file=/etc/kubernetes/pki/datastore/server.key",
    "--listen-address=unix:///uds/kine",
    "--metrics-bind-address=:8135",
    "--skip-verify=false",
]
# What only an etcd that is shared by tenants takes; with kine there is one of the tenant's own, which its API server compacts.
ETCD_FLAGS = ("--etcd-cafile", "--etcd-certfile", "--etcd-compaction-interval", "--etcd-keyfile", "--etcd-prefix", "--etcd-servers")
DUAL_STACK = {
    "networkProfile__serviceCidrs": ["fd00:1::/112", "10.100.0.0/16"],
    "networkProfile__podCidrs": ["fd00:2::/56", "10.200.0.0/16"],
}
EXTRA = "controlPlane__deployment__extraArgs"


def replaced(flags: list[str], without: tuple[str, ...] = (), **values: str) -> list[str]:
    """Flags with other values ("_" stands for "-"), some left out."""
    new = {"--" + name.replace("_", "-"): value for name, value in values.items()}
    result = [f"{name}={new.get(name, value)}" for name, _unused, value in (flag.partition("=") for flag in flags) if name not in without]
    return result + [f"{name}={value}" for name, value in new.items() if not any(flag.startswith(name + "=") for flag in flags)]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({}, API_SERVER, id="default"),
        pytest.param({"controlPlane__deployment__hardening": "none"}, API_SERVER, id="hardening changes no flag"),
        pytest.param({"addons__konnectivity": None}, replaced(API_SERVER, ("--egress-selector-config-file",)), id="no konnectivity"),
        pytest.param(
            DUAL_STACK, replaced(API_SERVER, service_cluster_ip_range="fd00:1::/112,10.100.0.0/16"), id="dual stack keeps the user's order"
        ),
        pytest.param(
            {"networkProfile__clusterDomain": "k8s.example", "networkProfile__port": 7443},
            replaced(API_SERVER, service_account_issuer="https://kubernetes.default.svc.k8s.example", secure_port="7443"),
            id="domain and port",
        ),
        pytest.param(
            {EXTRA: {"apiServer": ["--allow-privileged=false", "--v=4"]}},
            [*replaced(API_SERVER, ("--allow-privileged",)), "--allow-privileged=false", "--v=4"],
            id="the user's flags replace defaults",
        ),
        pytest.param(
            {EXTRA: {"apiServer": ["--secure-port=1", "--etcd_servers=http://x", "--runtime-config=a", "--runtime-config=b"]}},
            [*API_SERVER, "--runtime-config=a", "--runtime-config=b"],
            id="managed flags win, repeated flags stay",
        ),
        pytest.param(
            {EXTRA: {"apiServer": ["--authorization-config=/x.yaml"]}},
            [*replaced(API_SERVER, ("--authorization-mode",)), "--authorization-config=/x.yaml"],
            id="authorization config excludes the mode",
        ),
    ],
)
def test_api_server(spec: dict[str, Any], expected: list[str]) -> None:
    assert arguments.api_server(tenant(**spec), inputs()) == expected


def test_api_server_with_an_address_that_is_not_known_yet() -> None:
    flags = arguments.api_server(tenant(), inputs(advertise_address=UNKNOWN))
    assert flags == replaced(API_SERVER, advertise_address=UNKNOWN)


def test_api_server_with_overrides() -> None:
    datastore = dataclasses.replace(inputs().datastore, overrides={"/events": ("a:1", "b:2"), "/leases": ("c:3",)})
    flags = arguments.api_server(tenant(), inputs(datastore=datastore))
    assert "--etcd-servers-overrides=/events#https://a:1;https://b:2,/leases#https://c:3" in flags


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({}, CONTROLLER_MANAGER, id="default"),
        pytest.param(
            DUAL_STACK,
            replaced(CONTROLLER_MANAGER, cluster_cidr="fd00:2::/56,10.200.0.0/16", service_cluster_ip_range="fd00:1::/112,10.100.0.0/16"),
            id="dual stack",
        ),
        pytest.param(
            {EXTRA: {"controllerManager": ["--bind-address=127.0.0.1"]}},
            [*replaced(CONTROLLER_MANAGER, ("--bind-address",)), "--bind-address=127.0.0.1"],
            id="the user's flags win",
        ),
    ],
)
def test_controller_manager(spec: dict[str, Any], expected: list[str]) -> None:
    assert arguments.controller_manager(tenant(**spec)) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({}, SCHEDULER, id="default"),
        pytest.param({EXTRA: {"scheduler": ["--kubeconfig=/x", "--v=2"]}}, [*SCHEDULER, "--v=2"], id="ours win"),
    ],
)
def test_scheduler(spec: dict[str, Any], expected: list[str]) -> None:
    assert arguments.scheduler(tenant(**spec)) == expected


@pytest.mark.parametrize(
    ("server", "version", "replicas", "expected"),
    [
        pytest.param({}, "v0.36.0", 2, KONNECTIVITY, id="default"),
        pytest.param({}, "v0.36.0", 5, KONNECTIVITY, id="scaling changes no flag"),
        pytest.param({"port": 9132}, "v0.36.0", 2, replaced(KONNECTIVITY, agent_port="9132"), id="port"),
        pytest.param({"extraArgs": ["--mode=x", "--v=2"]}, "v0.36.0", 2, [*KONNECTIVITY, "--v=2"], id="ours win"),
        pytest.param(
            {},
            "v0.28.6",
            3,
            sorted([*replaced(KONNECTIVITY, ("--enable-lease-controller",)), "--server-count=3"]),
            id="old versions count by number",
        ),
    ],
)
def test_konnectivity_server(server: dict[str, Any], version: str, replicas: int, expected: list[str]) -> None:
    wanted = tenant(addons__konnectivity__server=server)
    assert wanted.addons.konnectivity
    assert arguments.konnectivity_server(wanted, wanted.addons.konnectivity, version, replicas) == expected


@pytest.mark.parametrize(
    ("flags", "client_certificate", "expected"),
    [
        pytest.param([], True, KINE, id="default"),
        pytest.param([], False, [flag for flag in KINE if "-file=" not in flag or "ca-file" in flag], id="a password only"),
        pytest.param(["--compact-interval=5m", "--debug"], True, [*KINE, "--compact-interval=5m", "--debug"], id="the user's flags"),
        pytest.param(["--cert-file=/x"], True, [*KINE[:1], *KINE[2:], "--cert-file=/x"], id="the user's flags replace defaults"),
        pytest.param(["--endpoint=sqlite://", "-endpoint=x", "-skip-verify", "--listen-address=:1"], True, KINE, id="managed flags win"),
    ],
)
def test_kine(flags: list[str], client_certificate: bool, expected: list[str]) -> None:
    found = arguments.kine_server(tenant(**{EXTRA: {"kine": flags}}), kine_inputs(client_certificate=client_certificate).datastore)
    assert found == expected


@pytest.mark.parametrize("driver", ["etcd", "PostgreSQL", "MySQL"])
@pytest.mark.parametrize("hardening", ["restricted", "none"])
@pytest.mark.parametrize("dual_stack", [False, True], ids=["single stack", "dual stack"])
@pytest.mark.parametrize("tunnel", [False, True], ids=["no konnectivity", "konnectivity"])
def test_all_flags_of_all_containers(tunnel: bool, dual_stack: bool, hardening: str, driver: str) -> None:
    spec: dict[str, Any] = {"controlPlane__deployment__hardening": hardening, **(DUAL_STACK if dual_stack else {})}
    if not tunnel:
        spec["addons__konnectivity"] = None
    expected = {
        "kube-apiserver": API_SERVER if tunnel else replaced(API_SERVER, ("--egress-selector-config-file",)),
        "kube-scheduler": SCHEDULER,
        "kube-controller-manager": CONTROLLER_MANAGER,
        **({"konnectivity-server": KONNECTIVITY} if tunnel else {}),
    }
    if dual_stack:
        expected["kube-apiserver"] = replaced(expected["kube-apiserver"], service_cluster_ip_range="fd00:1::/112,10.100.0.0/16")
        expected["kube-controller-manager"] = replaced(
            CONTROLLER_MANAGER, cluster_cidr="fd00:2::/56,10.200.0.0/16", service_cluster_ip_range="fd00:1::/112,10.100.0.0/16"
        )
    if driver != "etcd":
        server = replaced(expected["kube-apiserver"], ETCD_FLAGS)
        expected |= {"kine": KINE, "kube-apiserver": sorted([*server, "--etcd-servers=unix:///uds/kine"])}
    pod = deployment(tenant(**spec), inputs() if driver == "etcd" else kine_inputs(driver))["spec"]["template"]["spec"]
    assert {item["name"]: item["args"] for item in [*pod.get("initContainers", []), *pod["containers"]]} == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], 10),
        (["--shutdown-delay-duration=0s"], 0),
        (["--shutdown-delay-duration=20s", "--shutdown-delay-duration=1m30s"], 90),
        (["--shutdown-delay-duration=1500ms"], 2),
        (["--shutdown-delay-duration=soon"], 10),
    ],
)
def test_shutdown_delay(flags: list[str], expected: int) -> None:
    assert arguments.shutdown_delay_s(tenant(**{EXTRA: {"apiServer": flags}})) == expected
