# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The word by which events and metrics name what went wrong; one per remedy. Pure."""

from __future__ import annotations

from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.datastore import MissingCredentialError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError, InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.errors import DatastoreError
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import (
    ApiError,
    ConflictError,
    ExpiredCredentialError,
    ForbiddenError,
    TlsError,
    UnreachableError,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.plan import Action, Change

_REASONS: Final[tuple[tuple[type[HostedKubernetesError], str], ...]] = (
    (InvalidError, "DefinitionRefused"),
    (MissingCredentialError, "DatastoreFailed"),
    (DatastoreError, "DatastoreFailed"),
    (ForbiddenError, "PermissionMissing"),
    (ConflictError, "ChangedByOthers"),
    (ApiError, "ApiRefused"),
    (TlsError, "ConnectionFailed"),
    (ExpiredCredentialError, "ConnectionFailed"),
    (UnreachableError, "ConnectionFailed"),
)


def of_error(error: HostedKubernetesError) -> str:
    """The reason of a failed look at something."""
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "ReconcileFailed")


def of_changes(changes: list[Change]) -> str:
    """The reason of changes that were made: what matters most of them to whom they belong."""
    actions = {change.action for change in changes}
    if Action.ROLLOUT in actions:
        return "PodsReplaced"
    return "CertificatesIssued" if Action.ISSUE in actions else "ObjectsChanged"
