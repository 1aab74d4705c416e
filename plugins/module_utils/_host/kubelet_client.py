# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a joined kubelet reaches its cluster: address and CA in kubelet.conf, and its client certificate.

The kubelet reads kubelet.conf at its start only, so that a change is followed by a restart. A run may be killed in between: beside the
change a marker is written, by whose age the next run sees that the kubelet is older. The CA file that the kubelet checks clients with is read
again by itself (k8s.io/apiserver, DynamicFileCAContent). A certificate that has expired is asked for anew by the kubelet itself when it finds
bootstrap-kubelet.conf (pkg/kubelet/certificate/bootstrap), whose token is valid for minutes.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import facts, tools, x509
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import files as host_files

CA_FILE = "/etc/kubernetes/pki/ca.crt"
MARKER = "/var/lib/hosted-kubernetes/kubelet-client"
_POLL_S = 0.5


@dataclass(frozen=True)
class Places:
    """Paths of the files."""

    kubelet_conf: str = facts.KUBELET_CONF
    bootstrap_conf: str = facts.BOOTSTRAP_CONF
    ca_file: str = CA_FILE
    marker: str = MARKER


@dataclass(frozen=True)
class Client:
    """The kubelet's side as it is. conf: text of kubelet.conf. not_after_s: end of the client certificate, None when there is none.

    has_token: a run that was killed has left its token on the host.
    """

    conf: str
    ca_file: str
    not_after_s: int | None
    has_token: bool = False


def observe(places: Places) -> Client:
    """Raises HostedKubernetesError when the host has not joined."""
    conf = facts.text_of(places.kubelet_conf) or ""
    if not conf:
        raise HostedKubernetesError(
            f"{places.kubelet_conf}: does not exist; the host has not joined a cluster, join it first (playbook worker)"
        )
    described = facts.describe_kubelet_conf(conf)
    if described["problem"]:
        raise HostedKubernetesError(f"{places.kubelet_conf}: {described['problem']}; join the host again (playbook worker)")
    return Client(conf, facts.text_of(places.ca_file) or "", described["client_not_after_s"], os.path.exists(places.bootstrap_conf))


def plan(client: Client, server: str, ca: str, now_s: float) -> list[str]:
    """Return what must change, out of server, ca, ca file, certificate, token; empty when all is right.

    server: URL of the API server. ca: its CA certificates (PEM); their order and the text around them do not count.
    """
    described = facts.describe_kubelet_conf(client.conf)
    changes = []
    if described["server"] != server:
        changes.append("server")
    if set(_certificates(facts.authority_of(client.conf))) != set(_certificates(ca)):
        changes.append("ca")
    if set(_certificates(client.ca_file)) != set(_certificates(ca)):
        changes.append("ca file")
    if client.not_after_s is None or client.not_after_s <= now_s:
        changes.append("certificate")
    elif client.has_token:
        changes.append("token")
    return changes


def with_cluster(conf: str, server: str, ca: str) -> str:
    """Return the text of a kubelet.conf with another address and CA, as the kubelet writes it, all else unchanged."""
    data = base64.b64encode(ca.encode()).decode()
    text = re.sub(
        r"^(\s*)certificate-authority(-data)?:.*$", rf"\g<1>certificate-authority-data: {data}", conf, count=1, flags=re.MULTILINE
    )
    return re.sub(r"^(\s*)server:.*$", rf"\g<1>server: {server}", text, count=1, flags=re.MULTILINE)


def apply(changes: list[str], client: Client, server: str, ca: str, places: Places) -> None:
    """Write address and CA. What needs the kubelet's help (certificate) is done by renew."""
    if "token" in changes:
        host_files.remove(places.bootstrap_conf)
    if "ca file" in changes:
        host_files.write(places.ca_file, ca.encode(), 0o644)
    if "server" in changes or "ca" in changes:
        os.makedirs(os.path.dirname(places.marker), mode=0o755, exist_ok=True)
        # First: a run that is killed in between leaves a difference, and one that is killed later a marker that is newer than the kubelet.
        host_files.write(places.marker, f"{server}\n".encode(), 0o644)
        host_files.write(places.kubelet_conf, with_cluster(client.conf, server, ca).encode(), 0o600)


def bootstrap_conf(server: str, ca: str, token: str) -> str:
    """The kubeconfig with which a kubelet asks for its client certificate, as kubeadm join writes it (JSON is YAML)."""
    name, user = "kubernetes", "tls-bootstrap-token-user"
    cluster = {"certificate-authority-data": base64.b64encode(ca.encode()).decode(), "server": server}
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "contexts": [{"name": f"{user}@{name}", "context": {"cluster": name, "user": user}}],
        "current-context": f"{user}@{name}",
        "users": [{"name": user, "user": {"token": token}}],
    }
    return json.dumps(document)


def renew(
    server: str,
    ca: str,
    token: str,
    timeout_s: float,
    places: Places,
    *,
    restart: Callable[[], None],
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Let the kubelet ask for a new client certificate, and wait until it has it; the token is off the host then, however this ends.

    Raises HostedKubernetesError when it does not get one in time.
    """
    deadline = clock() + timeout_s
    try:
        host_files.write(places.bootstrap_conf, bootstrap_conf(server, ca, token).encode(), 0o600)
        restart()
        while not _is_valid(places, clock()):
            if clock() >= deadline:
                raise HostedKubernetesError(
                    f"the kubelet got no client certificate in {timeout_s:g} s; look at journalctl -u kubelet on the host, and whether the "
                    "tenant signs requests (kubectl get certificatesigningrequests)"
                )
            sleep(_POLL_S)
    finally:
        host_files.remove(places.bootstrap_conf)


def restart_kubelet() -> None:
    """Restart the kubelet, also one that systemd has given up. Raises HostedKubernetesError."""
    for arguments in (["reset-failed", "kubelet.service"], ["restart", "kubelet.service"]):
        done = subprocess.run(
            ["systemctl", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, env=tools.environment()
        )
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").strip()
        raise HostedKubernetesError(f"systemctl restart kubelet.service: {said}; look at journalctl -u kubelet on the host")


def _is_valid(places: Places, now_s: float) -> bool:
    end_s = facts.describe_kubelet_conf(facts.text_of(places.kubelet_conf) or "")["client_not_after_s"]
    return end_s is not None and end_s > now_s


def _certificates(text: str) -> list[str]:
    """Base64 of each certificate of a PEM text, without line breaks. What is no certificate does not count."""
    return ["".join(body.split()) for body in x509.PEM.findall(text)]
