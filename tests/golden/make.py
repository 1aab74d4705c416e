# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record what the real kubeadm creates in an empty API server: `make golden MINOR=1.36` writes the folder 1.36 beside this file.

Everything runs in a network namespace of its own, whose loopback carries the addresses of the scenarios: nothing is
reachable from outside and addresses and ports are the same in every run. kubeadm runs with an empty folder as its root
file system, so that it uses that folder's /etc/kubernetes. The objects are taken from the API server's audit log, which
holds them as kubeadm sent them, without the server's defaults. Needs root or unprivileged user namespaces.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from ansible_collections.hosted.kubernetes.tests.golden.scenarios import CA_PLACEHOLDER, SCENARIOS, Json, Scenario
from ansible_collections.hosted.kubernetes.tests.support.apiserver import ApiServer
from ansible_collections.hosted.kubernetes.tests.support.bundle import binary, bundle_directory
from ansible_collections.hosted.kubernetes.tests.support.certificates import Authority, new_key_pair
from ansible_collections.hosted.kubernetes.tests.support.etcd import running_etcd
from ansible_collections.hosted.kubernetes.tests.support.processes import running

MODULE: Final = "ansible_collections.hosted.kubernetes.tests.golden.make"
COMPONENT_HASH: Final = "kubeadm.kubernetes.io/component-config.hash"
PHASES: Final = (
    ("kubeconfig", "admin"),
    ("kubeconfig", "super-admin"),
    ("upload-config", "all"),
    ("bootstrap-token", "--skip-token-print"),
    ("addon", "all"),
)
AUDIT_POLICY: Final[Json] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Request", "verbs": ["create", "update", "patch"]}],
}


class GoldenError(Exception):
    """kubeadm failed; the message carries its output."""


def record(bundle: Path, scenarios: list[str] | None = None) -> Json:
    """Run kubeadm for the scenarios (all by default) and return {"version", "scenarios": {name: {"sent", "live", "images"}}}.

    sent: objects in the order kubeadm created them, cleaned. live: the same objects as the server stores them, cleaned.
    images: what `kubeadm config images list` says. Raises GoldenError.
    """
    names = scenarios or [scenario.name for scenario in SCENARIOS]
    prefix = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    argv = [*prefix, sys.executable, "-m", MODULE, "--inside", str(bundle), *names]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=False, env=environment, text=True)
    if done.returncode:
        raise GoldenError(f"recording ended with status {done.returncode}; its output stands above (root or user namespaces are needed)")
    result: Json = json.loads(done.stdout)
    return result


def _record_inside(bundle: Path, names: list[str]) -> Json:
    """As record(), run inside the network namespace."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in sorted({scenario.address for scenario in SCENARIOS}):
        length = 128 if ":" in address else 32
        subprocess.run(["ip", "address", "add", f"{address}/{length}", "dev", "lo"], check=True)
    version = subprocess.run(
        [binary(bundle, "kubeadm"), "version", "--output=short"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    recorded = {scenario.name: _record_scenario(bundle, scenario, version) for scenario in SCENARIOS if scenario.name in names}
    return {"version": version, "scenarios": recorded}


def _record_scenario(bundle: Path, scenario: Scenario, version: str) -> Json:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with _api_server(bundle, directory, scenario) as server:
            root = _root_file_system(directory, scenario, version, server.authority)
            for phase in PHASES if scenario.has_addons else PHASES[:-1]:
                _kubeadm(bundle, root, "init", "phase", *phase)
            authority = base64.b64encode(server.authority.pair.certificate.read_bytes()).decode()
            sent = _sent_objects(directory / "audit.log")
            live = [server.request("GET", path) for path, _unused in sent]
            images = _kubeadm(bundle, root, "config", "images", "list").split()
        return {
            "sent": [clean(obj, authority) for _unused, obj in sent],
            "live": [clean(obj, authority) for obj in live],
            "images": images,
        }


@contextlib.contextmanager
def _api_server(bundle: Path, directory: Path, scenario: Scenario) -> Iterator[ApiServer]:
    """Run an API server at the scenario's address that logs every request that writes."""
    authority = Authority(directory)
    admin = authority.client("admin", ("system:masters",))
    policy = directory / "audit-policy.json"
    policy.write_text(json.dumps(AUDIT_POLICY), encoding="utf-8")
    serving = authority.server("kube-apiserver", (scenario.address, "127.0.0.1"))
    private, public = new_key_pair(directory, "service-account")
    with running_etcd(bundle, directory) as etcd:
        server = ApiServer(scenario.address, scenario.port, authority, admin, directory / "unused", etcd.url)
        argv = [
            str(binary(bundle, "kube-apiserver")),
            f"--etcd-servers={etcd.url}",
            f"--bind-address={scenario.address}",
            f"--advertise-address={scenario.address}",
            f"--secure-port={scenario.port}",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--client-ca-file={authority.pair.certificate}",
            "--authorization-mode=Node,RBAC",
            "--endpoint-reconciler-type=none",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={public}",
            f"--service-account-signing-key-file={private}",
            f"--service-cluster-ip-range={scenario.service_cidrs}",
            "--allow-privileged=true",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={directory / 'audit.log'}",
            "--audit-log-mode=blocking-strict",
        ]
        with running(argv, directory / "kube-apiserver.log", server.is_ready):
            yield server


def _root_file_system(directory: Path, scenario: Scenario, version: str, authority: Authority) -> Path:
    root = directory / "root"
    pki = root / "etc/kubernetes/pki"
    pki.mkdir(parents=True)
    (root / "tmp").mkdir()
    shutil.copy(authority.pair.certificate, pki / "ca.crt")
    shutil.copy(authority.pair.key, pki / "ca.key")
    documents = scenario.kubeadm_documents(version)
    (root / "kubeadm.yaml").write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    return root


def _kubeadm(bundle: Path, root: Path, *arguments: str) -> str:
    argv = [str(binary(bundle, "kubeadm")), *arguments, "--config=/kubeadm.yaml", f"--rootfs={root}"]
    done = subprocess.run(argv, capture_output=True, check=False, text=True, env={})
    if done.returncode:
        raise GoldenError(f"{' '.join(argv)}\n{done.stdout}{done.stderr}")
    return done.stdout


def _sent_objects(audit_log: Path) -> list[tuple[str, Json]]:
    """Return path and object of everything kubeadm created. Secrets are left out: they are tokens of this run."""
    sent = []
    for line in audit_log.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        resource = event["objectRef"]["resource"]
        if not event["userAgent"].startswith("kubeadm/") or resource == "secrets" or event["responseStatus"]["code"] >= 400:
            continue
        if event["verb"] != "create":
            raise GoldenError(f"kubeadm did {event['verb']} {event['requestURI']} in an empty API server")
        obj = event["requestObject"]
        path = event["requestURI"].partition("?")[0]
        sent.append((f"{path}/{obj['metadata']['name']}", obj))
    return sent


def clean(obj: Json, authority: str) -> Json:
    """Return an object without what differs from run to run, and without empty fields, which say nothing.

    authority: base64 of the authority's certificate, replaced by CA_PLACEHOLDER.
    A true component hash is computed anew for the changed text; a false one is left to be found.
    """
    hash_is_true = component_hash(obj) == obj["metadata"].get("annotations", {}).get(COMPONENT_HASH)
    result: Json = json.loads(json.dumps(obj).replace(authority, CA_PLACEHOLDER))
    for name in ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"):
        result["metadata"].pop(name, None)
    result.pop("status", None)
    result = pruned(result)
    if hash_is_true:
        result["metadata"]["annotations"][COMPONENT_HASH] = component_hash(result)
    return result


def component_hash(obj: Json) -> str:
    """Checksum of a ConfigMap's data by which kubeadm knows that it, and no user, wrote it (componentconfigs/checksums.go)."""
    data = obj.get("data") or {}
    return "sha256:" + hashlib.sha256("".join(data[key] for key in sorted(data)).encode()).hexdigest()


def pruned(value: Any) -> Any:
    """Return a JSON value without null and empty fields, at any depth."""
    if isinstance(value, dict):
        items = {key: pruned(item) for key, item in value.items()}
        return {key: item for key, item in items.items() if item not in (None, {}, [])}
    if isinstance(value, list):
        return [pruned(item) for item in value]
    return value


class _Dumper(yaml.SafeDumper):
    """YAML for people: texts of several lines in block style."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _write(directory: Path, recorded: Json) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, scenario in recorded["scenarios"].items():
        text = yaml.dump(scenario["sent"], Dumper=_Dumper, width=140)
        (directory / f"{name}.yaml").write_text(text, encoding="utf-8")
    images = {name: scenario["images"] for name, scenario in recorded["scenarios"].items()}
    summary = {"kubeadm": recorded["version"], "images": images}
    (directory / "kubeadm.yaml").write_text(yaml.dump(summary, Dumper=_Dumper), encoding="utf-8")


def main() -> None:
    """Write the golden files of one minor into a folder, from the kubeadm of a bundle."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minor", help="such as 1.36; must be the minor of the bundle's kubeadm")
    parser.add_argument("--output", type=Path, help="folder that gets the folder of the minor")
    parser.add_argument("--inside", nargs="+", metavar=("BUNDLE", "SCENARIO"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        json.dump(_record_inside(Path(arguments.inside[0]), arguments.inside[1:]), sys.stdout)
        return
    recorded = record(bundle_directory())
    if not recorded["version"].startswith(f"v{arguments.minor}."):
        parser.error(f"the bundle's kubeadm is {recorded['version']}, not {arguments.minor}: set KUBERNETES_VERSION or BUNDLE_DIR")
    _write(arguments.output / arguments.minor, recorded)


if __name__ == "__main__":
    main()
