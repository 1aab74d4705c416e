# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module manifest against a real API server: the ladder check, run, check again, run again for every kind of change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.plugins.modules import manifest
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module
from ansible_collections.hosted.kubernetes.tests.support.stand_in import standing_in
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Tenant

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(kubeconfig: Path) -> Run:
    """Run the module; check=True for check mode."""

    def act(definition: Any = None, *, check: bool = False, **options: Any) -> dict[str, Any]:
        given = {} if definition is None else {"definition": definition}
        return run_module(manifest.main, {"kubeconfig": str(kubeconfig), **given, **options}, check=check)

    return act


@pytest.fixture
def client(kubeconfig: Path) -> Iterator[Client]:
    with connect(ConnectionOptions(kubeconfig=str(kubeconfig)), {}) as made:
        yield made


def ladder(run: Run, definition: Any, **options: Any) -> list[dict[str, Any]]:
    """Check, run, check again, run again; returns the changes of the run, which the check must have predicted exactly."""
    predicted, made, after, again = (run(definition, check=check, **options) for check in (True, False, True, False))
    assert [predicted["changed"], made["changed"], after["changed"], again["changed"]] == [made["changed"]] * 2 + [False] * 2
    assert predicted["results"] == made["results"]
    assert predicted["diff"] == made["diff"]
    assert {item["action"] for item in [*after["results"], *again["results"]]} <= {"none"}
    found: list[dict[str, Any]] = made["results"]
    return found


def config_map(namespace: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": namespace}, "data": data}


def brief(results: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(item["object"], item["action"]) for item in results]


def fields(results: list[dict[str, Any]]) -> list[tuple[str, Any, Any]]:
    return [(item["path"], item["before"], item["after"]) for result in results for item in result["fields"]]


def test_create_change_prune_delete(run: Run, client: Client, namespace: str) -> None:
    made = ladder(run, config_map(namespace, a="1", b="2"))
    assert brief(made) == [(f"ConfigMap {namespace}/a", "create")]
    assert fields(made) == [("data.a", None, "1"), ("data.b", None, "2")]

    changed = ladder(run, config_map(namespace, a="1", b="3"))
    assert brief(changed) == [(f"ConfigMap {namespace}/a", "patch")]
    assert fields(changed) == [("data.b", "2", "3")]

    assert fields(ladder(run, config_map(namespace, a="1"))) == [("data.b", "3", None)]

    gone = ladder(run, config_map(namespace), state="absent")
    assert brief(gone) == [(f"ConfigMap {namespace}/a", "delete")]
    assert client.get(resource_of("ConfigMap"), "a", namespace) is None


def test_what_others_wrote_stays_and_drift_is_mended(run: Run, client: Client, namespace: str) -> None:
    run(config_map(namespace, a="1"))
    client.apply(config_map(namespace, b="theirs"), force=False, field_manager="other")
    assert not run(config_map(namespace, a="1"))["changed"]
    client.apply(config_map(namespace, a="drift"), force=True, field_manager="kubectl")
    assert fields(ladder(run, config_map(namespace, a="1"))) == [("data.a", "drift", "1")]
    found = client.get(resource_of("ConfigMap"), "a", namespace)
    assert found is not None
    assert found["data"] == {"a": "1", "b": "theirs"}


def test_conflict_names_field_and_manager(run: Run, client: Client, namespace: str) -> None:
    client.apply(config_map(namespace, a="theirs"), force=False, field_manager="other")
    for check in (True, False):
        with pytest.raises(ModuleFailedError, match=r"field \.data\.a belongs to manager other"):
            run(config_map(namespace, a="1"), force_conflicts=False, check=check)


def deployment(namespace: str, **container: Any) -> dict[str, Any]:
    """A Deployment in spellings that the server changes: quantities, defaults, a port without protocol."""
    main = {
        "name": "main",
        "image": "registry.k8s.io/pause:3.10",
        "ports": [{"containerPort": 80}],
        "resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}, "limits": {"cpu": 1}},
        "env": [{"name": "A", "value": "1"}],
        **container,
    }
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [main], "securityContext": {}, "nodeSelector": {}}}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "a"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": namespace}, "spec": spec}


def test_spellings_of_the_server_are_no_change(run: Run, namespace: str) -> None:
    assert brief(ladder(run, deployment(namespace), wait=False)) == [(f"Deployment {namespace}/a", "create")]
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "a", "namespace": namespace},
        "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 80}], "from": [{"podSelector": {}}]}]},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a", "namespace": namespace, "labels": {}},
        "spec": {"selector": {"app": "a"}, "ports": [{"port": 80, "targetPort": 8080}, {"name": "dns", "port": 53, "protocol": "UDP"}]},
    }
    service["spec"]["ports"][0]["name"] = "http"  # type: ignore[index]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "a", "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "somebody"}],
    }
    assert {action for _unused, action in brief(ladder(run, [policy, service, role], wait=False))} == {"create"}


def test_one_field_deep_inside(run: Run, namespace: str) -> None:
    run(deployment(namespace), wait=False)
    changed = ladder(run, deployment(namespace, env=[{"name": "A", "value": "2"}, {"name": "B", "value": "3"}]), wait=False)
    paths = [path for path, _unused1, _unused2 in fields(changed)]
    assert all(path.startswith("spec.template.spec.containers[0].env") for path in paths)
    removed = ladder(run, deployment(namespace, env=[]), wait=False)
    assert [path for path, _unused1, _unused2 in fields(removed)] == ["spec.template.spec.containers[0].env"]


def crd(group: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer", "minimum": 1}}}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": spec,
    }


def widget(group: str, namespace: str | None, size: int) -> dict[str, Any]:
    metadata = {"name": "a", **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": metadata, "spec": {"size": size}}


def test_a_kind_a_namespace_and_their_objects_in_one_list(run: Run, namespace: str) -> None:
    group, new = f"{namespace}.example.com", f"{namespace}-new"
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": new}}
    objects = [widget(group, None, 1), config_map(new, a="1"), crd(group), space]
    made = ladder(run, objects, namespace=new)
    assert brief(made) == [
        (f"Namespace {new}", "create"),
        (f"CustomResourceDefinition widgets.{group}", "create"),
        (f"ConfigMap {new}/a", "create"),
        (f"Widget {new}/a", "create"),
    ]
    assert fields(ladder(run, widget(group, new, 2))) == [("spec.size", 1, 2)]
    for check in (True, False):
        with pytest.raises(ModuleFailedError, match="should be greater than or equal to 1"):
            run(widget(group, new, 0), check=check)

    listed = [widget(group, None, 1), crd(group)]
    assert brief(ladder(run, listed, namespace=new, state="absent")) == [
        (f"Widget {new}/a", "delete"),
        (f"CustomResourceDefinition widgets.{group}", "delete"),
    ]
    assert not run(listed, namespace=new, state="absent")["changed"]
    assert not run(listed, namespace="no-such-namespace", state="absent")["changed"]


def test_unchanged_objects_cost_one_read_each(run: Run, client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = [{**config_map(namespace, a="1"), "metadata": {"name": f"a{number}", "namespace": namespace}} for number in range(10)]
    run(objects)
    clients: list[Client] = []
    original = Client.__exit__

    def remember(self: Client, *error: object) -> None:
        clients.append(self)
        original(self, *error)

    monkeypatch.setattr(Client, "__exit__", remember)
    run(objects)
    assert [call.method for call in clients[0].calls] == ["GET"] * 10


def test_secrets_do_not_show(run: Run, client: Client, namespace: str) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "a", "namespace": namespace},
        "stringData": {"tls.key": "sesame", "other": "sesame"},
    }
    made = run(secret)
    assert made["changed"]
    assert "sesame" not in json.dumps(made)
    assert "c2VzYW1l" not in json.dumps(made)
    assert [item["after"] for item in made["results"][0]["fields"]] == ["(secret)", "(secret)"]
    assert not run(secret)["changed"]
    secret["stringData"] = {"other": "changed"}
    for check in (True, False):
        changed = run(secret, check=check)
        assert [(item["path"], item["before"], item["after"]) for item in changed["results"][0]["fields"]] == [
            ("data.other", "(secret)", "(secret)"),
            ('data."tls.key"', "(secret)", None),
        ]
        assert "c2VzYW1l" not in json.dumps(changed)
    del secret["stringData"]
    assert "Y2hhbmdlZA" not in json.dumps(run(secret))
    assert client.get(resource_of("Secret"), "a", namespace) is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"definition": "kind: Secret\nstringData: {a: sesame"}, r"definition line \d: not YAML"),
        ({"definition": "kind: Secret\nstringData: {a: *sesame}"}, "definition line 2: not YAML: .*alias"),
        ({"definition": "kind: Secret\nstringData: {a: !sesame x}"}, "definition line 2: not YAML: .*tag"),
        ({"definition": "kind: Secret\nstringData: {a: sesame, b: 2026-13-45}"}, "definition: not YAML"),
        ({"definition": "kind: Secret\nstringData: {a: sesame}"}, "document 1: apiVersion is missing"),
        ({"definition": {"stringData": {"a": "sesame"}}}, "document 1: apiVersion is missing"),
        ({"definition": [{"kind": "Secret", "stringData": {"a": "sesame"}}]}, "document 1: apiVersion is missing"),
        ({"definition": "stringData: {a: sesame}", "src": ["/no/such/file"]}, "mutually exclusive"),
        ({"definition": {"kind": "Secret", "data": {"a": "sesame"}}, "wait_timeout": "soon"}, "wait_timeout"),
        ({"definition": {"kind": "Secret", "data": {"a": "sesame"}}, "defintion": {}}, "Unsupported parameters"),
        ({"tenants": [{"name": "a", "definition": "kind: Secret\nstringData: {a: *sesame}"}]}, "tenants: a: definition line 2: not YAML"),
        (
            {"tenants": [{"name": "a", "definition": [{"kind": "Secret", "stringData": {"a": "sesame"}}]}]},
            "tenants: a: objects: document 1",
        ),
        ({"tenants": [{"definition": {"kind": "Secret", "data": {"a": "sesame"}}}]}, "missing required arguments: name"),
        ({"tenants": [{"name": "a", "defintion": {"kind": "Secret", "data": {"a": "sesame"}}}]}, "Unsupported parameters"),
        ({"tenants": "sesame"}, "dictionary requested"),
    ],
)
def test_secrets_do_not_show_in_failures(run: Run, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ModuleFailedError, match=message) as error:
        run(**arguments)
    assert {"definition", "tenants"} & set(error.value.result["invocation"]["module_args"])
    assert "sesame" not in json.dumps(error.value.result)


def test_the_rest_of_the_options_shows(run: Run, namespace: str) -> None:
    shown = run(config_map(namespace, a="1"))["invocation"]["module_args"]
    assert shown["definition"] == config_map(namespace, a="1")
    assert shown["wait_timeout"] == 300


def test_files_with_many_documents(run: Run, namespace: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.json"
    first.write_text("---\n" + yaml.safe_dump(config_map(namespace, a="1")) + "---\n---\n# nothing here\n")
    second.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [{**config_map(namespace), "metadata": {"name": "b"}}]}))
    made = run(src=[str(first), str(second)], namespace=namespace)
    assert brief(made["results"]) == [(f"ConfigMap {namespace}/a", "create"), (f"ConfigMap {namespace}/b", "create")]
    assert not run(src=[str(first), str(second)], namespace=namespace)["changed"]


def test_a_daemon_set_is_not_waited_for_on_lost_nodes(run: Run, client: Client, namespace: str) -> None:
    """The test does what a kubelet, which stopped later, and the controllers have done."""
    node = f"lost-{namespace}"
    ready = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
    template: Json = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    daemon_set = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "a", "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": template},
    }
    pod_spec = {**template["spec"], "nodeName": node, "automountServiceAccountToken": False}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": namespace, **template["metadata"]}, "spec": pod_spec}
    client.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
    try:
        run(daemon_set, wait=False)
        client.create(pod)
        counts = {"observedGeneration": 1, "desiredNumberScheduled": 1, "currentNumberScheduled": 1, "numberMisscheduled": 0}
        status = {**counts, "numberReady": 0, "updatedNumberScheduled": 1}
        client.merge_patch(ObjectRef("apps/v1", "DaemonSet", namespace, "a"), {"status": status}, subresource="status")
        with pytest.raises(ModuleFailedError, match=f"DaemonSet {namespace}/a: not ready after 1 s: 0 of 1 pods are available"):
            run(daemon_set, wait_timeout=1)
        client.merge_patch(ObjectRef("v1", "Node", "", node), {"status": {"conditions": [ready]}}, subresource="status")
        again = run(daemon_set, wait_timeout=1)
        assert not again["changed"]
        assert f"DaemonSet {namespace}/a: is not waited for on nodes that are not ready: {node}; look at these hosts" in str(
            again["warnings"]
        )
    finally:
        client.delete(resource_of("Node"), node)


def test_waiting_says_what_is_missing(run: Run, namespace: str) -> None:
    with pytest.raises(ModuleFailedError, match=f"Deployment {namespace}/a: not ready after 1 s: the controller has not seen"):
        run(deployment(namespace), wait_timeout=1)
    stuck = config_map(namespace, a="1")
    stuck["metadata"]["finalizers"] = ["example.com/never"]
    run(stuck)
    with pytest.raises(ModuleFailedError, match=r"its deletion waits for finalizers example\.com/never"):
        run(stuck, state="absent", wait_timeout=1)
    assert not run(stuck, state="absent", wait=False)["changed"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"definition": {"kind": "ConfigMap"}}, "document 1: apiVersion is missing"),
        ({"definition": "a: [1"}, r"definition line \d: not YAML"),
        ({"definition": {**config_map(""), "metadata": {"name": "a"}}}, "ConfigMap a names no namespace; write metadata.namespace or set"),
        ({"definition": {"apiVersion": "v9", "kind": "Thing", "metadata": {"name": "a"}}}, "the server knows no kind Thing in v9"),
        ({"definition": config_map("no-such-namespace")}, 'namespaces "no-such-namespace" not found'),
        ({"definition": {**config_map("default"), "dta": {}}}, r"\.dta: field not declared in schema"),
        ({"src": ["/no/such/file"]}, "src /no/such/file cannot be read: No such file or directory"),
        ({}, "one of the following is required: definition, src, tenants"),
        ({"definition": {}, "kubeconfig": "", "host": ""}, "is missing"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_refused(run: Run, arguments: dict[str, Any], message: str, check: bool) -> None:
    with pytest.raises(ModuleFailedError, match=message):
        run(check=check, **arguments)


def test_connection_problems_are_told(kubeconfig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("K8S_AUTH_KUBECONFIG", "K8S_AUTH_HOST"):
        monkeypatch.delenv(variable, raising=False)
    definition = config_map("default", a="1")
    with pytest.raises(ModuleFailedError, match="no management cluster given: set the option kubeconfig"):
        run_module(manifest.main, {"definition": definition})
    elsewhere = yaml.safe_load(kubeconfig.read_text())
    elsewhere["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "config").write_text(yaml.safe_dump(elsewhere))
    with pytest.raises(ModuleFailedError, match=r"connection to 127\.0\.0\.1:1 refused; is the server up\?"):
        run_module(manifest.main, {"definition": definition, "kubeconfig": str(tmp_path / "config")})


# In tenant clusters


@pytest.fixture(scope="module")
def fleet(bundle: Path, ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Tenant]]:
    """Tenants whose API servers one other stands in for; t3 sleeps."""
    first = ground.tenant("t0")
    tenants = [first, *(ground.tenant(f"t{number}", first.namespace) for number in range(1, 4))]
    for tenant in tenants:
        tenant.run()
    with standing_in(bundle, tmp_path_factory.mktemp("stand-in"), *tenants[:3]):
        yield tenants
    for tenant in tenants:
        tenant.absent()


def object_of(tenant: Tenant, name: str = "a", **data: str) -> Json:
    """An object of its own for each tenant, since one API server stands in for all."""
    metadata = {"name": f"{name}-{tenant.name}", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def entry(tenant: Tenant, *objects: Json) -> Json:
    return {"name": tenant.name, "namespace": tenant.namespace, "definition": list(objects)}


def stuck_in(tenant: Tenant) -> Json:
    """A Deployment that never becomes ready, since no controller runs."""
    found = deployment("default")
    found["metadata"]["name"] = f"stuck-{tenant.name}"
    return found


def test_objects_of_their_own_in_several_tenants(run: Run, fleet: list[Tenant]) -> None:
    tenants = [entry(tenant, object_of(tenant, a="1"), object_of(tenant, "b")) for tenant in fleet[:3]]
    predicted, made, after, again = (run(tenants=tenants, check=check) for check in (True, False, True, False))
    assert [item["changed"] for item in (predicted, made, after, again)] == [True, True, False, False]
    assert predicted["tenants"] == made["tenants"]
    assert predicted["diff"] == made["diff"]
    assert [item["tenant"] for item in made["tenants"]] == [tenant.key for tenant in fleet[:3]]
    for item, tenant in zip(made["tenants"], fleet, strict=False):
        names = [f"ConfigMap default/{name}-{tenant.name}" for name in "ab"]
        assert brief(item["results"]) == [(name, "create") for name in names]
        assert (item["changed"], item["error"]) == (True, "")
    assert made["diff"][0]["before_header"] == f"{fleet[0].key} ConfigMap default/a-t0 (create)"

    tenants[1] = entry(fleet[1], object_of(fleet[1], a="2"), object_of(fleet[1], "b"))
    assert [item["changed"] for item in run(tenants=tenants)["tenants"]] == [False, True, False]

    gone = run(tenants=tenants, state="absent")
    assert [brief(item["results"])[0] for item in gone["tenants"]] == [
        (f"ConfigMap default/b-{tenant.name}", "delete") for tenant in fleet[:3]
    ]
    assert not run(tenants=tenants, state="absent")["changed"]


def test_the_same_objects_in_several_tenants(run: Run, fleet: list[Tenant]) -> None:
    own = object_of(fleet[1], "own")
    tenants = [{"name": "t0"}, {"name": "t1", "definition": own}]
    made = run(object_of(fleet[0], "common"), tenants=tenants, tenant_namespace=fleet[0].namespace)
    assert [brief(item["results"])[0][0] for item in made["tenants"]] == ["ConfigMap default/common-t0", "ConfigMap default/own-t1"]


def test_several_tenants_cost_two_lists_in_their_management_cluster(
    run: Run, fleet: list[Tenant], kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    original = Client.__exit__

    def remember(self: Client, *error: object) -> None:
        management = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        calls.extend(call.path.split("?")[0] for call in self.calls if self.access.server == management)
        original(self, *error)

    monkeypatch.setattr(Client, "__exit__", remember)
    run(tenants=[entry(tenant, object_of(tenant)) for tenant in fleet[:3]])
    where = f"namespaces/{fleet[0].namespace}"
    assert calls == [f"/apis/kamaji.clastix.io/v1alpha1/{where}/tenantcontrolplanes", f"/api/v1/{where}/secrets"]


def test_tenants_that_fail_do_not_hold_up_the_others(run: Run, fleet: list[Tenant]) -> None:
    namespace, never = fleet[0].namespace, {"name": "never-was", "namespace": fleet[0].namespace, "definition": []}
    tenants = [entry(fleet[3], object_of(fleet[3])), never, entry(fleet[0], object_of(fleet[0]), stuck_in(fleet[0]))]
    tenants += [entry(fleet[1], stuck_in(fleet[1]), object_of(fleet[1], "late"), {**object_of(fleet[1], "z"), "dta": {}})]
    tenants += [entry(fleet[2], object_of(fleet[2], "well"))]
    with pytest.raises(ModuleFailedError) as error:
        run(tenants=tenants, wait_timeout=1)
    result = error.value.result
    asleep, absent, stuck, refused, well = result["tenants"]
    assert asleep["error"].startswith(f"TenantControlPlane {namespace}/t3: sleeps")
    assert absent["error"].startswith(f"TenantControlPlane {namespace}/never-was: does not exist in ")
    assert stuck["error"].startswith(f"TenantControlPlane {namespace}/t0: Deployment default/stuck-t0: not ready after ")
    assert ".dta: field not declared in schema" in refused["error"]
    assert (well["error"], well["changed"], result["changed"]) == ("", True, True)
    # What was done before is told of those that failed, too.
    assert ("ConfigMap default/late-t1", "create") in brief(refused["results"])
    assert ("Deployment default/stuck-t0", "create") in brief(stuck["results"])
    assert result["msg"] == "; ".join(item["error"] for item in result["tenants"] if item["error"])


def test_a_tenant_that_is_not_waited_for(run: Run, fleet: list[Tenant]) -> None:
    assert run(tenants=[entry(fleet[1], stuck_in(fleet[1]))], wait=False)["tenants"][0]["error"] == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tenants": [{"name": "a"}]}, "tenants: a has no definition; give it one, or give definition or src for all"),
        ({"tenants": [{"name": "a"}, {"name": "a"}], "definition": []}, "tenants names default/a more than once; leave one entry"),
        ({"tenants": [], "tenant": "a"}, "mutually exclusive: tenant|tenants"),
    ],
)
def test_tenants_refused(run: Run, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ModuleFailedError, match=message):
        run(**arguments)
