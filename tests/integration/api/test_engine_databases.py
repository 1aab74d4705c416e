# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tenants in real databases: a password of their own from the Secret to the server, whatever is taken away or killed on the way."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import PASSWORD, Isolation, IsolationState
from ansible_collections.hosted.kubernetes.tests.support.databases import KINDS, Database, running_database
from ansible_collections.hosted.kubernetes.tests.support.tenants import Ground, Run, Tenant, assert_predicted, delete_datastore, later

CONFIG: Final = "acme" + names.DATASTORE_CONFIG
CERTIFICATE: Final = "acme" + names.DATASTORE_CERTIFICATE
# What a tenant has awake or asleep; awake, every part is looked at. There are no nodes, so no pod ever starts.
AWAKE: Final = {"controlPlane.deployment.replicas": 1}
NO_WAIT: Final = {"wait": False, "timeout_s": 5.0}


@dataclass(frozen=True)
class Place:
    """A database under the engine. ground: what tenants in it stand on."""

    database: Database
    ground: Ground

    def share(self, tenant: Tenant) -> Isolation:
        """A tenant's share, with the password that its Secret holds."""
        return replace(tenant.isolation, password=secret_of(tenant, CONFIG).get("DB_PASSWORD"))

    def state(self, tenant: Tenant) -> IsolationState:
        share = self.share(tenant)
        found: IsolationState = self.ground.driver.observe([share], detailed=True, keys=True)[share.schema]
        return found


@pytest.fixture(scope="module", params=[*KINDS])
def place(request: pytest.FixtureRequest, ground: Ground) -> Iterator[Place]:
    name = request.param.lower()
    with running_database(request.param) as database, database.driver() as driver:
        ground.client.apply(database.definition(name), force=True)
        yield Place(database, Ground(ground.client, ground.kubeconfig, ground.etcd, driver, name))
        delete_datastore(ground.client, name)


@pytest.fixture
def tenant(place: Place) -> Tenant:
    return place.ground.tenant()


def secret_of(tenant: Tenant, name: str) -> dict[str, str]:
    found = tenant.get("Secret", name) or {"data": {}}
    return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}


def pod_of(tenant: Tenant) -> Json:
    found: Json = tenant.live("Deployment")["spec"]["template"]["spec"]
    return found


def steps(summary: list[tuple[str, str]], tenant: Tenant) -> list[tuple[str, str]]:
    """Changes of the Secret with the password, of the share and of the pods."""
    share = tenant.isolation.schema
    return [item for item in summary if item[0] in (f"Secret {CONFIG}", "Deployment acme") or item[0].endswith(f" {share}")]


def test_ladder(tenant: Tenant, place: Place) -> None:
    predicted = tenant.run(check=True)
    assert predicted.writes == []
    applied = tenant.run()
    assert_predicted(predicted, applied)
    parts = [(f"{part} {tenant.isolation.schema}", "grant") for part in place.ground.driver.parts]
    assert steps(applied.summary, tenant) == [(f"Secret {CONFIG}", "issue"), *parts, ("Deployment acme", "create")]
    assert not tenant.run().changed
    assert not tenant.run(check=True).changed
    assert not place.state(tenant).missing

    predicted = tenant.absent(check=True)
    applied = tenant.absent()
    assert applied.identities == predicted.identities
    assert tenant.left() == []
    assert not tenant.absent().changed


def test_what_the_pod_and_the_status_say(tenant: Tenant, place: Place) -> None:
    tenant.run()
    server = place.database.server
    config = secret_of(tenant, CONFIG)
    share = tenant.isolation
    assert {key: value for key, value in config.items() if key != "DB_PASSWORD"} == {
        "DB_CONNECTION_STRING": server.endpoint,
        "DB_SCHEMA": share.schema,
        "DB_USER": share.user,
    }
    assert secret_of(tenant, CERTIFICATE) == {"ca.crt": server.authority.pair.certificate.read_text(encoding="utf-8")}
    (kine,) = pod_of(tenant)["initContainers"]
    assert (kine["name"], kine["restartPolicy"]) == ("kine", "Always")
    assert config["DB_PASSWORD"] not in str(tenant.live("Deployment"))
    status = tenant.live("TenantControlPlane")["status"]
    assert (status["storage"]["driver"], status["storage"]["dataStoreName"]) == (server.driver, place.ground.store)
    assert (status["storage"]["setup"]["schema"], status["storage"]["setup"]["user"]) == (share.schema, share.user)
    assert status["storage"]["certificate"]["secretName"] == CERTIFICATE
    assert "etcd" not in status["certificates"]
    assert config["DB_PASSWORD"] not in str(status)


def test_long_names_fit(place: Place) -> None:
    tenant = place.ground.tenant("a" * 50)
    tenant.run()
    setup = tenant.live("TenantControlPlane")["status"]["storage"]["setup"]
    assert (len(setup["schema"]), len(setup["user"])) == (names.LONGEST_SCHEMA, names.LONGEST_DATASTORE_USER)
    tenant.absent()
    assert tenant.left() == []


def test_a_password_on_request(tenant: Tenant, place: Place) -> None:
    tenant.run()
    old = place.share(tenant)
    tenant.patch("Secret", {"metadata": {"annotations": {names.ANNOTATION_ROTATE: ""}}}, CONFIG)
    predicted = tenant.run(check=True)
    applied = tenant.run()
    assert_predicted(predicted, applied)
    assert steps(applied.summary, tenant) == [
        (f"Secret {CONFIG}", "issue"),
        (f"{PASSWORD} {old.schema}", "grant"),
        ("Deployment acme", "rollout"),
    ]
    assert place.share(tenant).password != old.password
    assert PASSWORD in place.state(tenant).present
    assert PASSWORD in place.ground.driver.observe([old], detailed=True)[old.schema].missing, "the old one is refused"
    assert not tenant.run().changed
    tenant.absent()


def test_a_lost_password(tenant: Tenant, place: Place) -> None:
    tenant.run()
    tenant.delete("Secret", CONFIG)
    applied = tenant.run()
    assert steps(applied.summary, tenant)[:2] == [(f"Secret {CONFIG}", "issue"), (f"{PASSWORD} {tenant.isolation.schema}", "grant")]
    assert PASSWORD in place.state(tenant).present
    assert not tenant.run().changed
    tenant.absent()


def awake(tenant: Tenant, **options: Any) -> list[tuple[str, str]]:
    """What one more run about a tenant that is awake would change outside of it."""
    found = tenant.run(changes=AWAKE, settings=NO_WAIT, check=True, **options)
    return [(text, action) for (text, action), item in zip(found.summary, found.plan, strict=True) if item["cluster"] != "tenant"]


def make_awake(tenant: Tenant) -> None:
    """The pods cannot start; everything before them is there."""
    with contextlib.suppress(HostedKubernetesError):
        tenant.run(changes=AWAKE, settings=NO_WAIT)
    assert awake(tenant) == []


@pytest.mark.long
def test_what_is_changed_in_the_database_is_mended(tenant: Tenant, place: Place) -> None:
    make_awake(tenant)
    driver, share = place.ground.driver, place.share(tenant)
    driver.create_part(replace(share, password="somebody's"), PASSWORD)
    assert awake(tenant) == [(f"{PASSWORD} {share.schema}", "grant")]
    make_awake(tenant)
    assert PASSWORD in place.state(tenant).present

    driver.delete_part(share, driver.purge_parts[0])
    expected = [(f"{part} {share.schema}", "grant") for part in place.state(tenant).missing]
    assert expected
    assert awake(tenant) == expected
    make_awake(tenant)
    tenant.absent(changes=AWAKE)
    assert tenant.left() == []


@pytest.mark.long
def test_killed_while_its_share_is_made(place: Place) -> None:
    """Before and after each step from the Secret to the last part."""
    plan = place.ground.tenant().run(check=True).summary
    first = plan.index((f"Secret {CONFIG}", "issue"))
    last = max(number for number, (_text, action) in enumerate(plan) if action == "grant")
    for number in range(first, last + 3):
        tenant = place.ground.tenant()
        tenant.die_after(number)
        tenant.run(settings={"now": later(80)})
        assert not tenant.run(check=True).changed, f"killed after change {number}"
        assert not place.state(tenant).missing, f"killed after change {number}"
        tenant.absent()
        assert tenant.left() == [], f"killed after change {number}"


def test_killed_while_it_is_deleted(place: Place) -> None:
    probe = place.ground.tenant()
    probe.run()
    purges = [number for number, (_text, action) in enumerate(probe.absent(check=True).summary, 1) if action == "purge"]
    probe.absent()
    for number in (purges[0] - 1, *purges):
        tenant = place.ground.tenant()
        tenant.run()
        tenant.die_after(number, absent=True)
        tenant.absent(settings={"now": later(80)})
        assert tenant.left() == [], f"killed after change {number}"


def lists(run: Run) -> list[str]:
    """What was listed; a single tenant is listed by its name, and each that is not ready is looked at once more by itself."""
    return sorted(call.path.partition("?")[0] for call in run.calls if "limit=" in call.path)


def test_looking_costs_the_same_for_many(place: Place) -> None:
    first = place.ground.tenant("tenant-0")
    fleet = [place.ground.tenant(f"tenant-{number}", first.namespace) for number in range(5)]
    definitions = [tenant.definition(AWAKE) for tenant in fleet]
    with contextlib.suppress(HostedKubernetesError):
        first.run(definitions, settings={**NO_WAIT, "max_starting": len(fleet)})
    many, one = first.run(definitions, settings=NO_WAIT, check=True), first.run(definitions[:1], settings=NO_WAIT, check=True)
    assert lists(many) == lists(one)
    first.run(definitions, absent=True)


def test_a_name_that_fits_a_database_but_no_grant(tenant: Tenant, place: Place) -> None:
    changes = {"dataStoreSchema": "a_" * 25}
    if place.database.server.driver != "MySQL":
        tenant.run(changes=changes)
        tenant.absent(changes=changes)
        return
    with pytest.raises(HostedKubernetesError, match='is longer than the 64 bytes MariaDB takes in a grant, where each "_" counts twice'):
        tenant.run(changes=changes)


def test_refused(tenant: Tenant, place: Place) -> None:
    for field, value, why in (
        ("dataStoreUsername", "a@b", "write letters, digits"),
        ("dataStoreUsername", place.database.administrator.user, "is the administration user of the datastore"),
        ("dataStoreSchema", "A", "has capitals"),
    ):
        for check in (True, False):
            with pytest.raises(HostedKubernetesError, match=f'spec.{field} "{value}" .*{why}'):
                tenant.run(changes={field: value}, check=check)
    overrides = {"dataStoreOverrides": [{"resource": "/events", "dataStore": "engine"}]}
    with pytest.raises(HostedKubernetesError, match="must both be of driver etcd; they are etcd and"):
        tenant.run(changes=overrides)
    assert tenant.left() == []
