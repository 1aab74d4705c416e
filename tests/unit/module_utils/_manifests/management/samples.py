# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tenants and inputs of the tests."""

from __future__ import annotations

import dataclasses
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import TenantControlPlane, parse
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.management.inputs import DatastoreInputs, ManagementInputs


def tenant(**spec: Any) -> TenantControlPlane:
    """acme with konnectivity; keywords are fields of the spec with "__" between levels."""
    definition: Json = {
        "metadata": {"name": "acme", "namespace": "tenants"},
        "spec": {
            "kubernetes": {"version": "v1.36.3"},
            "controlPlane": {"deployment": {}, "service": {"serviceType": "LoadBalancer"}},
            "networkProfile": {},
            "addons": {"konnectivity": {}, "coreDNS": {}, "kubeProxy": {}},
        },
    }
    for path, value in spec.items():
        node, *keys = definition["spec"], *path.split("__")
        for key in keys[:-1]:
            node = node.setdefault(key, {})
        node[keys[-1]] = value
    return parse(definition)


ENDPOINTS = {
    "PostgreSQL": ("postgresql.databases:5432",),
    "MySQL": ("mysql.databases:3306",),
}


def kine_inputs(driver: str = "PostgreSQL", **changes: Any) -> ManagementInputs:
    """Those of a tenant in a datastore that is reached through kine. changes: of its datastore."""
    datastore = dataclasses.replace(inputs().datastore, driver=driver, endpoints=ENDPOINTS[driver])
    return inputs(datastore=dataclasses.replace(datastore, **changes))


def inputs(**changes: Any) -> ManagementInputs:
    datastore = DatastoreInputs(
        name="default",
        driver="etcd",
        endpoints=("etcd-0.etcd:2379", "etcd-1.etcd:2379"),
        schema="tenants_acme",
        user="tenants_acme",
        config_checksum="c0",
        certificate_checksum="c1",
    )
    values: dict[str, Any] = {
        "uid": "8d0f",
        "addresses": ("198.18.0.200",),
        "advertise_address": "198.18.0.200",
        "endpoint": "198.18.0.200:6443",
        "checksums": {"ca": "aa", "api-server-certificate": "bb"},
        "datastore": datastore,
        "replicas": 2,
    }
    return ManagementInputs(**{**values, **changes})
