# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Secrets of a tenant: what each must hold, whether it still does, and how it is made. Pure.

Authorities and the service-account key are made once and never overwritten. Everything else is a function of them and
of public inputs (names, addresses), so it can be made again at any time.
Names and keys: those of the reference system; subjects: https://kubernetes.io/docs/setup/best-practices/certificates/.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import token_urlsafe
from typing import Final

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import names
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.addresses import host_port, is_address
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.tenant_control_plane import (
    TenantControlPlane,
    api_service_ip,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.unknown import UNKNOWN, has_unknown
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.certificates import (
    LeafRequest,
    check_ca,
    check_leaf,
    check_trust,
    new_ca,
    new_leaf,
    not_after,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.keys import (
    KeyAlgorithm,
    KeyPair,
    PkiError,
    ServiceAccountKeys,
    check_service_account_keys,
    new_service_account_keys,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._pki.kubeconfig import (
    check_kubeconfig,
    kubeconfig,
    read_kubeconfig_client,
)

Data = Mapping[str, bytes]
CLUSTER_ADMINS: Final = "kubeadm:cluster-admins"
KUBECONFIG_KEY: Final = "value"
"""Of a Secret that holds one kubeconfig and nothing else, as Cluster API and KubeconfigGenerators make them."""


@dataclass(frozen=True)
class Authorities:
    """Key pairs that sign. One is None while it does not exist yet or its data was not needed."""

    cluster: KeyPair | None = None
    front_proxy: KeyPair | None = None
    datastore: KeyPair | None = field(default=None, repr=False)
    konnectivity: KeyPair | None = None


Check = Callable[[Data, Authorities, datetime], "str | None"]
Make = Callable[[Authorities, datetime], dict[str, bytes]]


@dataclass(frozen=True)
class SecretSpec:
    """One Secret of a tenant.

    permanent: made once, never replaced; its loss is an error once the tenant lives.
    signer: name of the Secret (suffix) whose key signs the content, "" when none of this tenant's does.
    inputs: everything the content follows from, but for randomness; UNKNOWN inside while not known yet.
    check: why the content must be made again. works: the same, but of content that another system has made in its own way.
    annotations: beside the checksum, given with the content. labels: beside those of every Secret of a tenant.
    """

    suffix: str
    component: str
    inputs: Json
    check: Check
    make: Make
    permanent: bool = False
    signer: str = ""
    lifecycle: str = ""
    secret_type: str = "Opaque"
    stage: int = 0
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    works: Check | None = None

    @property
    def digest(self) -> str:
        return digest(self.inputs)


@dataclass(frozen=True)
class SecretState:
    """A Secret as observed. data is None while it was not read; record is what status says of it."""

    metadata: Json
    data: Data | None = field(default=None, repr=False)
    record: Json | None = None

    @property
    def recorded(self) -> bool:
        """Whether status speaks of exactly this object in exactly this version."""
        record = self.record or {}
        return bool(record) and all(record.get(key) == self.metadata.get(key) for key in ("uid", "resourceVersion"))


def digest(value: object) -> str:
    """A short fingerprint of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def checksum(data: Data) -> str:
    """md5 over the values in order of their keys, as the reference labels its pods; a fingerprint, not a protection."""
    return hashlib.md5(b"".join(data[key] for key in sorted(data)), usedforsecurity=False).hexdigest()


def expiry(data: Data) -> datetime | None:
    """The earliest end of validity among the certificates of a Secret (also those inside kubeconfigs); None without any.

    A ca.crt that only accompanies a leaf does not count: its end is not this Secret's to mend.
    """
    leaves = [value for key, value in data.items() if key.endswith(".crt") and key != "ca.crt"]
    certificates = leaves or [value for key, value in data.items() if key == "ca.crt"]
    kubeconfigs = [value for key, value in data.items() if key.endswith((".conf", ".svc")) or key == KUBECONFIG_KEY]
    certificates += [read_kubeconfig_client(value)[2].certificate for value in kubeconfigs]
    return min((not_after(certificate) for certificate in certificates), default=None)


def record_of(state: SecretState | None, spec: SecretSpec | None = None) -> Json | None:
    """What status keeps of a Secret, so that it need not be read again; None when it is not known. spec: what it was made from."""
    if state is None:
        return None
    if state.data is None:
        return dict(state.record) if state.recorded and state.record else None
    end = expiry(state.data)
    record = {
        "uid": state.metadata["uid"],
        "resourceVersion": state.metadata["resourceVersion"],
        "checksum": checksum(state.data),
        "inputs": spec.digest if spec and not has_unknown(spec.inputs) else None,
        "notAfter": end.isoformat() if end else None,
        "certificate": state.data["ca.crt"].decode() if spec and spec.suffix == names.CA and "ca.crt" in state.data else None,
    }
    return {key: value for key, value in record.items() if value is not None}


@dataclass(frozen=True)
class SecretInputs:
    """What the Secrets follow from beside the spec. Texts may be UNKNOWN.

    datastore_signs: whether the datastore's authority can issue a client certificate for the tenant.
    """

    addresses: tuple[str, ...]
    advertise_address: str
    endpoint_host: str
    endpoint_port: int
    tunnel_host: str
    checksums: Mapping[str, str]
    datastore_endpoints: str
    schema: str
    user: str
    datastore_ca: bytes | None
    datastore_ca_checksum: str
    datastore_signs: bool


def authority_specs(tenant: TenantControlPlane, own: KeyPair | None = None) -> list[SecretSpec]:
    """The Secrets that are made once: both authorities and the service-account key pair. own: the user's pair to take over."""
    algorithm = KeyAlgorithm(tenant.key_algorithm)
    make = _take_over(own) if own else _make_authority("ca", "kubernetes", algorithm)
    return [
        SecretSpec(names.CA, "ca", {}, _check_authority("ca"), make, permanent=True),
        SecretSpec(
            names.FRONT_PROXY_CA,
            "front-proxy-ca-certificate",
            {},
            _check_authority("front-proxy-ca"),
            _make_authority("front-proxy-ca", "front-proxy-ca", algorithm),
            permanent=True,
        ),
        SecretSpec(names.SERVICE_ACCOUNT, "service-account", {}, _check_sa, _make_sa(algorithm), permanent=True),
    ]


def leaf_specs(tenant: TenantControlPlane, inputs: SecretInputs, renew_before: timedelta) -> list[SecretSpec]:
    """The Secrets that follow from the authorities: certificates, kubeconfigs, the datastore's coordinates."""
    maker = _LeafMaker(KeyAlgorithm(tenant.key_algorithm), renew_before, inputs)
    specs = [
        maker.certificate(names.API_SERVER, "api-server-certificate", "apiserver", _api_server(tenant, inputs), "cluster"),
        maker.certificate(
            names.API_SERVER_KUBELET_CLIENT,
            "api-server-kubelet-client-certificate",
            "apiserver-kubelet-client",
            LeafRequest("kube-apiserver-kubelet-client", client=True),
            "cluster",
        ),
        maker.certificate(
            names.FRONT_PROXY_CLIENT,
            "front-proxy-client-certificate",
            "front-proxy-client",
            LeafRequest("front-proxy-client", client=True),
            "front_proxy",
        ),
        *_kubeconfig_specs(tenant, inputs, maker),
        _datastore_config(inputs),
    ]
    specs.append(maker.datastore_certificate(LeafRequest(inputs.user, client=True) if inputs.datastore_signs else None))
    if tenant.addons.konnectivity:
        specs.append(maker.konnectivity_certificate(_konnectivity(inputs)))
        specs.append(maker.konnectivity_kubeconfig(f"https://127.0.0.1:{tenant.network.port}", tenant.name))
    return specs


def _kubeconfig_specs(tenant: TenantControlPlane, inputs: SecretInputs, maker: _LeafMaker) -> list[SecretSpec]:
    port = tenant.network.port
    local, inside = f"https://127.0.0.1:{port}", tenant.service_url
    outside = f"https://{host_port(inputs.endpoint_host, inputs.endpoint_port)}"
    admin = LeafRequest("kubernetes-admin", (CLUSTER_ADMINS,), client=True)
    super_admin = LeafRequest("kubernetes-super-admin", ("system:masters",), client=True)
    return [
        maker.kubeconfigs(
            names.ADMIN_KUBECONFIG,
            "admin-kubeconfig",
            tenant.name,
            {
                "admin.conf": (outside, admin),
                "admin.svc": (inside, admin),
                "super-admin.conf": (outside, super_admin),
                "super-admin.svc": (inside, super_admin),
            },
        ),
        maker.kubeconfigs(
            names.CONTROLLER_MANAGER_KUBECONFIG,
            "controller-manager-kubeconfig",
            tenant.name,
            {"controller-manager.conf": (local, LeafRequest("system:kube-controller-manager", client=True))},
        ),
        maker.kubeconfigs(
            names.SCHEDULER_KUBECONFIG,
            "scheduler-kubeconfig",
            tenant.name,
            {"scheduler.conf": (local, LeafRequest("system:kube-scheduler", client=True))},
        ),
    ]


def _api_server(tenant: TenantControlPlane, inputs: SecretInputs) -> LeafRequest:
    """Serving certificate: the names kubeadm gives it, the Service's names, the addresses and the user's own."""
    domain = tenant.network.cluster_domain
    dns = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        f"kubernetes.default.svc.{domain}",
        tenant.name,
        f"{tenant.name}.{tenant.namespace}",
        f"{tenant.name}.{tenant.namespace}.svc",
        f"{tenant.name}.{tenant.namespace}.svc.cluster.local",
    ]
    addresses = ["127.0.0.1", *(api_service_ip(cidr) for cidr in tenant.network.service_cidrs)]
    for name in (*_published(inputs), *tenant.network.cert_sans):
        (addresses if is_address(name) else dns).append(name)
    return LeafRequest("kube-apiserver", (), _unique(dns), _unique(addresses), server=True)


def _konnectivity(inputs: SecretInputs) -> LeafRequest:
    """One certificate for both sides of konnectivity: client of the API server, server of the agents."""
    hosts = _published(inputs)
    dns, addresses = [host for host in hosts if not is_address(host)], [host for host in hosts if is_address(host)]
    return LeafRequest("system:konnectivity-server", (), _unique(dns), _unique(addresses), client=True, server=True)


def _published(inputs: SecretInputs) -> tuple[str, ...]:
    return (*inputs.addresses, inputs.advertise_address, inputs.endpoint_host, inputs.tunnel_host)


def _unique(items: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _check_authority(stem: str) -> Check:
    def check(data: Data, authorities: Authorities, now: datetime) -> str | None:
        missing = [key for key in (f"{stem}.crt", f"{stem}.key") if not data.get(key)]
        if missing:
            return f"key {missing[0]} is missing"
        try:
            check_ca(KeyPair(data[f"{stem}.crt"], data[f"{stem}.key"]), now=now)
        except PkiError as error:
            return error.msg
        return None

    return check


def _make_authority(stem: str, common_name: str, algorithm: KeyAlgorithm) -> Make:
    def make(authorities: Authorities, now: datetime) -> dict[str, bytes]:
        return _authority_data(stem, new_ca(common_name, algorithm=algorithm, now=now))

    return make


def _take_over(own: KeyPair) -> Make:
    return lambda authorities, now: _authority_data("ca", own)


def _authority_data(stem: str, pair: KeyPair) -> dict[str, bytes]:
    data = {f"{stem}.crt": pair.certificate, f"{stem}.key": pair.key}
    # Cluster API's provider reads the pair under these names (kamaji.md §9).
    return {**data, "tls.crt": pair.certificate, "tls.key": pair.key} if stem == "ca" else data


def own_authority(data: Data, now: datetime) -> KeyPair:
    """The pair in a Secret of the user's: tls.crt and tls.key, or ca.crt and ca.key. Raises PkiError when it cannot sign.

    Of a chain only the first certificate counts: the one whose key it is, which the control plane's programs accept alone.
    """
    for stem in ("tls", "ca"):
        if data.get(f"{stem}.crt") and data.get(f"{stem}.key"):
            end = b"-----END CERTIFICATE-----"
            pair = KeyPair(data[f"{stem}.crt"].partition(end)[0] + end + b"\n", data[f"{stem}.key"])
            check_ca(pair, now=now)
            return pair
    raise PkiError("holds neither tls.crt and tls.key nor ca.crt and ca.key")


def _check_sa(data: Data, authorities: Authorities, now: datetime) -> str | None:
    try:
        check_service_account_keys(ServiceAccountKeys(data.get("sa.pub", b""), data.get("sa.key", b"")))
    except PkiError as error:
        return error.msg
    return None


def _make_sa(algorithm: KeyAlgorithm) -> Make:
    def make(authorities: Authorities, now: datetime) -> dict[str, bytes]:
        keys = new_service_account_keys(algorithm=algorithm)
        return {"sa.pub": keys.public, "sa.key": keys.key}

    return make


def _datastore_config(inputs: SecretInputs) -> SecretSpec:
    wanted = {
        "DB_CONNECTION_STRING": inputs.datastore_endpoints,
        "DB_SCHEMA": inputs.schema,
        "DB_USER": inputs.user,
    }

    def check(data: Data, authorities: Authorities, now: datetime) -> str | None:
        wrong = [key for key, value in wanted.items() if data.get(key, b"").decode() != value]
        if wrong:
            return f"{wrong[0]} differs"
        return None if data.get("DB_PASSWORD") else "DB_PASSWORD is missing"

    def works(data: Data, authorities: Authorities, now: datetime) -> str | None:
        # The reference leaves the endpoints of an etcd out: they are in a flag.
        return check({**data, "DB_CONNECTION_STRING": inputs.datastore_endpoints.encode()}, authorities, now)

    def make(authorities: Authorities, now: datetime) -> dict[str, bytes]:
        return {**{key: value.encode() for key, value in wanted.items()}, "DB_PASSWORD": token_urlsafe(24).encode()}

    return SecretSpec(names.DATASTORE_CONFIG, names.DATASTORE_CONFIG_COMPONENT, dict(wanted), check, make, works=works)


@dataclass(frozen=True)
class _LeafMaker:
    algorithm: KeyAlgorithm
    renew_before: timedelta
    inputs: SecretInputs

    def certificate(self, suffix: str, component: str, stem: str, request: LeafRequest, signer: str) -> SecretSpec:
        suffix_of_signer = names.CA if signer == "cluster" else names.FRONT_PROXY_CA

        def pair(data: Data) -> KeyPair:
            return KeyPair(data.get(f"{stem}.crt", b""), data.get(f"{stem}.key", b""))

        def checks(wanted: LeafRequest | None) -> Check:
            return lambda data, authorities, now: self._check(pair(data), wanted, getattr(authorities, signer), now)

        def make(authorities: Authorities, now: datetime) -> dict[str, bytes]:
            leaf = self._new(getattr(authorities, signer), request, now)
            return {f"{stem}.crt": leaf.certificate, f"{stem}.key": leaf.key}

        inputs = {**_request_inputs(request), "signer": self.inputs.checksums.get(suffix_of_signer, UNKNOWN)}
        return SecretSpec(suffix, component, inputs, checks(request), make, signer=suffix_of_signer, lifecycle="x509", works=checks(None))

    def datastore_certificate(self, request: LeafRequest | None) -> SecretSpec:
        """request: None where the tenant has a password only, and needs no more than the authority it verifies the datastore with."""

        def checks(wanted: LeafRequest | None) -> Check:
            def check(data: Data, authorities: Authorities, now: datetime) -> str | None:
                if data.get("ca.crt") != self.inputs.datastore_ca:
                    return "the datastore's CA changed"
                if request is None:
                    return "holds more than the datastore's CA" if len(data) > 1 else None
                return self._check(KeyPair(data.get("server.crt", b""), data.get("server.key", b"")), wanted, authorities.datastore, now)

            return check

        def make(authorities: Authorities, now: datetime) -> dict[str, bytes]:
            authority = {"ca.crt": self.inputs.datastore_ca or b""}
            if request is None:
                return authority
            leaf = self._new(authorities.datastore, request, now)
            return {**authority, "server.crt": leaf.certificate, "server.key": leaf.key}

        inputs = {**(_request_inputs(request) if request else {}), "signer": self.inputs.datastore_ca_checksum}
        return SecretSpec(
            names.DATASTORE_CERTIFICATE, "datastore-certificate", inputs, checks(request), make, lifecycle="x509", works=checks(None)
        )

    def konnectivity_certificate(self, request: LeafRequest) -> SecretSpec:
        def checks(wanted: LeafRequest | None) -> Check:
            return lambda data, authorities, now: self._check(
                KeyPair(data.get("tls.crt", b""), data.get("tls.key", b"")), wanted, authorities.cluster, now
            )

        def make(authorities: Authorities, now: datetime) -> dict[str, bytes]:
            leaf = self._new(authorities.cluster, request, now)
            return {"tls.crt": leaf.certificate, "tls.key": leaf.key}

        inputs = {**_request_inputs(request), "signer": self.inputs.checksums.get(names.CA, UNKNOWN)}
        return SecretSpec(
            names.KONNECTIVITY_CERTIFICATE,
            "konnectivity-certificate",
            inputs,
            checks(request),
            make,
            signer=names.CA,
            lifecycle="x509",
            secret_type="kubernetes.io/tls",
            works=checks(None),
        )

    def konnectivity_kubeconfig(self, server: str, cluster: str) -> SecretSpec:
        key = "konnectivity-server.conf"

        def make(authorities: Authorities, now: datetime) -> dict[str, bytes]:
            if authorities.cluster is None or authorities.konnectivity is None:
                raise ValueError("konnectivity kubeconfig wanted before its certificate exists")
            return {
                key: kubeconfig(
                    server=server,
                    ca_certificate=authorities.cluster.certificate,
                    client=authorities.konnectivity,
                    user="system:konnectivity-server",
                    cluster=cluster,
                )
            }

        def check(data: Data, authorities: Authorities, now: datetime) -> str | None:
            same = authorities.konnectivity and data.get(key) == make(authorities, now)[key]
            return None if same else "does not hold the current certificate"

        def works(data: Data, authorities: Authorities, now: datetime) -> str | None:
            return self._check_kubeconfig(data.get(key, b""), None, None, authorities, now)

        inputs = {"server": server, "signer": self.inputs.checksums.get(names.KONNECTIVITY_CERTIFICATE, UNKNOWN)}
        return SecretSpec(
            names.KONNECTIVITY_KUBECONFIG,
            "konnectivity-kubeconfig",
            inputs,
            check,
            make,
            signer=names.KONNECTIVITY_CERTIFICATE,
            lifecycle="kubeconfig",
            stage=1,
            works=works,
        )

    def kubeconfigs(self, suffix: str, component: str, cluster: str, entries: Mapping[str, tuple[str, LeafRequest]]) -> SecretSpec:
        def checks(*, strict: bool) -> Check:
            def check(data: Data, authorities: Authorities, now: datetime) -> str | None:
                for key, (server, request) in entries.items():
                    reason = self._check_kubeconfig(data.get(key, b""), request if strict else None, server, authorities, now)
                    if reason:
                        return f"{key}: {reason}"
                return None

            return check

        def make(authorities: Authorities, now: datetime) -> dict[str, bytes]:
            ca = _required(authorities.cluster)
            clients = {request: self._new(ca, request, now) for _server, request in entries.values()}
            return {
                key: kubeconfig(
                    server=server,
                    ca_certificate=ca.certificate,
                    client=clients[request],
                    user=request.common_name,
                    cluster=cluster,
                )
                for key, (server, request) in entries.items()
            }

        inputs = {
            "signer": self.inputs.checksums.get(names.CA, UNKNOWN),
            **{key: {"url": server, **_request_inputs(request)} for key, (server, request) in entries.items()},
        }
        return SecretSpec(
            suffix, component, inputs, checks(strict=True), make, signer=names.CA, lifecycle="kubeconfig", works=checks(strict=False)
        )

    def _check(self, pair: KeyPair, request: LeafRequest | None, ca: KeyPair | None, now: datetime) -> str | None:
        """request: None when it only has to be trusted."""
        certificate = _required(ca).certificate
        if request is None:
            return check_trust(pair, ca_certificate=certificate, now=now, renew_before=self.renew_before)
        return check_leaf(pair, request, ca_certificate=certificate, now=now, renew_before=self.renew_before)

    def _check_kubeconfig(
        self, data: bytes, request: LeafRequest | None, server: str | None, authorities: Authorities, now: datetime
    ) -> str | None:
        certificate = _required(authorities.cluster).certificate
        return check_kubeconfig(data, request, server=server, ca_certificate=certificate, now=now, renew_before=self.renew_before)

    def _new(self, ca: KeyPair | None, request: LeafRequest, now: datetime) -> KeyPair:
        return new_leaf(_required(ca), request, algorithm=self.algorithm, now=now)


def _required(pair: KeyPair | None) -> KeyPair:
    if pair is None:
        raise ValueError("a signing key pair is needed before it was read")
    return pair


def _request_inputs(request: LeafRequest) -> Json:
    return {
        "commonName": request.common_name,
        "organizations": list(request.organizations),
        "dnsNames": sorted(request.dns_names),
        "ipAddresses": sorted(request.ip_addresses),
        "client": request.client,
        "server": request.server,
    }
