# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the other tests of this layer build on."""

from __future__ import annotations

import re
import time
from pathlib import Path

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.wait import Objects, wait_until
from ansible_collections.hosted.kubernetes.tests.support.cluster import PLAYBOOKS, Cluster
from ansible_collections.hosted.kubernetes.tests.support.lab import on_machine

PROXIES = "k8s-app=kube-proxy"


def test_a_second_run_of_what_makes_the_cluster_changes_nothing(cluster: Cluster) -> None:
    for name in PLAYBOOKS:
        output = cluster.playbook(name)
        assert set(re.findall(r"changed=(\d+)", output)) == {"0"}, output


def test_services_outlive_the_kube_proxy_that_made_them(cluster: Cluster, kubeconfig: Path) -> None:
    """The next one reads its rules back, writes those of a new Service, and forgets none."""
    with connect(ConnectionOptions(kubeconfig=str(kubeconfig))) as client:
        kubernetes = client.get(resource_of("Service"), "kubernetes", "default")
        assert kubernetes is not None
        address = kubernetes["spec"]["clusterIP"]
        assert address in _dispatched(cluster)
        for number in range(2):
            _replace_proxy(client)
            spec = {"ports": [{"port": 80}], "selector": {"component": "etcd"}}
            metadata = {"name": f"new-{number}", "namespace": "kube-system"}
            new: Json = client.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
            deadline = time.monotonic() + 60
            while new["spec"]["clusterIP"] not in (dispatched := _dispatched(cluster)):
                assert time.monotonic() < deadline, dispatched
                time.sleep(0.5)
            client.delete(resource_of("Service"), metadata["name"], metadata["namespace"])
            assert address in dispatched


def _dispatched(cluster: Cluster) -> str:
    return on_machine(cluster.lab_name, f"{cluster.lab_name}-management", "nft list map ip kube-proxy service-ips")


def _replace_proxy(client: Client) -> None:
    (old,) = client.list(resource_of("Pod"), namespace="kube-system", label_selector=PROXIES).items
    client.delete(resource_of("Pod"), old["metadata"]["name"], "kube-system")

    def is_replaced(pods: Objects) -> bool:
        return [pod["status"]["phase"] for pod in pods.values() if pod["metadata"]["uid"] != old["metadata"]["uid"]] == ["Running"]

    wait_until(
        client,
        resource_of("Pod"),
        namespace="kube-system",
        label_selector=PROXIES,
        predicate=is_replaced,
        deadline=time.monotonic() + 60,
        what="the new kube-proxy",
        explain=lambda pods: ", ".join(pod["status"]["phase"] for pod in pods.values()),
    )
