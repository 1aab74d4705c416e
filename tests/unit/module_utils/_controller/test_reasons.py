# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each remedy has its word."""

from __future__ import annotations

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import ObjectRef
from ansible_collections.hosted.kubernetes.plugins.module_utils._controller import reasons
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.errors import DatastoreUnreachableError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import UnreachableError, api_error
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Action, Change, Cluster


def answer(code: int) -> HostedKubernetesError:
    return api_error("https://server", "GET", "/path", {"code": code, "message": "no"})


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InvalidError("no"), "DefinitionRefused"),
        (DatastoreUnreachableError("db", "no"), "DatastoreFailed"),
        (answer(403), "PermissionMissing"),
        (answer(409), "ChangedByOthers"),
        (answer(422), "ApiRefused"),
        (UnreachableError("no"), "ConnectionFailed"),
        (HostedKubernetesError("no"), "ReconcileFailed"),
    ],
)
def test_of_errors(error: HostedKubernetesError, reason: str) -> None:
    assert reasons.of_error(error) == reason


@pytest.mark.parametrize(
    ("actions", "reason"),
    [
        ([Action.CREATE, Action.PATCH], "ObjectsChanged"),
        ([Action.CREATE, Action.ISSUE], "CertificatesIssued"),
        ([Action.ISSUE, Action.ROLLOUT], "PodsReplaced"),
    ],
)
def test_of_changes(actions: list[Action], reason: str) -> None:
    ref = ObjectRef("v1", "Secret", "team", "x")
    assert reasons.of_changes([Change("team/acme", Cluster.MANAGEMENT, ref, action, "why", 1) for action in actions]) == reason
