# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module kubeconfig_generator over real tenants that sleep: their authorities, endpoints and resources are the real ones."""

from __future__ import annotations

import base64
import json
import multiprocessing
import os
import secrets
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, client_from_kubeconfig, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.kubeconfig import read_kubeconfig_client
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile import generators
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.generators import Request, Settings
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.tenant_user import expires
from ansible_collections.hosted.kubernetes.plugins.modules import kubeconfig_generator
from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer
from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module
from ansible_collections.hosted.kubernetes.tests.support.playbooks import PlaybookRun, run_playbook, run_role
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Tenant, later

KIND: Final = "KubeconfigGenerator"
MONTH_S: Final = 30 * 24 * 3600


@dataclass(frozen=True)
class Generator:
    """One generator of a test, which selects the tenants of one namespace, and calls of the module about it."""

    ground: Ground
    namespace: str
    name: str = field(default_factory=lambda: f"viewer-{secrets.token_hex(3)}")

    def definition(self, **spec: Any) -> Json:
        selector = {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}}
        given = {"namespaceSelector": selector, "user": {"stringValue": "robot"}, "groups": [{"stringValue": "viewers"}], **spec}
        return {"metadata": {"name": self.name}, "spec": given}

    def run(self, *, check: bool = False, all_of_them: bool = False, **options: Any) -> Json:
        """Run the module: about this generator as it is stored, unless a definition is given. Raises ModuleFailedError."""
        about = {} if "definition" in options or all_of_them else {"name": self.name}
        return run_module(kubeconfig_generator.main, {"kubeconfig": str(self.ground.kubeconfig), **about, **options}, check=check)

    def later(self, seconds: float) -> Json:
        """Keep it with a clock that is ahead."""
        return generators.run(self.ground.client, Request(name=self.name), Settings(now=later(seconds)))

    def live(self) -> Json | None:
        return self.ground.client.get(resource_of(KIND), self.name)

    def status(self) -> Json:
        status: Json = (self.live() or {})["status"]
        return status

    def patch(self, body: Json) -> None:
        self.ground.client.merge_patch(self.ref, body, field_manager="somebody")

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef(KAMAJI_API_VERSION, KIND, "", self.name)

    def secret(self, tenant: Tenant) -> str:
        return f"{tenant.name}-{self.name}"

    def value(self, tenant: Tenant) -> bytes:
        return base64.b64decode(tenant.live("Secret", self.secret(tenant))["data"]["value"])

    def secrets(self) -> list[str]:
        """Names of all Secrets it keeps, wherever they are."""
        listed = self.ground.client.list(resource_of("Secret"), label_selector=f"{names.LABEL_MANAGED_BY}={self.name}").items
        return sorted(item["metadata"]["name"] for item in listed)


def summary(result: Json) -> list[tuple[str, str]]:
    """(object without its namespace, action) of each change."""
    changes = [change for item in result["generators"] for change in item["plan"]]
    return [
        (f"{change['object'].partition(' ')[0]} {change['object'].rpartition('/')[2].rpartition(' ')[2]}", change["action"])
        for change in changes
    ]


def ladder(generator: Generator, **options: Any) -> Json:
    """Check, run, run, check: changed, changed, same, same; the first check says what the run does."""
    predicted, made, again, after = (generator.run(check=check, **options) for check in (True, False, False, True))
    assert [item["changed"] for item in (predicted, made, again, after)] == [True, True, False, False]
    for part in ("plan", "resources", "available", "errors", "waiting"):
        assert [item[part] for item in predicted["generators"]] == [item[part] for item in made["generators"]], part
    assert predicted["diff"] == made["diff"]
    return made


@pytest.fixture(scope="module")
def pair(ground: Ground) -> Iterator[tuple[Tenant, Tenant]]:
    """Two tenants of one namespace that sleep; red has the label team."""
    red = ground.tenant("red")
    blue = ground.tenant("blue", red.namespace)
    definitions = [red.definition(), blue.definition()]
    definitions[0]["metadata"]["labels"] = {"team": "red"}
    red.run(definitions)
    yield red, blue
    red.run(definitions, absent=True)


@pytest.fixture
def generator(ground: Ground, pair: tuple[Tenant, Tenant]) -> Iterator[Generator]:
    """A generator that does not exist yet."""
    made = Generator(ground, pair[0].namespace)
    yield made
    made.run(state="absent")
    assert (made.live(), made.secrets()) == (None, [])


# The life of a generator


def test_created(generator: Generator, pair: tuple[Tenant, Tenant]) -> None:
    made = ladder(generator, definition=generator.definition())
    red, blue = (generator.secret(tenant) for tenant in pair)
    assert summary(made) == [(f"KubeconfigGenerator {generator.name}", "create"), (f"Secret {blue}", "issue"), (f"Secret {red}", "issue")]
    secret = pair[0].live("Secret", red)
    owner = secret["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"]) == ("TenantControlPlane", pair[0].live("TenantControlPlane")["metadata"]["uid"])
    assert {
        names.LABEL_MANAGED_BY: generator.name,
        names.LABEL_MANAGED_FOR: "red",
        names.LABEL_LIFECYCLE: "kubeconfig",
    }.items() <= secret["metadata"]["labels"].items()
    server, _ca, _pair = read_kubeconfig_client(generator.value(pair[0]))
    assert server == f"https://red.{generator.namespace}.svc:6443"
    left = expires(generator.value(pair[0])) - datetime.now(UTC)
    assert timedelta(days=29) < left < timedelta(days=31)
    status = generator.status()
    assert (status["resources"], status["availableResources"], status["errors"]) == (2, 2, [])
    assert status["conditions"][0]["status"] == "True"
    assert status["observedGeneration"] == 1


def test_made_with_kubectl(generator: Generator) -> None:
    body = {"apiVersion": KAMAJI_API_VERSION, "kind": KIND, **generator.definition()}
    generator.ground.client.create(body, field_manager="kubectl-create")
    made = ladder(generator)
    assert [action for _object, action in summary(made)] == ["patch", "issue", "issue"]
    assert (generator.live() or {})["spec"] == body["spec"]
    assert (generator.live() or {})["metadata"]["finalizers"] == [names.GENERATOR_FINALIZER]


@pytest.mark.parametrize("administrator", ["admin.conf", "super-admin.svc"])
def test_the_endpoint_is_that_of_the_administrators_kubeconfig(
    generator: Generator, pair: tuple[Tenant, Tenant], administrator: str
) -> None:
    ladder(generator, definition=generator.definition(controlPlaneEndpointFrom=administrator))
    data = pair[0].live("Secret", f"red{names.ADMIN_KUBECONFIG}")["data"]
    assert read_kubeconfig_client(generator.value(pair[0]))[:2] == read_kubeconfig_client(base64.b64decode(data[administrator]))[:2]


def test_changed_definition(generator: Generator, pair: tuple[Tenant, Tenant]) -> None:
    generator.run(definition=generator.definition())
    before = generator.value(pair[0])
    changes: list[tuple[Json, list[str]]] = [
        ({"groups": [{"stringValue": "viewers"}, {"fromDefinition": "metadata.name"}]}, ["patch", "issue", "issue"]),
        ({"user": {"fromDefinition": "metadata.name"}}, ["patch", "issue", "issue"]),
        ({"controlPlaneEndpointFrom": "admin.conf"}, ["patch", "issue", "issue"]),
        ({"expirationSeconds": 3600}, ["patch", "issue", "issue"]),
        ({"tenantControlPlaneSelector": {"matchLabels": {"team": "red"}}}, ["patch", "delete"]),
        ({"tenantControlPlaneSelector": {}}, ["patch", "issue"]),
    ]
    spec: Json = {}
    for change, actions in changes:
        spec = {**spec, **change}
        made = ladder(generator, definition=generator.definition(**spec))
        assert [action for _object, action in summary(made)] == actions, change
    assert generator.value(pair[0]) != before
    assert generator.status()["observedGeneration"] == len(changes) + 1


def test_selectors(generator: Generator, pair: tuple[Tenant, Tenant]) -> None:
    red, blue = (generator.secret(tenant) for tenant in pair)
    for operator, values, wanted in (
        ("In", ["red"], [red]),
        ("NotIn", ["red"], [blue]),
        ("Exists", [], [red]),
        ("DoesNotExist", [], [blue]),
    ):
        expression = {"key": "team", "operator": operator, **({"values": values} if values else {})}
        ladder(generator, definition=generator.definition(tenantControlPlaneSelector={"matchExpressions": [expression]}))
        assert generator.secrets() == wanted, operator
    pair[1].patch("TenantControlPlane", {"metadata": {"labels": {"team": "blue"}}})
    made = ladder(generator)
    assert summary(made) == [(f"Secret {blue}", "delete")], "the tenant has the label now"
    pair[1].patch("TenantControlPlane", {"metadata": {"labels": {"team": None}}})
    nowhere = generator.definition(namespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": "nowhere"}})
    ladder(generator, definition=generator.definition())
    ladder(generator, definition=nowhere)
    assert generator.secrets() == []


# Renewal


def test_renewal_in_time(generator: Generator, pair: tuple[Tenant, Tenant]) -> None:
    generator.run(definition=generator.definition())
    before = generator.value(pair[0])
    assert not generator.later(MONTH_S * 0.6)["changed"]
    assert generator.value(pair[0]) == before
    assert [action for _object, action in summary(generator.later(MONTH_S * 0.7))] == ["issue", "issue"]
    assert expires(generator.value(pair[0])) > expires(before) + timedelta(days=20)


def test_rotation_on_demand(generator: Generator, pair: tuple[Tenant, Tenant]) -> None:
    generator.run(definition=generator.definition())
    before = generator.value(pair[0])
    pair[0].patch(
        "Secret", {"metadata": {"annotations": {names.ANNOTATION_ROTATE: "", "example.com/mine": "stays"}}}, generator.secret(pair[0])
    )
    made = ladder(generator)
    assert [change["reason"] for change in made["generators"][0]["plan"]] == ["rotation was asked for"]
    assert generator.value(pair[0]) != before
    annotations = pair[0].live("Secret", generator.secret(pair[0]))["metadata"]["annotations"]
    assert datetime.fromisoformat(annotations[names.ANNOTATION_ROTATE]) < datetime.now(UTC)
    assert annotations["example.com/mine"] == "stays"


def test_what_somebody_changes_is_mended(generator: Generator, pair: tuple[Tenant, Tenant]) -> None:
    generator.run(definition=generator.definition())
    red, name = pair[0], generator.secret(pair[0])
    for body, action in (
        ({"data": {"value": base64.b64encode(b"broken").decode()}}, "issue"),
        ({"data": {"value": None}}, "issue"),
        ({"metadata": {"labels": {names.LABEL_MANAGED_BY: None}}}, "patch"),
        ({"metadata": {"labels": dict.fromkeys((names.LABEL_MANAGED_BY, names.LABEL_MANAGED_FOR, names.LABEL_NAME))}}, "patch"),
        ({"metadata": {"ownerReferences": None}}, "patch"),
        ({"metadata": {"annotations": {names.ANNOTATION_CHECKSUM: "wrong"}}}, "patch"),
    ):
        red.patch("Secret", body, name)
        assert summary(ladder(generator)) == [(f"Secret {name}", action)], body
    red.delete("Secret", name)
    assert summary(ladder(generator)) == [(f"Secret {name}", "issue")]
    generator.patch({"metadata": {"finalizers": None}})
    assert summary(ladder(generator)) == [(f"KubeconfigGenerator {generator.name}", "patch")]


def test_a_selector_somebody_changed_is_a_conflict(generator: Generator) -> None:
    generator.run(definition=generator.definition())
    generator.patch({"spec": {"namespaceSelector": {"matchLabels": {"a": "b"}}}})
    with pytest.raises(ModuleFailedError, match=r"field \.spec\.namespaceSelector belongs to manager somebody; leave that field to it"):
        generator.run(definition=generator.definition())


def test_a_tenant_that_was_made_anew(generator: Generator, ground: Ground) -> None:
    """The same name and a new authority: the old kubeconfig went with the old tenant."""
    tenant = ground.tenant("again")
    generator = Generator(ground, tenant.namespace)
    tenant.run()
    generator.run(definition=generator.definition())
    before = generator.value(tenant)
    assert tenant.absent().changed
    assert tenant.left() == []
    assert generator.secrets() == [], "it goes with its tenant"
    assert not generator.run(check=True)["changed"]
    tenant.run()
    assert summary(ladder(generator)) == [(f"Secret {generator.secret(tenant)}", "issue")]
    assert read_kubeconfig_client(generator.value(tenant))[1] != read_kubeconfig_client(before)[1]
    tenant.absent()
    generator.run(state="absent")


# Deletion


@pytest.mark.parametrize("by", ["name", "definition"])
def test_absent(generator: Generator, by: str) -> None:
    generator.run(definition=generator.definition())
    how = {"definition": generator.definition()} if by == "definition" else {}
    made = ladder(generator, state="absent", **how)
    assert [action for _object, action in summary(made)] == ["delete", "delete", "delete", "patch"]
    assert (generator.live(), generator.secrets()) == (None, [])


def test_deleted_with_kubectl(generator: Generator) -> None:
    """It stays, marked, until its credentials are gone; the run for all sees to that."""
    generator.run(definition=generator.definition())
    generator.ground.client.delete(resource_of(KIND), generator.name)
    assert (generator.live() or {})["metadata"]["deletionTimestamp"]
    with pytest.raises(ModuleFailedError, match="is being deleted; finish that with state absent, then create it again"):
        generator.run(definition=generator.definition())
    made = ladder(generator, all_of_them=True)
    assert [action for _object, action in summary(made)] == ["delete", "delete", "patch"]
    assert (generator.live(), generator.secrets()) == (None, [])


def test_deleted_past_its_finalizer(generator: Generator) -> None:
    generator.run(definition=generator.definition())
    generator.ground.client.delete(resource_of(KIND), generator.name)
    generator.patch({"metadata": {"finalizers": None}})
    assert (generator.live(), len(generator.secrets())) == (None, 2)
    made = ladder(generator, all_of_them=True)
    assert [action for _object, action in summary(made)] == ["delete", "delete"]
    assert generator.secrets() == []


def test_a_finalizer_of_somebody_else_holds_it(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generators, "_GONE_WITHIN_S", 1)
    generator.run(definition=generator.definition())
    generator.patch({"metadata": {"finalizers": [names.GENERATOR_FINALIZER, "example.com/hold"]}})
    with pytest.raises(ModuleFailedError, match=r"held by finalizers example\.com/hold"):
        generator.run(state="absent")
    assert generator.secrets() == []
    generator.patch({"metadata": {"finalizers": None}})


# What is refused, and what is left alone


def test_a_foreign_secret_is_not_touched(generator: Generator, pair: tuple[Tenant, Tenant]) -> None:
    mine = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": generator.secret(pair[0]), "namespace": generator.namespace}}
    mine["data"] = {"value": base64.b64encode(b"mine").decode()}
    generator.ground.client.create(mine)
    for check in (True, False):
        with pytest.raises(ModuleFailedError, match="exists and is not kept by this generator") as failure:
            generator.run(check=check, definition=generator.definition())
        (entry,) = failure.value.result["generators"]
        assert (entry["resources"], entry["available"]) == (2, 1)
    assert generator.value(pair[0]) == b"mine"
    assert generator.secrets() == [generator.secret(pair[1])], "the other tenant has its own"
    assert generator.status()["errors"][0]["resource"] == pair[0].key
    assert generator.status()["conditions"][0]["status"] == "False"
    generator.run(state="absent")
    assert generator.value(pair[0]) == b"mine"
    pair[0].delete("Secret", generator.secret(pair[0]))


def test_a_path_that_one_tenant_lacks(generator: Generator, pair: tuple[Tenant, Tenant]) -> None:
    definition = generator.definition(user={"fromDefinition": "metadata.labels.team"})
    with pytest.raises(
        ModuleFailedError, match=rf"{pair[1].key}: spec.user.fromDefinition: the TenantControlPlane has nothing there"
    ) as failure:
        generator.run(definition=definition)
    assert failure.value.result["changed"]
    assert generator.secrets() == [generator.secret(pair[0])]
    pair[1].patch("TenantControlPlane", {"metadata": {"labels": {"team": "blue"}}})
    assert summary(ladder(generator)) == [(f"Secret {generator.secret(pair[1])}", "issue")]
    pair[1].patch("TenantControlPlane", {"metadata": {"labels": {"team": None}}})


def test_a_tenant_cannot_make_itself_a_part_of_kubernetes(generator: Generator, pair: tuple[Tenant, Tenant]) -> None:
    pair[1].patch("TenantControlPlane", {"metadata": {"annotations": {"group": "system:masters"}}})
    with pytest.raises(ModuleFailedError, match='names that begin with "system:" are Kubernetes\' own'):
        generator.run(
            definition=generator.definition(
                groups=[{"fromDefinition": "metadata.annotations.group"}],
                tenantControlPlaneSelector={"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]},
            )
        )
    pair[1].patch("TenantControlPlane", {"metadata": {"annotations": {"group": None}}})
    assert generator.secrets() == []


def test_system_masters_takes_a_literal_and_is_warned_of(generator: Generator) -> None:
    made = ladder(generator, definition=generator.definition(groups=[{"stringValue": "system:masters"}]))
    assert "which RBAC can neither limit nor revoke" in str(made["warnings"])


def test_a_tenant_that_nobody_has_made_yet(generator: Generator, tenant: Tenant) -> None:
    client = tenant.ground.client
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": tenant.namespace}})
    client.create(tenant.definition())
    young = Generator(tenant.ground, tenant.namespace, generator.name)
    made = young.run(definition=young.definition())
    assert made["generators"][0]["waiting"] == [{"tenant": tenant.key, "message": "has no certificate authority yet"}]
    assert f"no kubeconfig for {tenant.key} has no certificate authority yet" in str(made["warnings"])
    tenant.run()
    assert summary(ladder(young)) == [(f"Secret {young.secret(tenant)}", "issue")]
    tenant.absent()


def test_paused(generator: Generator, pair: tuple[Tenant, Tenant]) -> None:
    generator.run(definition=generator.definition())
    pair[0].delete("Secret", generator.secret(pair[0]))
    generator.patch({"metadata": {"annotations": {names.ANNOTATION_PAUSED: "true"}}})
    for check in (True, False):
        with pytest.raises(ModuleFailedError, match=r"is paused \(annotation kamaji.clastix.io/paused\); remove the annotation"):
            generator.run(check=check)
        found = generator.run(check=check, all_of_them=True)
        assert not found["changed"]
        assert "is paused" in str(found["warnings"])
    generator.patch({"metadata": {"annotations": {names.ANNOTATION_PAUSED: None}}})
    assert ladder(generator)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "never-was"}, "KubeconfigGenerator never-was does not exist; give its definition to create it"),
        ({"state": "absent"}, "name is missing; name the KubeconfigGenerator to delete"),
        ({"name": "ca"}, 'name "ca" would give its Secrets the names of those that tenant control planes have themselves'),
        ({"definition": {"metadata": {"name": "a"}, "spec": {"user": {}}}}, "KubeconfigGenerator a: spec.user needs exactly one of"),
        ({"definition": {"metadata": {"name": "a"}}}, "KubeconfigGenerator a: spec is missing"),
        ({"definition": {}}, "metadata.name is missing"),
        ({"definition": {}, "name": "a"}, "mutually exclusive: definition|name"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_refused(ground: Ground, options: Json, message: str, check: bool) -> None:
    with pytest.raises(ModuleFailedError) as failure:
        run_module(kubeconfig_generator.main, {"kubeconfig": str(ground.kubeconfig), **options}, check=check)
    assert message in failure.value.result["msg"]


def test_nothing_secret_shows(generator: Generator, pair: tuple[Tenant, Tenant]) -> None:
    results = [
        generator.run(definition=generator.definition()),
        generator.run(definition=generator.definition(user={"stringValue": "joe"})),
    ]
    text = json.dumps([*results, generator.live()])
    lines = [line.split(": ")[1] for line in generator.value(pair[0]).decode().splitlines() if "client-" in line]
    assert len(lines) == 2
    assert [line for line in lines if line in text] == []
    assert "PRIVATE" not in text


# Cost, competition, death


def calls_of(ground: Ground, request: Request, *, check: bool = False) -> list[str]:
    """Method and kind of each call one run makes, pages of one list as one."""
    before = {id(item) for item in ground.client.calls}
    generators.run(ground.client, request, Settings(check=check))
    made = [item for item in ground.client.calls if id(item) not in before and "continue=" not in item.path]
    return sorted(f"{item.method} {item.path.partition('?')[0].rpartition('/')[2]}" for item in made)


LISTS: Final = ["GET kubeconfiggenerators", "GET namespaces", "GET secrets", "GET secrets", "GET tenantcontrolplanes"]


@pytest.mark.long
def test_looking_costs_five_lists_for_any_number_of_tenants(ground: Ground) -> None:
    first = ground.tenant("tenant-0")
    tenants = [first, *(ground.tenant(f"tenant-{number}", first.namespace) for number in range(1, 20))]
    first.run([tenant.definition() for tenant in tenants])
    generator = Generator(ground, first.namespace)
    generator.run(definition=generator.definition())
    assert len(generator.secrets()) == 20
    for check in (True, False):
        assert calls_of(ground, Request(name=generator.name), check=check) == LISTS
        assert calls_of(ground, Request(), check=check) == LISTS
    victim = tenants[7]
    victim.delete("Secret", generator.secret(victim))
    name = generator.secret(victim)
    # Looked for by name, the authority read, made; then the status of the generator.
    assert calls_of(ground, Request(name=generator.name)) == sorted(
        [*LISTS, f"GET {name}", f"GET {victim.name}-ca", "POST secrets", "PATCH status"]
    )
    victim.patch("Secret", {"metadata": {"annotations": {"example.com/a": "b"}}}, name)
    assert calls_of(ground, Request(name=generator.name)) == sorted([*LISTS, f"GET {name}", f"GET {victim.name}-ca", "PATCH status"])
    generator.run(state="absent")
    first.run([tenant.definition() for tenant in tenants], absent=True)


def test_somebody_who_is_faster(generator: Generator, pair: tuple[Tenant, Tenant], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs at once: the slower one takes what the faster one made."""
    client = generator.ground.client
    create, name = client.create, generator.secret(pair[0])

    def slow(obj: Json, **options: Any) -> Json:
        made = create(obj, **options)
        return create(obj, **options) if obj["metadata"]["name"] == name else made  # the second of two that want the same

    monkeypatch.setattr(client, "create", slow)
    definition = {"apiVersion": KAMAJI_API_VERSION, "kind": KIND, **generator.definition()}
    result = generators.run(client, Request(definition=definition), Settings())
    assert [action for _object, action in summary(result)] == ["create", "issue"], "one Secret was somebody else's work"
    monkeypatch.undo()
    assert not generator.run()["changed"]
    assert len(generator.secrets()) == 2
    assert generator.status()["availableResources"] == 2


def test_somebody_who_never_stops(generator: Generator, pair: tuple[Tenant, Tenant], monkeypatch: pytest.MonkeyPatch) -> None:
    generator.run(definition=generator.definition(tenantControlPlaneSelector={"matchLabels": {"team": "red"}}))
    client, red = generator.ground.client, pair[0]
    red.patch("Secret", {"data": {"value": None}}, generator.secret(red))
    patch = client.merge_patch

    def never(ref: ObjectRef, body: Json, **options: Any) -> Json:
        if ref.kind == "Secret":
            patch(ref, {"metadata": {"annotations": {"example.com/at": secrets.token_hex(4)}}}, field_manager="somebody")
        return patch(ref, body, **options)

    monkeypatch.setattr(client, "merge_patch", never)
    with pytest.raises(
        HostedKubernetesError, match=f"{red.key}: Secret {red.namespace}/{generator.secret(red)} does not stay as it is made"
    ):
        generators.run(client, Request(name=generator.name), Settings())
    monkeypatch.undo()


def _call_and_die(kubeconfig: str, request: Request, number: int) -> None:
    def die(count: int) -> None:
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    with connect(ConnectionOptions(kubeconfig=kubeconfig)) as client:
        generators.run(client, request, Settings(after_change=die))


def die_after(generator: Generator, number: int, request: Request) -> None:
    """Make a call in a process of its own that is killed right after change `number`."""
    os.environ["PYTHONPATH"] = str(COLLECTION.parents[2])
    process = multiprocessing.get_context("spawn").Process(target=_call_and_die, args=(str(generator.ground.kubeconfig), request, number))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("number", [1, 2, 3])
def test_killed_while_it_is_made(generator: Generator, number: int) -> None:
    die_after(generator, number, Request(definition=generator.definition()))
    rest = generator.run(definition=generator.definition())
    assert len(summary(rest)) <= 3 - number
    assert not generator.run(definition=generator.definition(), check=True)["changed"]
    assert len(generator.secrets()) == 2
    assert generator.status()["availableResources"] == 2


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_killed_while_it_is_deleted(generator: Generator, number: int) -> None:
    generator.run(definition=generator.definition())
    die_after(generator, number, Request(name=generator.name, absent=True))
    rest = generator.run(all_of_them=True)
    assert len(summary(rest)) <= 4 - number
    assert (generator.live(), generator.secrets()) == (None, [])


# The kubeconfig works


def test_it_authenticates(ground: Ground, api_server: ApiServer) -> None:
    """A tenant whose authority and endpoint are those of a running API server: the kubeconfig says there who its owner is."""
    tenant = ground.tenant("served")
    pem = {"tls.crt": api_server.authority.pair.certificate, "tls.key": api_server.authority.pair.key}
    ground.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": tenant.namespace}})
    data = {key: base64.b64encode(path.read_bytes()).decode() for key, path in pem.items()}
    ground.client.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "own", "namespace": tenant.namespace}, "data": data})
    own: Mapping[str, Any] = {
        "certificates": {"authority": {"secretName": "own"}},
        "networkProfile": {"address": api_server.host, "port": api_server.port},
    }
    tenant.run(changes=own)
    generator = Generator(ground, tenant.namespace)
    spec = {"groups": [{"stringValue": "viewers"}, {"fromDefinition": "metadata.name"}], "controlPlaneEndpointFrom": "admin.conf"}
    ladder(generator, definition=generator.definition(user={"fromDefinition": "metadata.namespace"}, **spec))
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}

    def who(kubeconfig: bytes) -> Json:
        with client_from_kubeconfig(kubeconfig) as client:
            found: Json = client.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=review)["status"]["userInfo"]
            return found

    first = who(generator.value(tenant))
    assert first["username"] == tenant.namespace
    assert set(first["groups"]) == {"viewers", "served", "system:authenticated"}
    ladder(generator, definition=generator.definition(**spec))
    assert who(generator.value(tenant))["username"] == "robot"
    generator.run(state="absent")
    tenant.absent()


@pytest.mark.long
def test_the_playbook_renews_all(generator: Generator, pair: tuple[Tenant, Tenant]) -> None:
    generator.run(definition=generator.definition())
    pair[0].delete("Secret", generator.secret(pair[0]))
    variables = {"tenant_control_plane_kubeconfig": str(generator.ground.kubeconfig)}
    done = [run_playbook("hosted.kubernetes.tenant_kubeconfigs", **variables) for _again in range(2)]
    assert [(run.status, run.changed) for run in done] == [(0, 1), (0, 0)], done[0].output
    assert "PRIVATE" not in done[0].output
    assert len(generator.secrets()) == 2


@pytest.mark.long
def test_the_role_keeps_generators_with_the_tenants(ground: Ground, tmp_path: Path) -> None:
    tenant = ground.tenant("role")
    generator = Generator(ground, tenant.namespace)

    def role(*options: str) -> PlaybookRun:
        return run_role(
            tmp_path,
            "tenant_control_plane",
            *options,
            tenant_control_plane_kubeconfig=str(ground.kubeconfig),
            tenant_control_plane_definitions=[tenant.definition()],
            tenant_control_plane_kubeconfig_generators=[generator.definition()],
        )

    task = "hosted.kubernetes.tenant_control_plane : generators | Keep kubeconfigs for everybody who needs one of each tenant"
    predicted = role("--check")
    assert predicted.status == 0, predicted.output
    assert task in predicted.changed_tasks
    assert "Kubeconfigs of tenants that do not exist yet are made once these are there." in predicted.text
    made, again = role(), role()
    assert (made.status, again.status, again.changed) == (0, 0, 0), made.output
    assert task in made.changed_tasks
    assert generator.secrets() == [generator.secret(tenant)]
    generator.run(state="absent")
    tenant.absent()
