# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects as desired, and (recorded.json beside this file) as a real API server stored them after our apply.

Record anew with `python -m ansible_collections.hosted.kubernetes.tests.unit.module_utils._reconcile.recorded DIRECTORY`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.names import FIELD_MANAGER
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import KAMAJI_API_VERSION, Json

NAME: Final = "recorded.json"


def _metadata(**more: Any) -> Json:
    return {"name": "acme", "namespace": "default", **more}


DESIRED: Final[dict[str, Json]] = {
    "Deployment": {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(labels={"app": "acme"}, annotations={"example.com/a.b": "c"}),
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "acme"}},
            "template": {
                "metadata": {"labels": {"app": "acme", "checksum": "1"}},
                "spec": {
                    "tolerations": [
                        {"key": "a", "operator": "Exists"},
                        {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
                    ],
                    "nodeSelector": {},
                    "topologySpreadConstraints": [
                        {
                            "maxSkew": 1,
                            "topologyKey": "zone",
                            "whenUnsatisfiable": "ScheduleAnyway",
                            "labelSelector": {"matchLabels": {"app": "acme"}},
                        }
                    ],
                    "containers": [
                        {
                            "name": "server",
                            "image": "example.com/server:1",
                            "args": ["--a=1", "--b=2"],
                            "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                            "ports": [{"containerPort": 6443, "name": "api"}],
                            "resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}, "limits": {"cpu": 2}},
                            "readinessProbe": {"httpGet": {"path": "/readyz", "port": 6443, "scheme": "HTTPS"}},
                            "securityContext": {"capabilities": {"drop": ["ALL"]}},
                            "volumeMounts": [
                                {"name": "keys", "mountPath": "/keys", "readOnly": True},
                                {"name": "tmp", "mountPath": "/tmp"},
                            ],
                        },
                        {"name": "side", "image": "example.com/side:1"},
                    ],
                    "volumes": [
                        {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
                        {"name": "scratch", "emptyDir": {}},
                        {
                            "name": "keys",
                            "projected": {
                                "defaultMode": 288,
                                "sources": [
                                    {"secret": {"name": "ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                                    {"configMap": {"name": "config"}},
                                ],
                            },
                        },
                    ],
                },
            },
        },
    },
    "Service": {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(
            labels={"app": "acme"},
            finalizers=["example.com/ours"],
            ownerReferences=[{"apiVersion": "v1", "kind": "Namespace", "name": "default", "uid": "5e10", "controller": True}],
        ),
        "spec": {
            "type": "ClusterIP",
            "selector": {"app": "acme"},
            "externalIPs": ["198.18.0.1"],
            "ports": [
                {"name": "api", "port": 6443, "targetPort": 6443},
                {"name": "proxy", "protocol": "TCP", "port": 8132, "targetPort": "proxy"},
            ],
        },
    },
    "NetworkPolicy": {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(labels={}),
        "spec": {
            "podSelector": {"matchLabels": {"app": "acme"}},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"ports": [{"port": 6443, "protocol": "TCP"}, {"port": 8132}]},
                {"from": [{"podSelector": {}}], "ports": [{"port": "metrics"}]},
            ],
        },
    },
    "ConfigMap": {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(),
        "data": {"admin.conf": "a: b\n", "empty": ""},
    },
    "TenantControlPlane": {
        "apiVersion": KAMAJI_API_VERSION,
        "kind": "TenantControlPlane",
        "metadata": _metadata(finalizers=["example.com/ours"]),
        "spec": {
            "kubernetes": {"version": "v1.36.3"},
            "dataStore": "",
            "addons": {"coreDNS": {}},
            "controlPlane": {"deployment": {"replicas": 0, "tolerations": [], "resources": {"apiServer": {"requests": {"cpu": "0.5"}}}}},
            "networkProfile": {"serviceCidrs": ["10.96.0.0/16"], "certSANs": ["a.example.com", "b.example.com"]},
        },
    },
}


def recorded(kind: str) -> Json:
    """The object as the API server stored it."""
    objects: dict[str, Json] = json.loads((Path(__file__).parent / NAME).read_text(encoding="utf-8"))
    return objects[kind]


def record(directory: Path) -> None:
    """Apply every object to a fresh API server and write what it stored."""
    from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
    from ansible_collections.hosted.kubernetes.tests.support.apiserver import running_api_server
    from ansible_collections.hosted.kubernetes.tests.support.bundle import bundle_directory
    from ansible_collections.hosted.kubernetes.tests.support.tenants import install_definitions

    with tempfile.TemporaryDirectory() as work, running_api_server(bundle_directory(), Path(work)) as server:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}
        with connect(ConnectionOptions(kubeconfig=str(server.kubeconfig))) as client:
            install_definitions(client)
            client.apply(namespace, force=True)
            stored = {kind: client.apply(body, field_manager=FIELD_MANAGER, force=True) for kind, body in DESIRED.items()}
    (directory / NAME).write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record(Path(sys.argv[1]))
