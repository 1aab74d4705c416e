# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bootstrap tokens: one Secret per joining host, short-lived, recognisable by the host it was made for.

Shape: https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.kubeconfig import KubeconfigContext, KubeconfigError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.names import FIELD_MANAGER
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json

try:
    import yaml
except ImportError:  # ansible-test imports every file without it; a module's adapter gives the message
    yaml = None  # type: ignore[assignment]

NAMESPACE: Final = "kube-system"
SECRET_TYPE: Final = "bootstrap.kubernetes.io/token"  # the name of a type
FIELD_SELECTOR: Final = f"type={SECRET_TYPE}"
GROUP: Final = "system:bootstrappers:kubeadm:default-node-token"
ANNOTATION_HOST: Final = "hosted-kubernetes.io/host"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
# Letters of a token, and how many of them name it and how many are secret.
ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
ID_LENGTH: Final = 6
SECRET_LENGTH: Final = 16
MAX_TTL_S: Final = 15 * 60
_MIN_TTL_S: Final = 60

CLUSTER_INFO: Final = "cluster-info"
CLUSTER_INFO_NAMESPACE: Final = "kube-public"
_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)


@dataclass(frozen=True)
class Token:
    """A token of ID_LENGTH and SECRET_LENGTH letters of ALPHABET. expires is UTC-aware."""

    id: str
    secret: str = field(repr=False)
    host: str
    expires: datetime

    def __post_init__(self) -> None:
        if len(self.id) != ID_LENGTH or len(self.secret) != SECRET_LENGTH or set(self.id + self.secret) - set(ALPHABET):
            raise ValueError(f"token {self.id}: not of the form [a-z0-9]{{6}}.[a-z0-9]{{16}}")

    @property
    def text(self) -> str:
        """What kubeadm takes."""
        return f"{self.id}.{self.secret}"

    def manifest(self) -> Json:
        """The Secret; the controller-manager's token cleaner removes it after `expires`, whoever forgot to."""
        data = {
            "token-id": self.id,
            "token-secret": self.secret,
            "expiration": self.expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "usage-bootstrap-signing": "true",
            "usage-bootstrap-authentication": "true",
            "auth-extra-groups": GROUP,
            "description": f"hosted.kubernetes: join of host {self.host}",
        }
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": SECRET_TYPE,
            "metadata": {
                "name": f"bootstrap-token-{self.id}",
                "namespace": NAMESPACE,
                "labels": {LABEL_MANAGED_BY: FIELD_MANAGER},
                "annotations": {ANNOTATION_HOST: self.host},
            },
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
        }


def check_ttl(ttl_s: int) -> None:
    """Refuse a lifetime that is too short to join with, or longer than a join can need. Raises InvalidError."""
    if not _MIN_TTL_S <= ttl_s <= MAX_TTL_S:
        raise InvalidError(f"ttl {ttl_s}: a bootstrap token lives {_MIN_TTL_S} to {MAX_TTL_S} seconds; it is made right before the join")


def tokens_of(host: str, secrets: Iterable[Json]) -> list[str]:
    """Return the names of the token Secrets that this collection made for a host."""
    names = []
    for secret in secrets:
        metadata = secret["metadata"]
        ours = (metadata.get("labels") or {}).get(LABEL_MANAGED_BY) == FIELD_MANAGER
        if ours and (metadata.get("annotations") or {}).get(ANNOTATION_HOST) == host:
            names.append(metadata["name"])
    return sorted(names)


def unsigned(token_id: str, cluster_info: Json | None) -> str | None:
    """Why a host could not verify cluster-info with this token yet, None when it can."""
    where = f"ConfigMap {CLUSTER_INFO_NAMESPACE}/{CLUSTER_INFO}"
    if cluster_info is None:
        return f"{where} does not exist; the phase cluster-info of the tenant makes it"
    if not (cluster_info.get("data") or {}).get(f"jws-kubeconfig-{token_id}"):
        return f"the controller-manager has not signed {where} for the token; is its bootstrapsigner switched on and the pod running?"
    return None


def cluster_of(cluster_info: Json) -> KubeconfigContext:
    """Return the cluster that cluster-info describes: server and CA. Raises KubeconfigError when it describes none.

    Its kubeconfig has one cluster and no context, as kubeadm writes it.
    """
    try:
        document = yaml.safe_load((cluster_info.get("data") or {}).get("kubeconfig") or "")
        cluster = document["clusters"][0]["cluster"]
    except (yaml.YAMLError, KeyError, IndexError, TypeError) as error:
        raise KubeconfigError(
            f"ConfigMap {CLUSTER_INFO_NAMESPACE}/{CLUSTER_INFO}: its kubeconfig names no cluster; run the tenant's playbook again"
        ) from error
    return KubeconfigContext(name="", cluster=cluster, user={})


def certificates(pem: bytes) -> list[bytes]:
    """Split a PEM bundle into its certificates."""
    return [found.encode() for found in _PEM.findall(pem.decode())]
