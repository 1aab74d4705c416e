# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a tenant's definition says of audit, encryption, authentication and authorization (spec.kubernetes), with every default resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json


@dataclass(frozen=True)
class Audit:
    """policy: rules as in audit.k8s.io/v1. volume_name: one of the user's volumes, None for the container's output."""

    policy: Json
    volume_name: str | None
    max_age_days: int | None
    max_backups: int | None
    max_size_megabytes: int | None
    compress: bool

    @classmethod
    def parse(cls, spec: Json | None) -> Audit | None:
        if spec is None:
            return None
        log = spec.get("log") or {}
        return cls(
            policy=spec["policy"],
            volume_name=log.get("volumeName") or None,
            max_age_days=log.get("maxAgeDays"),
            max_backups=log.get("maxBackups"),
            max_size_megabytes=log.get("maxSizeMegabytes"),
            compress=bool(log.get("compress")),
        )


@dataclass(frozen=True)
class Encryption:
    """resources: as resource or resource.group. rotation: each new text asks for a new key."""

    resources: tuple[str, ...]
    provider: str
    rotation: str

    @classmethod
    def parse(cls, spec: Json | None) -> Encryption | None:
        if spec is None:
            return None
        resources = tuple(spec.get("resources") or ("secrets",))
        return cls(resources, spec.get("provider") or "secretbox", spec.get("rotation") or "")


@dataclass(frozen=True)
class ApiServerSettings:
    """authentication, authorization: as in apiserver.config.k8s.io/v1. feature_gates: component as in the spec → gate → on."""

    audit: Audit | None
    encryption: Encryption | None
    authentication: Json | None
    authorization: Json | None
    feature_gates: Mapping[str, Mapping[str, bool]]

    @classmethod
    def parse(cls, kubernetes: Json) -> ApiServerSettings:
        return cls(
            audit=Audit.parse(kubernetes.get("audit")),
            encryption=Encryption.parse(kubernetes.get("encryption")),
            authentication=kubernetes.get("authentication") or None,
            authorization=kubernetes.get("authorization") or None,
            feature_gates=dict(kubernetes.get("featureGates") or {}),
        )
