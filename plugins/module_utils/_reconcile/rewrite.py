# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write all objects of some resources of a tenant anew, so that they are stored with the key that writes now.

A patch without content is enough: the API server stores what it read with another key again (k8s.io/apiserver, storage/etcd3,
GuaranteedUpdate), and only then.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json, Resource
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import NotFoundError

_PARALLEL: Final = 8


def rewrite(client: Client, resources: Iterable[str]) -> int:
    """Write anew all objects of resources named as resource or resource.group; return how many there were."""
    count = 0
    for name in resources:
        resource = _find(client, name)
        if resource is None:
            continue  # nothing of a kind that is not served can be stored

        def touch(item: Json, resource: Resource = resource) -> None:
            metadata = item["metadata"]
            path = resource.path(metadata.get("namespace"), metadata["name"])
            try:
                client.request("PATCH", path, body={}, content_type="application/merge-patch+json")
            except NotFoundError:
                return  # deleted meanwhile

        items = client.list(resource, metadata_only=True).items
        with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
            count += len(list(pool.map(touch, items)))
    return count


def _find(client: Client, name: str) -> Resource | None:
    plural, _unused, group = name.partition(".")
    try:
        version = client.request("GET", f"/apis/{group}")["preferredVersion"]["groupVersion"] if group else "v1"
        served = client.request("GET", f"/apis/{version}" if group else f"/api/{version}")["resources"]
    except NotFoundError:
        return None
    found = next((item for item in served if item["name"] == plural), None)
    return Resource(version, found["kind"], plural, found["namespaced"]) if found else None
