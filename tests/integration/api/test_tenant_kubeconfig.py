# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module tenant_kubeconfig over a real tenant that sleeps: its authority, endpoint and names are the real ones."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import NameOID

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Call, Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import LeafRequest, check_leaf, load_certificate
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.kubeconfig import read_kubeconfig_client
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.observe import secret_state
from ansible_collections.hosted.kubernetes.plugins.modules import tenant_kubeconfig
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Tenant

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def acme(ground: Ground) -> Iterator[Tenant]:
    """A tenant that exists and sleeps."""
    tenant = ground.tenant()
    tenant.run()
    yield tenant
    tenant.absent()


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    """Where the kubeconfig is to be written; the directory is made with it."""
    return tmp_path / "kubeconfigs" / "jane"


@pytest.fixture
def run(acme: Tenant, dest: Path) -> Run:
    """Run the module for jane; check=True for check mode."""

    def act(*, check: bool = False, **options: Any) -> dict[str, Any]:
        who = {"name": acme.name, "namespace": acme.namespace, "user": "jane", "groups": ["developers", "testers"], "lifetime": 60}
        return run_module(
            tenant_kubeconfig.main, {"kubeconfig": str(acme.ground.kubeconfig), "dest": str(dest), **who, **options}, check=check
        )

    return act


def ladder(run: Run, **options: Any) -> dict[str, Any]:
    """Check, run, check again, run again: changed, changed, same, same; the first check says what the run says."""
    predicted, made, after, again = (run(check=check, **options) for check in (True, False, True, False))
    assert [item["changed"] for item in (predicted, made, after, again)] == [True, True, False, False]
    for part in ("reason", "diff", "dest", "server"):
        assert predicted.get(part) == made.get(part)
    return made


def authority(acme: Tenant) -> bytes:
    data = secret_state(acme.live("Secret", acme.name + names.CA), None).data
    assert data
    return data["ca.crt"]


def endpoint(acme: Tenant) -> str:
    found: str = acme.live("TenantControlPlane")["status"]["controlPlaneEndpoint"]
    return found


def test_create(run: Run, acme: Tenant, dest: Path) -> None:
    run(check=True)
    assert not dest.parent.exists(), "check mode writes nothing"
    made = ladder(run)
    assert made["reason"] == "does not exist"
    assert stat.S_IMODE(dest.stat().st_mode) == 0o600
    assert stat.S_IMODE(dest.parent.stat().st_mode) == 0o700
    assert os.listdir(dest.parent) == ["jane"]

    server, ca, pair = read_kubeconfig_client(dest.read_bytes())
    assert server == made["server"] == f"https://{endpoint(acme)}"
    assert ca == authority(acme)
    request = LeafRequest("jane", ("developers", "testers"), client=True)
    assert check_leaf(pair, request, ca_certificate=ca, now=datetime.now(UTC), renew_before=timedelta(minutes=50)) is None
    left = datetime.fromisoformat(made["expires"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left < timedelta(minutes=61)


def test_the_content_never_shows(run: Run, dest: Path) -> None:
    made = run()
    text = dest.read_text()
    keys = [line.split(": ")[1] for line in text.splitlines() if "-data: " in line]
    assert len(keys) == 3
    for result in (made, run(groups=["developers"])):
        assert [key for key in keys if key in json.dumps(result)] == []
        assert "PRIVATE" not in json.dumps(result)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"user": "joe"}, "common name is jane, not joe"),
        ({"groups": ["developers"]}, "organizations are developers, testers, not developers"),
        ({"groups": []}, "organizations are developers, testers, not none"),
        ({"lifetime": 20}, "is good for longer than lifetime allows"),
        ({"lifetime": 480}, "expires at "),
    ],
)
def test_options_that_change(run: Run, dest: Path, options: dict[str, Any], reason: str) -> None:
    run()
    before = dest.read_bytes()
    made = ladder(run, **options)
    assert made["reason"].startswith(reason)
    assert dest.read_bytes() != before
    assert f"{made['dest']}: as it is\n" == made["diff"]["before"]


def test_address_inside_the_management_cluster(run: Run, acme: Tenant) -> None:
    run()
    made = ladder(run, inside=True)
    assert made["server"] == f"https://{acme.name}.{acme.namespace}.svc:6443"
    assert made["reason"] == f"server is https://{endpoint(acme)}, not {made['server']}"


def test_defaults_are_those_of_an_administrator(run: Run, dest: Path) -> None:
    default = {option: tenant_kubeconfig.SPEC.options[option]["default"] for option in ("user", "groups", "lifetime")}
    made = ladder(run, **default)
    subject = load_certificate(read_kubeconfig_client(dest.read_bytes())[2].certificate).subject
    assert [item.value for item in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["kubeadm:cluster-admins"]
    assert [item.value for item in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["kubernetes-admin"]
    assert datetime.fromisoformat(made["expires"]) < datetime.now(UTC) + timedelta(hours=8, minutes=1)


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_a_file_that_others_may_read(run: Run, dest: Path, mode: int) -> None:
    run()
    dest.chmod(mode)
    assert ladder(run)["reason"] == "others may read it"
    assert stat.S_IMODE(dest.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "not a kubeconfig", "kind: Config\n"])
def test_a_file_that_is_no_kubeconfig(run: Run, dest: Path, content: str) -> None:
    dest.parent.mkdir()
    dest.write_text(content)
    dest.chmod(0o600)
    assert "the kubeconfig" in ladder(run)["reason"]


def test_a_tenant_that_was_made_anew(run: Run, ground: Ground, acme: Tenant) -> None:
    """The same name and a new authority: the old file is worth nothing any more."""
    other = ground.tenant("other")
    where = {"name": other.name, "namespace": other.namespace, "inside": True}
    other.run()
    run(**where)
    other.absent()
    other.run()
    assert ladder(run, **where)["reason"] == "the CA certificate it trusts is not the present one"
    other.absent()


def test_absent(run: Run, dest: Path) -> None:
    assert not run(state="absent")["changed"]
    run()
    assert run(state="absent", check=True)["changed"]
    assert dest.exists()
    assert run(state="absent")["changed"]
    assert not dest.exists()
    for check in (True, False):
        assert not run(state="absent", check=check)["changed"]


def test_absent_needs_neither_the_tenant_nor_its_cluster(run: Run, dest: Path) -> None:
    run()
    assert run(state="absent", name="never-was", kubeconfig="/no/such/file")["changed"]
    assert not dest.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"groups": ["developers", "system:masters"]},
            '"system:masters" cannot be limited or revoked by RBAC; use "kubeadm:cluster-admins"',
        ),
        ({"groups": [""]}, r"groups\[0\] is empty"),
        ({"user": ""}, "user must not be empty"),
        ({"user": "j" * 65}, "is 65 bytes long; a certificate names a user with at most 64"),
        ({"lifetime": 9}, "lifetime must be between 10 minutes and 365 days"),
        ({"name": ""}, "no tenant given: set name and dest, or tenants"),
        ({"name": "never-was"}, r"TenantControlPlane \S+/never-was does not exist; look at kubectl get tcp -A"),
        ({"dest": "/"}, "/: is a directory; give the path of a file"),
        ({"dest": "/proc/version/a"}, "/proc/version/a: a part of the path is no directory"),
        ({"dest": "/", "state": "absent"}, "/: is a directory; give the path of a file"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_refused(run: Run, dest: Path, options: dict[str, Any], message: str, check: bool) -> None:
    with pytest.raises(ModuleFailedError, match=message):
        run(check=check, **options)
    assert not dest.parent.exists()


def test_a_tenant_without_an_endpoint(run: Run, tenant: Tenant, dest: Path) -> None:
    """Its resource was written, by kubectl say, and nobody has worked on it yet."""
    client = tenant.ground.client
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": tenant.namespace}})
    client.create(tenant.definition())
    with pytest.raises(ModuleFailedError, match="has no endpoint or no authority yet; wait until it is ready"):
        run(namespace=tenant.namespace)
    assert not dest.exists()


def test_a_broken_authority(run: Run, ground: Ground, dest: Path) -> None:
    broken: Json = {"data": {"ca.key": None}}
    tenant = ground.tenant("broken")
    tenant.run()
    tenant.patch("Secret", broken, tenant.name + names.CA)
    with pytest.raises(ModuleFailedError, match=rf"Secret {tenant.namespace}/broken-ca has no key ca.key; restore the tenant's authority"):
        run(name=tenant.name, namespace=tenant.namespace)
    assert not dest.exists()
    tenant.absent()


# Several tenants


@pytest.fixture(scope="module")
def fleet(ground: Ground) -> Iterator[list[Tenant]]:
    """Five tenants of one namespace that exist and sleep."""
    first = ground.tenant("t0")
    tenants = [first, *(ground.tenant(f"t{number}", first.namespace) for number in range(1, 5))]
    with ThreadPoolExecutor(len(tenants)) as pool:
        list(pool.map(lambda tenant: tenant.run(), tenants))
    yield tenants
    for tenant in tenants:
        tenant.absent()


@pytest.fixture
def several(fleet: list[Tenant], tmp_path: Path) -> Run:
    """Run the module for these tenants and further entries."""

    def act(*more: Json, check: bool = False, **options: Any) -> dict[str, Any]:
        entries = [{"name": tenant.name, "dest": str(tmp_path / tenant.name)} for tenant in fleet]
        who = {"namespace": fleet[0].namespace, "tenants": [*entries, *more], "lifetime": 60}
        return run_module(tenant_kubeconfig.main, {"kubeconfig": str(fleet[0].ground.kubeconfig), **who, **options}, check=check)

    return act


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """What clients that were closed have asked."""
    found: list[Call] = []
    original = Client.__exit__

    def remember(self: Client, *error: object) -> None:
        found.extend(self.calls)
        original(self, *error)

    monkeypatch.setattr(Client, "__exit__", remember)
    return found


def test_several_in_one_call(several: Run, fleet: list[Tenant], tmp_path: Path) -> None:
    predicted, made, after, again = (several(check=check) for check in (True, False, True, False))
    assert [item["changed"] for item in (predicted, made, after, again)] == [True, True, False, False]
    assert predicted["diff"] == made["diff"]
    assert [item["tenant"] for item in made["tenants"]] == [tenant.key for tenant in fleet]
    for said, done, tenant in zip(predicted["tenants"], made["tenants"], fleet, strict=True):
        assert {**said, "expires": done["expires"]} == done
        assert (done["changed"], done["reason"], done["error"]) == (True, "does not exist", "")
        file = tmp_path / tenant.name
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        server, ca, _pair = read_kubeconfig_client(file.read_bytes())
        assert (server, ca) == (done["server"], authority(tenant))
    assert not any(item["changed"] for item in again["tenants"])

    (tmp_path / "t3").unlink()
    assert [item["tenant"] for item in several()["tenants"] if item["changed"]] == [fleet[3].key]

    assert several(check=True, state="absent")["changed"]
    assert (tmp_path / "t0").exists()
    gone = several(state="absent", kubeconfig="/no/such/file")
    assert [item["reason"] for item in gone["tenants"]] == ["state is absent"] * 5
    assert list(tmp_path.iterdir()) == []
    assert not several(state="absent")["changed"]


def test_several_cost_two_lists(several: Run, fleet: list[Tenant], calls: list[Call]) -> None:
    several()
    namespace = fleet[0].namespace
    assert [(call.method, call.path.split("?")[0]) for call in calls] == [
        ("GET", f"/apis/kamaji.clastix.io/v1alpha1/namespaces/{namespace}/tenantcontrolplanes"),
        ("GET", f"/api/v1/namespaces/{namespace}/secrets"),
    ]


def test_an_authority_without_its_label_is_found_by_name(several: Run, fleet: list[Tenant], calls: list[Call]) -> None:
    name = f"{fleet[1].name}{names.CA}"
    fleet[1].patch("Secret", {"metadata": {"labels": {names.LABEL_COMPONENT: None}}}, name)
    assert several()["tenants"][1]["changed"]
    assert [call.path for call in calls[2:]] == [f"/api/v1/namespaces/{fleet[1].namespace}/secrets/{name}"]


def test_tenants_of_several_namespaces(several: Run, acme: Tenant, tmp_path: Path) -> None:
    made = several({"name": acme.name, "namespace": acme.namespace, "dest": str(tmp_path / "acme")})
    assert made["tenants"][5]["tenant"] == acme.key
    assert read_kubeconfig_client((tmp_path / "acme").read_bytes())[1] == authority(acme)


def test_one_that_fails_does_not_hold_up_the_others(several: Run, fleet: list[Tenant], tmp_path: Path) -> None:
    namespace = fleet[0].namespace
    entries = [{"name": "never-was", "dest": str(tmp_path / "never")}, {"name": "t1", "dest": "/proc/version/a"}]
    with pytest.raises(ModuleFailedError) as error:
        several(*entries)
    result = error.value.result
    assert result["msg"] == "; ".join(item["error"] for item in result["tenants"][5:])
    assert f"TenantControlPlane {namespace}/never-was does not exist; look at" in result["msg"]
    assert f"TenantControlPlane {namespace}/t1: /proc/version/a: a part of the path is no directory" in result["msg"]
    assert [(item["changed"], item["error"]) for item in result["tenants"][:5]] == [(True, "")] * 5
    assert result["changed"]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(tenant.name for tenant in fleet)
    assert "PRIVATE" not in json.dumps(result)


def test_no_tenant_at_all(ground: Ground) -> None:
    made = run_module(tenant_kubeconfig.main, {"kubeconfig": str(ground.kubeconfig), "tenants": []})
    assert (made["changed"], made["tenants"]) == (False, [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "acme"}, "mutually exclusive: name|tenants"),
        ({"dest": "/a"}, "mutually exclusive: dest|tenants"),
        ({"user": ""}, "user must not be empty"),
        ({"tenants": [{"name": "t0"}]}, "missing required arguments: dest"),
        (
            {"tenants": [{"name": "t0", "dest": "/a/b"}, {"name": "t1", "dest": "/a/x/../b"}]},
            r"is that of tenants \S+/t0 and \S+/t1; give each",
        ),
        ({"tenants": None}, "no tenant given: set name and dest, or tenants"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_several_refused(several: Run, tmp_path: Path, options: dict[str, Any], message: str, check: bool) -> None:
    with pytest.raises(ModuleFailedError, match=message):
        several(check=check, **options)
    assert list(tmp_path.iterdir()) == []
