# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flags that a user gives and that have no effect."""

from __future__ import annotations

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.objects import objects
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.overruled import overruled
from ansible_collections.hosted.kubernetes.tests.unit.module_utils._manifests.management.samples import inputs, kine_inputs, tenant

WHERE = "TenantControlPlane tenants/acme: spec.controlPlane.deployment.extraArgs"


def remarks(driver: str = "etcd", **spec: object) -> list[str]:
    acme = tenant(**spec)
    made = objects(acme, inputs() if driver == "etcd" else kine_inputs(driver))
    return overruled(acme, next(body for body in made if body["kind"] == "Deployment"))


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, []),
        ({"apiServer": ["--v=2", "--max-requests-inflight=5"], "scheduler": ["--v=2"], "controllerManager": ["--cluster-name=x"]}, []),
        # Defaults give way, and the value that we set ourselves is no quarrel.
        ({"apiServer": ["--allow-privileged=false", "--secure-port=6443"]}, []),
        (
            {"apiServer": ["--v=2", "--secure-port=7000"], "scheduler": ["--leader_elect=false"]},
            [
                f"{WHERE}.apiServer[1] --secure-port has no effect, since this flag is set from other fields (--secure-port=6443)",
                f"{WHERE}.scheduler[0] --leader_elect has no effect, since this flag is set from other fields (--leader-elect=true)",
            ],
        ),
        ({"kine": ["--v"]}, [f"{WHERE}.kine[0] --v has no effect, since there is no such container"]),
    ],
)
def test_flags(extra: dict[str, list[str]], expected: list[str]) -> None:
    assert remarks(controlPlane__deployment__extraArgs=extra) == expected


def test_flags_of_kine() -> None:
    """With one dash or two; its endpoint is an environment variable, which holds a password."""
    extra = {"kine": ["-slow-sql-threshold=2s", "--debug", "-endpoint=postgres://x"]}
    assert remarks("PostgreSQL", controlPlane__deployment__extraArgs=extra) == [
        f"{WHERE}.kine[2] -endpoint has no effect, since this flag is set in another way"
    ]


def test_flags_of_konnectivity() -> None:
    (told,) = remarks(addons__konnectivity={"server": {"extraArgs": ["--v=2", "--mode=http-connect"]}})
    where = "TenantControlPlane tenants/acme: spec.addons.konnectivity.server.extraArgs[1]"
    assert told == f"{where} --mode has no effect, since this flag is set from other fields (--mode=grpc)"
