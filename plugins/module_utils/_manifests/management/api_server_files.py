# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration files of kube-apiserver: audit policy, authentication, authorization. One ConfigMap holds what a tenant has of them.

They are JSON, which is YAML too; the kinds are the same in all supported minors (k8s.io/apiserver, apis/audit and apis/apiserver, v1).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.api_server import Audit
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane

CONFIGURATION_DIR: Final = "/etc/kubernetes/configuration"
AUTHORIZATION_DIR: Final = "/etc/kubernetes/authorization"
ENCRYPTION_FILE: Final = "encryption-configuration.yaml"
ENCRYPTION_PATH: Final = f"/etc/kubernetes/encryption/{ENCRYPTION_FILE}"
AUDIT_LOG_DIR: Final = "/var/log/kubernetes/audit"
_AUDIT: Final = "audit-policy.yaml"
_AUTHENTICATION: Final = "authentication.yaml"
_AUTHORIZATION: Final = "authorization.yaml"
_CONFIG_API: Final = "apiserver.config.k8s.io/v1"


def files(tenant: TenantControlPlane) -> dict[str, str]:
    """Name → content of the files of a tenant; empty when it has none."""
    settings = tenant.api_server
    found: dict[str, Json] = {}
    if settings.audit:
        found[_AUDIT] = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", **settings.audit.policy}
    if settings.authentication:
        found[_AUTHENTICATION] = {"apiVersion": _CONFIG_API, "kind": "AuthenticationConfiguration", **settings.authentication}
    if settings.authorization:
        authorizers = [_authorizer(item) for item in settings.authorization["authorizers"]]
        found[_AUTHORIZATION] = {"apiVersion": _CONFIG_API, "kind": "AuthorizationConfiguration", "authorizers": authorizers}
    return {name: json.dumps(body, ensure_ascii=False, sort_keys=True) for name, body in found.items()}


def checksum(contents: Mapping[str, str]) -> str:
    """Fingerprint of the files: the server does not read all of them again, and what it cannot use must be seen at once."""
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()[:16]


def flags(tenant: TenantControlPlane) -> dict[str, str]:
    """The flags that name the files."""
    settings = tenant.api_server
    found = _audit_flags(settings.audit) if settings.audit else {}
    if settings.authentication:
        found["--authentication-config"] = f"{CONFIGURATION_DIR}/{_AUTHENTICATION}"
    if settings.authorization:
        found["--authorization-config"] = f"{CONFIGURATION_DIR}/{_AUTHORIZATION}"
    return found


def webhook_secrets(tenant: TenantControlPlane) -> list[tuple[str, str, str]]:
    """(Secret, key, name of the file) of each authorization webhook's kubeconfig."""
    authorizers = (tenant.api_server.authorization or {}).get("authorizers", ())
    secrets = [(item["name"], item["webhook"]["kubeconfigSecret"]) for item in authorizers if "webhook" in item]
    return [(secret["name"], secret["key"], _kubeconfig_name(name)) for name, secret in secrets]


def _kubeconfig_name(authorizer: str) -> str:
    return f"{authorizer}.conf"


def _authorizer(item: Json) -> Json:
    if "webhook" not in item:
        return item
    webhook = {key: value for key, value in item["webhook"].items() if key != "kubeconfigSecret"}
    webhook["connectionInfo"] = {"type": "KubeConfigFile", "kubeConfigFile": f"{AUTHORIZATION_DIR}/{_kubeconfig_name(item['name'])}"}
    return {**item, "webhook": webhook}


def _audit_flags(audit: Audit) -> dict[str, str]:
    found = {
        "--audit-policy-file": f"{CONFIGURATION_DIR}/{_AUDIT}",
        "--audit-log-path": f"{AUDIT_LOG_DIR}/audit.log" if audit.volume_name else "-",
    }
    limits = {"maxage": audit.max_age_days, "maxbackup": audit.max_backups, "maxsize": audit.max_size_megabytes}
    found.update({f"--audit-log-{name}": str(value) for name, value in limits.items() if value is not None})
    if audit.compress:
        found["--audit-log-compress"] = "true"
    return found
