# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services with a fixed cluster IP that is allocated already, on a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, resource_of
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.connection import ConnectionOptions, connect
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import InvalidObjectError
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.cluster_ip import apply_service


@pytest.fixture
def client(kubeconfig: Path) -> Iterator[Client]:
    with connect(ConnectionOptions(kubeconfig=str(kubeconfig)), {}) as made:
        yield made


def service(namespace: str, name: str, address: str) -> Json:
    spec = {"clusterIP": address, "clusterIPs": [address], "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def free_address(client: Client, namespace: str) -> str:
    """An address of the server's Service range that is free now."""
    probe = service(namespace, "probe", "")
    del probe["spec"]["clusterIP"], probe["spec"]["clusterIPs"]
    address: str = client.create(probe)["spec"]["clusterIP"]
    client.delete(resource_of("Service"), "probe", namespace)
    return address


def test_an_address_that_a_killed_request_left_allocated_is_freed(client: Client, namespace: str) -> None:
    address = free_address(client, namespace)
    parent = {"group": "", "resource": "services", "namespace": namespace, "name": "dns"}
    labels = {"ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}
    leaked = {"apiVersion": "networking.k8s.io/v1", "kind": "IPAddress", "metadata": {"name": address, "labels": labels}}
    client.create({**leaked, "spec": {"parentRef": parent}})
    wanted = service(namespace, "dns", address)
    with pytest.raises(InvalidObjectError, match="already allocated"):
        client.apply(wanted, force=True)

    assert apply_service(client, wanted, field_manager="test")["spec"]["clusterIP"] == address
    assert client.get(resource_of("Service"), "dns", namespace)


def test_the_service_that_has_the_address_is_named(client: Client, namespace: str) -> None:
    address = free_address(client, namespace)
    client.create(service(namespace, "first", address))
    with pytest.raises(HostedKubernetesError, match=rf"Service {namespace}/dns: .*{address} is that of Service {namespace}/first"):
        apply_service(client, service(namespace, "dns", address), field_manager="test")
    assert client.get(resource_of("Service"), "first", namespace)


def test_another_refusal_stays_as_it_is(client: Client, namespace: str) -> None:
    with pytest.raises(InvalidObjectError, match="current range"):
        apply_service(client, service(namespace, "dns", "192.0.2.7"), field_manager="test")
