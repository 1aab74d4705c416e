# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, labels and annotations of everything a tenant owns, as in the reference system (kamaji.clastix.io)."""

from __future__ import annotations

import hashlib
from typing import Final

FIELD_MANAGER: Final = "hosted-kubernetes"
LABEL_PROJECT: Final = "kamaji.clastix.io/project"
LABEL_NAME: Final = "kamaji.clastix.io/name"
LABEL_COMPONENT: Final = "kamaji.clastix.io/component"
LABEL_LIFECYCLE: Final = "kamaji.clastix.io/certificate_lifecycle_controller"
# Of a Secret that a KubeconfigGenerator keeps: by which generator, for which tenant.
LABEL_MANAGED_BY: Final = "kamaji.clastix.io/managed-by"
LABEL_MANAGED_FOR: Final = "kamaji.clastix.io/managed-for"
PROJECT: Final = "kamaji"
PROJECT_SELECTOR: Final = f"{LABEL_PROJECT}={PROJECT}"
ANNOTATION_CHECKSUM: Final = "kamaji.clastix.io/checksum"
ANNOTATION_PAUSED: Final = "kamaji.clastix.io/paused"
ANNOTATION_ROTATE: Final = "certs.kamaji.clastix.io/rotate"
FINALIZER: Final = "finalizer.kamaji.clastix.io"
# What the reference system leaves on objects that it made, and that is given up when a tenant is taken over:
REFERENCE_MANAGER: Final = "kamaji"
SOOT_FINALIZER: Final = "finalizer.kamaji.clastix.io/soot"
SECRET_FINALIZER: Final = "finalizer.kamaji.clastix.io/datastore-secret"
STORE_FINALIZER: Final = "kamaji.clastix.io/TenantControlPlane"
# Ours, additive:
ANNOTATION_TEMPLATE: Final = "hosted-kubernetes.io/template"
ANNOTATION_SERVING: Final = "hosted-kubernetes.io/serving-certificate"
ANNOTATION_REPLICAS: Final = "hosted-kubernetes.io/replicas"
ANNOTATION_CONFIGURATION: Final = "hosted-kubernetes.io/configuration"
ANNOTATION_ENCRYPTION: Final = "hosted-kubernetes.io/encryption"
ANNOTATION_ENCRYPTED_WITH: Final = "hosted-kubernetes.io/encrypted-with"
# Of a tenant whose data is being replaced, or whose restore was interrupted: nobody may wake it.
ANNOTATION_RESTORE: Final = "hosted-kubernetes.io/restore"
# The backup whose data it was given last.
ANNOTATION_RESTORED: Final = "hosted-kubernetes.io/restored"
GENERATOR_FINALIZER: Final = "hosted-kubernetes.io/kubeconfigs"


def labels(tenant: str, component: str) -> dict[str, str]:
    """Labels of every object in the management cluster that belongs to a tenant."""
    return {LABEL_PROJECT: PROJECT, LABEL_NAME: tenant, LABEL_COMPONENT: component}


LONGEST_COMMON_NAME: Final = 64
"""Of a certificate (RFC 5280, ub-common-name); a user is known by it."""

LONGEST_SCHEMA: Final = 62
"""Of a share's default name. PostgreSQL cuts names of databases after 63 characters without an error; in grants MySQL takes 64, where each of its
two underscores counts twice."""

LONGEST_DATASTORE_USER: Final = 32
"""Of the default name of its user: what MySQL takes, the shortest of all datastores."""


def default_schema(namespace: str, tenant: str) -> str:
    """Name of a tenant's share of its datastore where the definition names none.

    The same when the tenant is made anew from Git; free of collisions: an underscore can stand in neither part.
    """
    return _shortened(f"{namespace}_{tenant}", LONGEST_SCHEMA)


def default_user(schema: str) -> str:
    """Name of a share's user where the definition names none."""
    return _shortened(schema, LONGEST_DATASTORE_USER)


def _shortened(name: str, longest: int) -> str:
    """The name itself, or its beginning with a fingerprint of the whole when it is too long."""
    if len(name.encode()) <= longest:
        return name
    return f"{name.encode()[: longest - 13].decode(errors='ignore')}_{hashlib.sha256(name.encode()).hexdigest()[:12]}"


# Secrets: <tenant><suffix>
CA: Final = "-ca"
FRONT_PROXY_CA: Final = "-front-proxy-ca-certificate"
SERVICE_ACCOUNT: Final = "-sa-certificate"
API_SERVER: Final = "-api-server-certificate"
API_SERVER_KUBELET_CLIENT: Final = "-api-server-kubelet-client-certificate"
FRONT_PROXY_CLIENT: Final = "-front-proxy-client-certificate"
ADMIN_KUBECONFIG: Final = "-admin-kubeconfig"
CONTROLLER_MANAGER_KUBECONFIG: Final = "-controller-manager-kubeconfig"
SCHEDULER_KUBECONFIG: Final = "-scheduler-kubeconfig"
DATASTORE_CONFIG: Final = "-datastore-config"
DATASTORE_CONFIG_COMPONENT: Final = "datastore-config"
DATASTORE_CERTIFICATE: Final = "-datastore-certificate"
KONNECTIVITY_CERTIFICATE: Final = "-konnectivity-certificate"
KONNECTIVITY_KUBECONFIG: Final = "-konnectivity-kubeconfig"
ENCRYPTION: Final = "-encryption-configuration"
SECRETS: Final = (
    CA, FRONT_PROXY_CA, SERVICE_ACCOUNT, API_SERVER, API_SERVER_KUBELET_CLIENT, FRONT_PROXY_CLIENT, ADMIN_KUBECONFIG,
    CONTROLLER_MANAGER_KUBECONFIG, SCHEDULER_KUBECONFIG, DATASTORE_CONFIG, DATASTORE_CERTIFICATE, KONNECTIVITY_CERTIFICATE,
    KONNECTIVITY_KUBECONFIG, ENCRYPTION,
)  # fmt: skip
"""Endings of Secrets that a tenant has, or may have one day: no other Secret of ours may end so."""
# ConfigMaps: <tenant><suffix>
KUBEADM_CONFIG: Final = "-kubeadmconfig"
EGRESS_SELECTOR: Final = "-konnectivity-egress-selector-configuration"
API_SERVER_CONFIGURATION: Final = "-api-server-configuration"
# TLSRoute of konnectivity beside that of the API server: <tenant><suffix>
TUNNEL_ROUTE: Final = "-konnectivity"
