# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules tenant_backup and tenant_restore, and their playbooks, on tenants that sleep in a management cluster without nodes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_data import EtcdData
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.backup import read_pki
from ansible_collections.hosted.kubernetes.plugins.modules import tenant_backup, tenant_restore
from ansible_collections.hosted.kubernetes.tests.support.backups import LiveNeighbour, content, files, fill, fingerprint, key_file
from ansible_collections.hosted.kubernetes.tests.support.modules import ModuleFailedError, run_module
from ansible_collections.hosted.kubernetes.tests.support.tenants import RENEW_BEFORE_DAYS, Ground, Tenant

AUTHORITIES = {names.CA, names.FRONT_PROXY_CA, names.SERVICE_ACCOUNT}
MARK = names.ANNOTATION_RESTORE


@dataclass(frozen=True)
class Place:
    """Backups of a test, with the options of the modules that reach them."""

    ground: Ground
    directory: Path
    key_file: Path

    def options(self, tenant: Tenant, **changes: Any) -> dict[str, Any]:
        given = {
            "kubeconfig": str(self.ground.kubeconfig),
            "name": tenant.name,
            "namespace": tenant.namespace,
            "directory": str(self.directory),
            "encryption_key_file": str(self.key_file),
        }
        return {key: value for key, value in {**given, **changes}.items() if value is not None}

    def backup(self, tenant: Tenant, *, check: bool = False, **changes: Any) -> Any:
        return run_module(tenant_backup.main, self.options(tenant, **changes), check=check)

    def restore(self, tenant: Tenant, *, check: bool = False, **changes: Any) -> Any:
        options = {"renew_before": RENEW_BEFORE_DAYS, "wait": False, "wait_timeout": 20, **changes}
        return run_module(tenant_restore.main, self.options(tenant, **options), check=check)

    def refusal(self, tenant: Tenant, **changes: Any) -> str:
        """Why a restore is refused, in check mode and for real."""
        found = []
        for check in (True, False):
            with pytest.raises(ModuleFailedError) as failed:
                self.restore(tenant, check=check, **changes)
            found.append(failed.value.result["msg"])
        assert found[0] == found[1]
        return str(found[0])


@pytest.fixture
def place(ground: Ground, tmp_path: Path) -> Place:
    return Place(ground, tmp_path / "backups", key_file(tmp_path))


@pytest.fixture
def made(tenant: Tenant) -> Tenant:
    """A tenant that sleeps and has data."""
    tenant.run()
    fill(tenant.ground.driver, tenant.isolation, 1200)
    return tenant


def summary(result: Json) -> list[tuple[str, str]]:
    """(object, action) of each change of a restore itself; objects without their namespace."""
    texts = [(item["object"].split(" "), item["action"]) for item in result["plan"]]
    return [(f"{kind} {name.rpartition('/')[2]}", action) for (kind, name), action in texts]


def test_backup(place: Place, made: Tenant) -> None:
    predicted = place.backup(made, check=True)
    assert not place.directory.exists()
    result = place.backup(made)
    told = result["backup"]
    path = Path(told["path"])
    assert (told["keys"], predicted["backup"]["keys"], told["tenant"]) == (1200, 1200, made.key)
    assert told["encrypted"]
    assert told["secrets"] == predicted["backup"]["secrets"] == sorted(made.name + suffix for suffix in AUTHORITIES)
    assert files(place.directory) == [told["name"]]
    assert path.stat().st_mode & 0o777 == 0o600
    assert (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()) == (told["size"], told["sha256"])
    assert b"registry/" not in path.read_bytes()
    assert b"PRIVATE KEY" not in path.read_bytes()
    assert made.run(check=True).plan == []


def test_back_to_what_it_was(place: Place, made: Tenant) -> None:
    """Check, run, run again; a neighbour that sleeps and one that is at work notice nothing."""
    driver, sleeping, live = made.ground.driver, made.ground.tenant("sleeping").isolation, made.ground.tenant("live").isolation
    fill(driver, sleeping, 1000, seed=3)
    neighbour, before = fingerprint(driver, sleeping), content(driver, made.isolation)
    with LiveNeighbour(driver, live) as busy:
        place.backup(made)
        fill(driver, made.isolation, 900, seed=2)
        made.put_keys()
        damaged = fingerprint(driver, made.isolation)
        predicted = place.restore(made, check=True, in_place=True)
        assert fingerprint(driver, made.isolation) == damaged
        applied = place.restore(made, in_place=True)
    assert (
        summary(predicted)
        == summary(applied)
        == [
            ("TenantControlPlane acme", "patch"),
            (f"keys {made.isolation.schema}", "restore"),
            ("TenantControlPlane acme", "patch"),
        ]
    )
    assert predicted["plan"] == applied["plan"]
    assert predicted["plan"][1]["reason"] == "1200 keys are written, 3 removed, 0 are as in the backup"
    assert applied["tenant"]["changed"] is False
    assert content(driver, made.isolation) == before
    assert fingerprint(driver, sleeping) == neighbour
    assert busy.check() > 20
    assert MARK not in (made.live("TenantControlPlane")["metadata"].get("annotations") or {})
    for check in (False, True):
        assert not place.restore(made, check=check, in_place=True)["changed"]
    EtcdData(driver).replace(sleeping, [])
    EtcdData(driver).replace(live, [])


def test_one_that_is_awake_sleeps_meanwhile(place: Place, tenant: Tenant) -> None:
    """Nobody runs its pods here. The number of replicas that nobody names comes back too."""
    changes = {"controlPlane.deployment.replicas": None}
    with pytest.raises(HostedKubernetesError, match="not ready in time"):
        tenant.run(changes=changes, settings={"timeout_s": 2.0})
    before = fill(tenant.ground.driver, tenant.isolation, 300)
    place.backup(tenant)
    fill(tenant.ground.driver, tenant.isolation, 100, seed=2)
    predicted = place.restore(tenant, check=True, in_place=True)
    assert summary(predicted) == [
        ("TenantControlPlane acme", "patch"),
        ("Deployment acme", "scale"),
        (f"keys {tenant.isolation.schema}", "restore"),
        ("Deployment acme", "scale"),
        ("TenantControlPlane acme", "patch"),
    ]
    assert [field["after"] for change in predicted["plan"] for field in change["fields"] if field["path"] == "spec.replicas"] == [0, 2]
    with pytest.raises(ModuleFailedError, match=r"not ready in time.*; its data is restored; mend that"):
        place.restore(tenant, in_place=True, wait_timeout=2)
    assert tenant.live("Deployment")["spec"]["replicas"] == 2
    assert MARK not in (tenant.live("TenantControlPlane")["metadata"].get("annotations") or {})
    assert content(tenant.ground.driver, tenant.isolation) == before


def test_made_again_after_it_was_deleted(place: Place, made: Tenant) -> None:
    driver, definition = made.ground.driver, made.live("TenantControlPlane")
    before, pki = content(driver, made.isolation), read_pki(made.ground.client, made.namespace, made.name)
    place.backup(made)
    made.absent()
    assert made.left() == []
    assert "does not exist, so that nothing can be restored in place" in place.refusal(made, in_place=True)
    predicted = place.restore(made, check=True)
    assert made.left() == []
    applied = place.restore(made)
    assert summary(predicted) == summary(applied)
    assert summary(predicted["tenant"]) == summary(applied["tenant"])
    assert not place.restore(made)["changed"]
    assert {item for item in summary(applied) if item[0].startswith("Secret")} == {
        (f"Secret acme{suffix}", "create") for suffix in AUTHORITIES
    }
    assert read_pki(made.ground.client, made.namespace, made.name) == pki
    assert made.live("TenantControlPlane")["spec"] == definition["spec"]
    assert content(driver, made.isolation) == before
    assert made.run(check=True).plan == []


def test_beside_the_one_it_was_made_of(place: Place, made: Tenant) -> None:
    """Under another name in another namespace, with a change of the definition; the first one is not touched."""
    driver, other = made.ground.driver, made.ground.tenant("copy")
    before = fingerprint(driver, made.isolation)
    file = place.backup(made)["backup"]["name"]
    assert f"no backup of {other.key} is there" in place.refusal(other)
    options = {"file": file, "spec": {"networkProfile": {"clusterDomain": "copy.local"}}}
    predicted, result = place.restore(other, check=True, **options), place.restore(other, **options)
    assert summary(predicted) == summary(result)
    assert summary(predicted["tenant"]) == summary(result["tenant"])
    assert summary(result)[0] == (f"Namespace {other.namespace}", "create")
    assert result["changed"]
    assert result["backup"]["tenant"] == made.key
    assert content(driver, other.isolation) == content(driver, made.isolation)
    assert fingerprint(driver, made.isolation) == before
    assert read_pki(other.ground.client, other.namespace, other.name) == read_pki(made.ground.client, made.namespace, made.name)
    assert other.live("TenantControlPlane")["spec"]["networkProfile"]["clusterDomain"] == "copy.local"
    assert other.run(name=other.name, check=True).plan == []
    assert other.live("TenantControlPlane")["status"]["storage"]["setup"]["schema"] == other.isolation.schema
    assert made.run(check=True).plan == []


def test_lost_authorities_come_back(place: Place, made: Tenant) -> None:
    pki = read_pki(made.ground.client, made.namespace, made.name)
    place.backup(made)
    for suffix in AUTHORITIES:
        made.delete("Secret", made.name + suffix)
    with pytest.raises(HostedKubernetesError, match="restore that Secret from a backup"):
        made.run()
    result = place.restore(made, in_place=True)
    assert ("Secret acme-ca", "create") in summary(result)
    assert read_pki(made.ground.client, made.namespace, made.name) == pki
    assert made.run(check=True).plan == []


def test_another_authority_is_refused(place: Place, made: Tenant) -> None:
    place.backup(made)
    made.absent()
    made.run()
    message = place.refusal(made, in_place=True)
    assert f"Secret {made.key}-ca is another one than in the backup, and workers and tokens of now rest on it" in message
    assert "exists already; give in_place (variable tenant_restore_in_place)" in place.refusal(made)


def test_files_that_are_not_what_was_written(place: Place, made: Tenant) -> None:
    path = Path(place.backup(made)["backup"]["path"])
    whole = path.read_bytes()
    fill(made.ground.driver, made.isolation, 10)
    before = fingerprint(made.ground.driver, made.isolation)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for altered, reason in (
        (whole[:-50], "in the middle: it was not written or copied to its end"),
        (bytes(flipped), "altered or damaged"),
    ):
        path.write_bytes(altered)
        message = place.refusal(made, in_place=True)
        assert reason in message
        assert message.startswith(f"{path}: ")
        assert message.endswith("nothing was changed")
    path.write_bytes(whole)
    assert "is encrypted; give the file with its key in encryption_key_file" in place.refusal(made, in_place=True, encryption_key_file=None)
    other = place.key_file.with_name("other.key")
    other.touch(mode=0o600)
    other.write_text("A" * 43 + "=")
    assert "is encrypted with another key" in place.refusal(made, in_place=True, encryption_key_file=str(other))
    assert fingerprint(made.ground.driver, made.isolation) == before
    assert place.restore(made, in_place=True)["changed"]


def test_without_a_key_nothing_is_written_unless_told(place: Place, made: Tenant) -> None:
    with pytest.raises(ModuleFailedError, match="encryption_key_file is missing, and a backup holds all secrets of the tenant"):
        place.backup(made, encryption_key_file=None)
    assert files(place.directory) == []
    told = place.backup(made, encryption_key_file=None, unencrypted="data")["backup"]
    assert (told["encrypted"], told["secrets"]) == (False, [])
    assert b"PRIVATE" not in Path(told["path"]).read_bytes()
    fill(made.ground.driver, made.isolation, 10)
    assert place.restore(made, in_place=True, encryption_key_file=None)["changed"]
    other = made.ground.tenant("copy")
    assert "was made without PKI" in place.refusal(other, file=told["name"], encryption_key_file=None)
    made.delete("Secret", f"{made.name}-ca")
    assert "-ca does not exist, and the backup was made without PKI" in place.refusal(made, in_place=True, encryption_key_file=None)


def test_key_files(place: Place, made: Tenant) -> None:
    cases = (
        ("short", 0o600, "cannot be read"),
        ("AAEC", 0o600, "has 3 bytes"),
        (None, 0o600, "does not exist"),
        ("A" * 43 + "=", 0o644, "others may read it"),
    )
    for content_, mode, problem in cases:
        path = place.key_file.with_name("bad.key")
        path.unlink(missing_ok=True)
        if content_ is not None:
            path.write_text(content_)
            path.chmod(mode)
        with pytest.raises(ModuleFailedError, match=problem) as failed:
            place.backup(made, encryption_key_file=str(path))
        assert "A" * 43 not in str(failed.value.result)
    assert files(place.directory) == []


def test_retention(place: Place, made: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    other = "elsewhere_acme_20200101T000000Z.hkbackup"
    old = [f"{made.namespace}_{made.name}_2020010{day}T000000Z.hkbackup" for day in (1, 2, 3)]
    place.directory.mkdir()
    for name in (other, *old):
        (place.directory / name).touch()
    predicted = place.backup(made, check=True, keep=3)
    assert predicted["removed"] == [str(place.directory / name) for name in old[:1]]
    assert files(place.directory) == sorted([other, *old])
    result = place.backup(made, keep=3)
    assert result["removed"] == predicted["removed"]
    assert files(place.directory) == sorted([other, *old[1:], result["backup"]["name"]])


def test_a_marked_tenant_is_left_alone(place: Place, made: Tenant) -> None:
    """By everybody but the restore, which goes on."""
    name = place.backup(made)["backup"]["name"]
    fill(made.ground.driver, made.isolation, 10)
    made.patch("TenantControlPlane", {"metadata": {"annotations": {MARK: '{"backup": "another", "replicas": 0}'}}})
    with pytest.raises(
        HostedKubernetesError, match=r"its data is being restored, or that was interrupted .*finish it with module tenant_restore"
    ):
        made.run(changes={"controlPlane.deployment.replicas": 1})
    with pytest.raises(ModuleFailedError, match="a backup of now would not be whole"):
        place.backup(made)
    place.restore(made, file=name)
    assert made.run(check=True).plan == []
    assert len(content(made.ground.driver, made.isolation)) == 1200


def test_paused_and_unknown_tenants(place: Place, made: Tenant) -> None:
    place.backup(made)
    made.patch("TenantControlPlane", {"metadata": {"annotations": {names.ANNOTATION_PAUSED: ""}}})
    assert "is paused" in place.refusal(made, in_place=True)
    with pytest.raises(ModuleFailedError, match="does not exist; correct name and namespace"):
        place.backup(made.ground.tenant())


def test_a_share_with_data_of_nobody_is_refused(place: Place, made: Tenant) -> None:
    place.backup(made)
    made.absent()
    made.put_keys(2)
    assert f'holds 2 keys under "{made.isolation.schema}" that belong to no tenant known here' in place.refusal(made)
    EtcdData(made.ground.driver).replace(made.isolation, [])


def test_encryption_at_rest(place: Place, tenant: Tenant) -> None:
    """Its keys are in the backup, and a tenant whose keys are others is not given data that it cannot read."""
    encrypted = {"kubernetes.encryption": {"resources": ["secrets"], "provider": "aesgcm"}}
    tenant.run(changes=encrypted)
    fill(tenant.ground.driver, tenant.isolation, 10)
    told = place.backup(tenant)["backup"]
    assert f"{tenant.name}{names.ENCRYPTION}" in told["secrets"]
    assert "binds it to keys under" in place.refusal(tenant.ground.tenant("copy"), file=told["name"])
    pki = read_pki(tenant.ground.client, tenant.namespace, tenant.name)
    tenant.absent()
    place.restore(tenant)
    assert read_pki(tenant.ground.client, tenant.namespace, tenant.name) == pki
    assert tenant.run(check=True, changes=encrypted).plan == []
