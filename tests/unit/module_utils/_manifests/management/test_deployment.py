# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Deployment, apart from the flags."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.deployment import deployment
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.inputs import TenantInputs
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.tenant.objects import objects as tenant_objects
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._manifests.management.samples import inputs, tenant

DEPLOYMENT = "controlPlane__deployment__"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsGroup": 65532,
    "runAsNonRoot": True,
    "runAsUser": 65532,
}


def pod(**spec: Any) -> Json:
    result: Json = deployment(tenant(**spec), inputs())["spec"]["template"]["spec"]
    return result


def container(name: str, **spec: Any) -> Json:
    return next(item for item in pod(**spec)["containers"] if item["name"] == name)


def secret_keys(volume: str, **spec: Any) -> set[tuple[str, str]]:
    """(Secret or ConfigMap, key) of everything a volume holds."""
    found = next(item for item in pod(**spec)["volumes"] if item["name"] == volume)
    sources = [source.get("secret") or source.get("configMap") for source in found["projected"]["sources"]]
    return {(source["name"], item["key"]) for source in sources for item in source["items"]}


def test_identity_and_strategy() -> None:
    result = deployment(tenant(), inputs())
    assert result["metadata"]["name"] == "acme"
    assert result["metadata"]["labels"] == {
        "kamaji.clastix.io/project": "kamaji",
        "kamaji.clastix.io/name": "acme",
        "kamaji.clastix.io/component": "deployment",
    }
    assert result["metadata"]["ownerReferences"][0] == {
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "TenantControlPlane",
        "name": "acme",
        "uid": "8d0f",
        "controller": True,
        "blockOwnerDeletion": True,
    }
    assert result["spec"]["selector"] == {"matchLabels": {"kamaji.clastix.io/name": "acme"}}
    assert result["spec"]["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": "Recreate"}, {"type": "Recreate"}),
        (
            {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
            {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
        ),
    ],
)
def test_strategy_of_the_user(given: Json, expected: Json) -> None:
    result = deployment(tenant(**{DEPLOYMENT + "strategy": given}), inputs())
    assert result["spec"]["strategy"] == expected


@pytest.mark.parametrize(
    ("named", "live", "expected"),
    [(3, 2, 3), (0, 2, 0), (None, 2, 2), (None, None, None)],
    ids=["named", "asleep", "as found", "an autoscaler's"],
)
def test_replicas(named: int | None, live: int | None, expected: int | None) -> None:
    spec = {} if named is None else {DEPLOYMENT + "replicas": named}
    assert deployment(tenant(**spec), inputs(replicas=live))["spec"].get("replicas") == expected


def test_scaling_leaves_the_pods_alone() -> None:
    templates = [deployment(tenant(**{DEPLOYMENT + "replicas": number}), inputs())["spec"]["template"] for number in (1, 2, 5)]
    assert templates[0] == templates[1] == templates[2]


def test_pod_metadata_follows_checksums_and_datastore() -> None:
    user = {"labels": {"team": "blue", "kamaji.clastix.io/name": "other"}, "annotations": {"note": "x"}}
    metadata = deployment(tenant(**{DEPLOYMENT + "podAdditionalMetadata": user}), inputs())["spec"]["template"]["metadata"]
    assert metadata["labels"] == {
        "team": "blue",
        "kamaji.clastix.io/name": "acme",
        "kamaji.clastix.io/component": "deployment",
        "component.kamaji.clastix.io/ca": "aa",
        "component.kamaji.clastix.io/api-server-certificate": "bb",
        "component.kamaji.clastix.io/datastore": "default",
    }
    assert metadata["annotations"] == {"note": "x", "storage.kamaji.clastix.io/config": "c0", "storage.kamaji.clastix.io/certificate": "c1"}


def test_containers_in_order_with_their_images() -> None:
    registry = {"registry": "mirror.example", "tagSuffix": "-x", "apiServerImage": "api"}
    spec = {DEPLOYMENT + "registrySettings": registry, DEPLOYMENT + "additionalContainers": [{"name": "sidecar", "image": "s"}]}
    assert [(item["name"], item["image"], item.get("command")) for item in pod(**spec)["containers"]] == [
        ("sidecar", "s", None),
        ("kube-apiserver", "mirror.example/api:v1.36.3-x", ["kube-apiserver"]),
        ("kube-scheduler", "mirror.example/kube-scheduler:v1.36.3-x", ["kube-scheduler"]),
        ("kube-controller-manager", "mirror.example/kube-controller-manager:v1.36.3-x", ["kube-controller-manager"]),
        ("konnectivity-server", "mirror.example/kas-network-proxy/proxy-server:v0.36.0", ["/proxy-server"]),
    ]


def test_no_konnectivity_no_trace_of_it() -> None:
    assert "konnectivity" in str(pod())
    assert "konnectivity" not in str(pod(addons__konnectivity=None))


def test_each_container_mounts_only_the_keys_it_needs() -> None:
    assert secret_keys("kube-apiserver-files") == {
        ("acme-ca", "ca.crt"),
        ("acme-api-server-certificate", "apiserver.crt"),
        ("acme-api-server-certificate", "apiserver.key"),
        ("acme-api-server-kubelet-client-certificate", "apiserver-kubelet-client.crt"),
        ("acme-api-server-kubelet-client-certificate", "apiserver-kubelet-client.key"),
        ("acme-front-proxy-ca-certificate", "front-proxy-ca.crt"),
        ("acme-front-proxy-client-certificate", "front-proxy-client.crt"),
        ("acme-front-proxy-client-certificate", "front-proxy-client.key"),
        ("acme-sa-certificate", "sa.pub"),
        ("acme-sa-certificate", "sa.key"),
        ("acme-datastore-certificate", "ca.crt"),
        ("acme-datastore-certificate", "server.crt"),
        ("acme-datastore-certificate", "server.key"),
        ("acme-konnectivity-egress-selector-configuration", "egress-selector-configuration.yaml"),
    }
    assert secret_keys("kube-controller-manager-files") == {
        ("acme-controller-manager-kubeconfig", "controller-manager.conf"),
        ("acme-ca", "ca.crt"),
        ("acme-ca", "ca.key"),
        ("acme-front-proxy-ca-certificate", "front-proxy-ca.crt"),
        ("acme-sa-certificate", "sa.key"),
    }
    assert secret_keys("kube-scheduler-files") == {("acme-scheduler-kubeconfig", "scheduler.conf")}
    assert secret_keys("konnectivity-server-files") == {
        ("acme-konnectivity-kubeconfig", "konnectivity-server.conf"),
        ("acme-konnectivity-certificate", "tls.crt"),
        ("acme-konnectivity-certificate", "tls.key"),
    }
    for item in pod()["containers"]:
        files = [mount["name"] for mount in item["volumeMounts"] if mount["name"].endswith("-files")]
        assert files == [item["name"] + "-files"]


def test_every_file_a_flag_names_is_mounted() -> None:
    result = pod()
    volumes = {volume["name"]: volume for volume in result["volumes"]}
    for item in result["containers"]:
        sources = [source.get("secret") or source["configMap"] for source in volumes[item["name"] + "-files"]["projected"]["sources"]]
        mounted = {f"/etc/kubernetes/{file['path']}" for source in sources for file in source["items"]}
        named = {
            value for _unused1, _unused2, value in (flag.partition("=") for flag in item["args"]) if value.startswith("/etc/kubernetes/")
        }
        assert named == mounted


@pytest.mark.parametrize("name", ["kube-apiserver", "kube-scheduler", "kube-controller-manager", "konnectivity-server"])
def test_hardening_of_containers(name: str) -> None:
    expected = dict(RESTRICTED)
    if name == "kube-apiserver":
        expected["capabilities"] = {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}
    assert container(name)["securityContext"] == expected
    assert "securityContext" not in container(name, controlPlane__deployment__hardening="none")


def test_hardening_of_the_pod() -> None:
    assert pod()["securityContext"] == {"fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    assert {volume["projected"]["defaultMode"] for volume in pod()["volumes"] if "projected" in volume} == {0o440}
    loose = pod(controlPlane__deployment__hardening="none")
    assert "securityContext" not in loose
    assert {volume["projected"]["defaultMode"] for volume in loose["volumes"] if "projected" in volume} == {0o444}


def test_security_contexts_of_the_user_lie_on_top() -> None:
    spec = {
        DEPLOYMENT + "podSecurityContext": {"fsGroup": 1000},
        DEPLOYMENT + "containerSecurityContexts": {"scheduler": {"runAsUser": 1000}},
        "addons__konnectivity__server__securityContext": {"runAsUser": 1001},
    }
    assert pod(**spec)["securityContext"] == {"fsGroup": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container("kube-scheduler", **spec)["securityContext"] == {**RESTRICTED, "runAsUser": 1000}
    assert container("konnectivity-server", **spec)["securityContext"] == {**RESTRICTED, "runAsUser": 1001}


def test_a_pod_has_no_token_and_no_service_variables() -> None:
    result = pod()
    assert (result["automountServiceAccountToken"], result["enableServiceLinks"]) == (False, False)


def test_startup_has_minutes_and_is_asked_every_second() -> None:
    for item in pod()["containers"]:
        probe = item["startupProbe"]
        assert probe["periodSeconds"] == 1
        assert probe["failureThreshold"] >= 300
    assert {item["name"] for item in pod()["containers"] if "readinessProbe" in item} == {"kube-apiserver"}


def test_probes_of_the_user() -> None:
    given = {
        "liveness": {"timeoutSeconds": 3, "failureThreshold": 4},
        "apiServer": {"liveness": {"failureThreshold": 9}},
        "scheduler": {"readiness": {"periodSeconds": 7}},
    }
    spec = {DEPLOYMENT + "probes": given}
    liveness = container("kube-apiserver", **spec)["livenessProbe"]
    assert (liveness["timeoutSeconds"], liveness["failureThreshold"], liveness["periodSeconds"]) == (3, 9, 10)
    assert container("kube-controller-manager", **spec)["livenessProbe"]["failureThreshold"] == 4
    assert container("kube-scheduler", **spec)["readinessProbe"]["periodSeconds"] == 7


@pytest.mark.parametrize(("flags", "delay"), [([], 10), (["--shutdown-delay-duration=30s"], 30)])
def test_pods_get_the_time_to_stop_without_a_failed_request(flags: list[str], delay: int) -> None:
    spec = {DEPLOYMENT + "extraArgs": {"apiServer": flags}}
    assert pod(**spec)["terminationGracePeriodSeconds"] == delay + 70
    assert container("konnectivity-server", **spec)["lifecycle"] == {"preStop": {"sleep": {"seconds": delay + 2}}}


def test_spread_over_nodes_and_zones_where_possible() -> None:
    spread = pod()["topologySpreadConstraints"]
    assert [(item["topologyKey"], item["whenUnsatisfiable"]) for item in spread] == [
        ("kubernetes.io/hostname", "ScheduleAnyway"),
        ("topology.kubernetes.io/zone", "ScheduleAnyway"),
    ]
    assert all(item["labelSelector"] == {"matchLabels": {"kamaji.clastix.io/name": "acme"}} for item in spread)


def test_spread_of_the_user_counts_this_tenants_pods() -> None:
    given = [{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}]
    assert pod(**{DEPLOYMENT + "topologySpreadConstraints": given})["topologySpreadConstraints"] == [
        {"labelSelector": {"matchLabels": {"kamaji.clastix.io/name": "acme"}}, **given[0]}
    ]


def test_fields_of_the_user_reach_the_pod() -> None:
    given: dict[str, Any] = {
        "nodeSelector": {"a": "b"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "runtimeClassName": "kata",
        "priorityClassName": "tenants",
        "imagePullSecrets": [{"name": "mirror"}],
        "serviceAccountName": "robot",
        "automountServiceAccountToken": True,
        "resources": {"apiServer": {"limits": {"cpu": "1"}}},
        "additionalInitContainers": [{"name": "init", "image": "i"}],
        "additionalContainers": [{"name": "side", "image": "s"}],
        "additionalVolumes": [{"name": "audit", "emptyDir": {}}],
        "additionalVolumeMounts": {"apiServer": [{"name": "audit", "mountPath": "/audit"}]},
    }
    result = pod(**{DEPLOYMENT + field: value for field, value in given.items()})
    for field in given.keys() & result.keys():
        assert result[field] == given[field]
    assert given.keys() - result.keys() == {
        "resources",
        "additionalInitContainers",
        "additionalContainers",
        "additionalVolumes",
        "additionalVolumeMounts",
    }
    assert result["initContainers"] == given["additionalInitContainers"]
    assert given["additionalVolumes"][0] in result["volumes"]
    api_server = next(item for item in result["containers"] if item["name"] == "kube-apiserver")
    assert api_server["resources"] == {"limits": {"cpu": "1"}}
    assert api_server["volumeMounts"][0] == {"name": "audit", "mountPath": "/audit"}
    assert result["containers"][0] == given["additionalContainers"][0]


def test_fields_that_are_not_set_are_not_there() -> None:
    unset = {"nodeSelector", "tolerations", "affinity", "runtimeClassName", "priorityClassName", "imagePullSecrets", "initContainers"}
    assert not unset & pod().keys()
    assert pod()["serviceAccountName"] == "default"


def test_images_of_a_registry_of_ones_own() -> None:
    """All of them, those of the addons inside the tenant cluster too."""
    wanted = tenant(
        controlPlane__deployment__registrySettings={"registry": "mirror.example"}, addons__konnectivity={"agent": {"mode": "Deployment"}}
    )
    made = [deployment(wanted, inputs()), *tenant_objects(wanted, TenantInputs("198.51.100.10", 6443, "Q0E=", "198.51.100.10"))]
    images = {
        item["image"]
        for body in made
        if body["kind"] in ("Deployment", "DaemonSet")
        for item in body["spec"]["template"]["spec"]["containers"]
    }
    assert {image.partition(":")[0] for image in images} == {
        "mirror.example/kube-apiserver",
        "mirror.example/kube-scheduler",
        "mirror.example/kube-controller-manager",
        "mirror.example/kas-network-proxy/proxy-server",
        "mirror.example/kas-network-proxy/proxy-agent",
        "mirror.example/kube-proxy",
        "mirror.example/coredns",
    }
