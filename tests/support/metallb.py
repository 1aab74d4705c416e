# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real programs of MetalLB as role load_balancer runs them, but as processes of this machine that send nothing into its networks."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml

from ansible_collections.hosted.kubernetes.tests.support.bundle import COLLECTION, program_of_image
from ansible_collections.hosted.kubernetes.tests.support.processes import free_ports, running

ROLE = COLLECTION / "roles/load_balancer"
NODE, POD = "node-1", "speaker-1"
_FIELDS = {"metadata.namespace": "metallb-system", "spec.nodeName": NODE, "metadata.name": POD}
_HOST = "127.0.0.1"


def crds() -> list[dict[str, Any]]:
    """The CustomResourceDefinitions that the role brings."""
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((ROLE / "files/metallb_crds").glob("*.yaml"))]


def objects(**variables: Any) -> list[dict[str, Any]]:
    """All other objects of the role, as its template and its defaults make them. variables: those that a user sets."""
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8"))
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.filters.update(to_json=json.dumps, bool=bool)
    text = environment.from_string((ROLE / "templates/metallb.yaml.j2").read_text(encoding="utf-8"))
    return list(yaml.safe_load_all(text.render(**{**defaults, **variables})))


def container(kind: str, made: list[dict[str, Any]]) -> dict[str, Any]:
    """The only container of the Deployment (controller) or DaemonSet (speaker) among objects."""
    (workload,) = (item for item in made if item["kind"] == kind)
    (found,) = workload["spec"]["template"]["spec"]["containers"]
    return dict(found)


@dataclass(frozen=True)
class Speaker:
    """A running program of MetalLB; only a speaker announces."""

    port: int

    def announces(self, service: str) -> bool:
        """Whether it answers for the addresses of a Service (namespace/name) in layer 2. Raises OSError while it does not serve."""
        text = self.metrics()
        return bool(re.search(rf'metallb_speaker_announced{{[^}}]*protocol="layer2"[^}}]*service="{re.escape(service)}"[^}}]*}} 1', text))

    def metrics(self) -> str:
        """What it tells of itself. Raises OSError while it does not serve."""
        with contextlib.closing(http.client.HTTPConnection(_HOST, self.port, timeout=5)) as connection:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()


@contextlib.contextmanager
def running_speaker(program: Path, made: list[dict[str, Any]], kubeconfig: Path, directory: Path) -> Iterator[Speaker]:
    """Run the speaker with the arguments and the environment of its DaemonSet; it serves its metrics inside the block.

    made: objects(), whose load_balancer_interfaces is ["lo"]: there it would announce, and that interface knows no layer 2.
    """
    (memberlist,) = free_ports(1)
    (directory / "secretkey").write_text("of this test", encoding="utf-8")
    own = {"METALLB_ML_BIND_PORT": str(memberlist), "METALLB_ML_SECRET_KEY_PATH": str(directory)}
    with _running(program, container("DaemonSet", made), kubeconfig, directory, own) as speaker:
        yield speaker


@contextlib.contextmanager
def running_controller(program: Path, made: list[dict[str, Any]], kubeconfig: Path, directory: Path) -> Iterator[None]:
    """Run the controller with the arguments and the environment of its Deployment; it serves its metrics inside the block."""
    with _running(program, container("Deployment", made), kubeconfig, directory, {}):
        yield


@contextlib.contextmanager
def _running(program: Path, spec: dict[str, Any], kubeconfig: Path, directory: Path, own: Mapping[str, str]) -> Iterator[Speaker]:
    (port,) = free_ports(1)
    environment = {"PATH": os.environ["PATH"], **_environment(spec["env"]), "KUBECONFIG": str(kubeconfig), "METALLB_HOST": _HOST, **own}
    process = Speaker(port)
    argv = [str(program), *spec["args"], f"--port={port}"]
    with running(argv, directory / f"{program.name}.log", lambda: bool(process.metrics()), environment=environment):
        yield process


def program(bundle: Path, name: str, directory: Path) -> Path:
    """Take speaker or controller out of its image; return where it is then."""
    return program_of_image(bundle, f"metallb-{name}", f"/{name}", directory)


def _environment(entries: list[Mapping[str, Any]]) -> dict[str, str]:
    """The variables of a container, as a kubelet fills them in; addresses of host and pod are loopback."""
    return {entry["name"]: entry.get("value") or _FIELDS.get(_field(entry), _HOST) for entry in entries}


def _field(entry: Mapping[str, Any]) -> str:
    return str(entry["valueFrom"]["fieldRef"]["fieldPath"])
