# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role controller on an API server where nothing makes pods: the role as its users run it, and the program with the role's own rights."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, ObjectRef, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer
from ansible_collections.hosted.kubernetes.tests.support.playbooks import PlaybookRun, run_role
from ansible_collections.hosted.kubernetes.tests.support.tenants import RENEW_BEFORE_DAYS

NAME: Final = "hosted-kubernetes-controller"
IMAGE: Final = "registry.example.com/controller:1"
_LOOK_S: Final = 0.1


@contextlib.contextmanager
def deployment_controller(client: Client, namespace: str) -> Iterator[None]:
    """Say of the role's Deployment what its controller would say once all pods are ready."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(_LOOK_S):
            live = client.get(resource_of("Deployment"), NAME, namespace)
            if live is None or (live.get("status") or {}).get("observedGeneration") == live["metadata"]["generation"]:
                continue
            counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), live["spec"]["replicas"])
            status = {"observedGeneration": live["metadata"]["generation"], **counts}
            client.merge_patch(ObjectRef.of(live), {"status": status}, subresource="status")

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def run(folder: Path, kubeconfig: Path, *options: str, **variables: Any) -> PlaybookRun:
    """Run the role with an image of a registry, for certificates that live as long as those of the test's etcd."""
    given = {"controller_kubeconfig": str(kubeconfig), "controller_image": IMAGE, "controller_renew_before_days": RENEW_BEFORE_DAYS}
    return run_role(folder, "controller", *options, **{**given, **variables})


def deployment(client: Client, namespace: str) -> Json:
    live = client.get(resource_of("Deployment"), NAME, namespace)
    assert live is not None
    return live


def arguments(client: Client, namespace: str) -> tuple[str, ...]:
    """What the Deployment has its pods called with, without the address of their web server."""
    (container,) = deployment(client, namespace)["spec"]["template"]["spec"]["containers"]
    return tuple(item for item in container["args"] if not item.startswith("--metrics-address="))


def service_account(server: ApiServer, namespace: str, path: Path) -> Path:
    """A kubeconfig with a token of the role's service account, as its pods have one."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    answer = server.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{NAME}/token", request)
    authority = base64.b64encode(server.authority.pair.certificate.read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "pod",
        "contexts": [{"name": "pod", "context": {"cluster": "pod", "user": "pod"}}],
        "clusters": [{"name": "pod", "cluster": {"server": server.url, "certificate-authority-data": authority}}],
        "users": [{"name": "pod", "user": {"token": answer["status"]["token"]}}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config), encoding="utf-8")
    return path
