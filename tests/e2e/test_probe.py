"""What a real Envoy, set up as istiod sets up a sidecar's inbound listener, shows of itself to whoever asks."""

from __future__ import annotations

import http.client
import json
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from syncer.handshake import ISTIOD, SIDECAR, handshake
from syncer.protocol.certificates import fingerprint, write_certificates
from syncer.trust import Handshake, seen_workload, workloads
from tests.border.processes import wait_until
from tests.e2e import build
from tests.e2e.kubernetes import free_port
from tests.pki.authority import Authority, key_pem
from tests.syncer.clusters import NOW, cluster
from tests.syncer.sidecars import TRUST_DOMAIN, WEST_1, WEST_2, A, B, workload

SECONDS = 60
TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
(POD,) = workloads(cluster(workload()))


class Sidecar:
    """An Envoy whose certificate and roots are files, as its agent keeps them."""

    def __init__(self, folder: Path, *, version: str) -> None:
        self._folder = folder
        self._version = version
        self.admin = ""
        self.port = 0

    def write(self, signer: Authority, bundle: Sequence[Authority]) -> None:
        """A new leaf and these roots, as istiod hands them out: the chain ends in the whole bundle."""
        made = signer.leaf(TRUST_DOMAIN)
        roots = "".join(holder.pem for holder in bundle)
        chain = {"inline_string": write_certificates([made.certificate]) + signer.pem + roots}
        shown = {"certificate_chain": chain, "private_key": {"inline_string": key_pem(made.key)}}
        self._secret("default", {"tls_certificate": shown})
        self._secret("ROOTCA", {"validation_context": {"trusted_ca": {"inline_string": roots}}})

    def _secret(self, name: str, secret: dict[str, Any]) -> None:
        resource = {"@type": f"{TLS}.Secret", "name": name, **secret}
        new = self._folder / f"{name}.new"
        new.write_text(json.dumps({"resources": [resource]}))
        new.rename(self._folder / f"{name}.json")  # Envoy looks for what is moved into place

    def configuration(self) -> dict[str, Any]:
        def secret(name: str) -> dict[str, Any]:
            return {"name": name, "sds_config": {"path_config_source": {"path": str(self._folder / f"{name}.json")}}}

        version = {"tls_minimum_protocol_version": self._version, "tls_maximum_protocol_version": self._version}
        context = {
            "@type": f"{TLS}.DownstreamTlsContext",
            "require_client_certificate": True,
            "common_tls_context": {
                "tls_params": version,
                "alpn_protocols": ["istio-peer-exchange", "h2", "http/1.1"],
                "tls_certificate_sds_secret_configs": [secret("default")],
                "combined_validation_context": {
                    "default_validation_context": {
                        "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"prefix": "spiffe://"}}]
                    },
                    "validation_context_sds_secret_config": secret("ROOTCA"),
                },
            },
        }
        socket = {"name": "envoy.transport_sockets.tls", "typed_config": context}
        address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
        listener = {
            "name": "virtualInbound",
            "address": address,
            "listener_filters": [_filter("listener.tls_inspector", "TlsInspector")],
            "filter_chains": [
                {
                    "filter_chain_match": _match("istio-http/1.0", "istio-http/1.1", "istio-h2"),
                    "transport_socket": socket,
                    "filters": [_filter("network.http_connection_manager", "HttpConnectionManager", route_config={})],
                },
                {
                    "filter_chain_match": _match("istio-peer-exchange", "istio"),
                    "transport_socket": socket,
                    "filters": [_filter("network.tcp_proxy", "TcpProxy", cluster="passthrough")],
                },
            ],
        }
        return {
            "node": {"id": "a", "cluster": "a"},
            "admin": {"address": address},
            "static_resources": {"listeners": [listener], "clusters": [_nobody_listens()]},
        }

    def shown(self, protocol: bytes = SIDECAR) -> Handshake:
        return handshake("127.0.0.1", self.port, protocol=protocol, seconds=SECONDS)

    def seen(self) -> tuple[str, tuple[str, ...], int]:
        """One handshake: the issuer of its leaf, the roots that it trusts, and how many certificates it shows."""
        shown = self.shown()
        proxy = seen_workload(POD, shown, NOW)
        assert not proxy.error
        return proxy.issuer, proxy.trusts, len(shown.chain)

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=SECONDS) as answer:
            return json.load(answer)

    def counted(self, name: str) -> int:
        return sum(one.get("value", 0) for one in self.get(f"/stats?format=json&filter={name}$")["stats"])


def _match(*protocols: str) -> dict[str, Any]:
    return {"transport_protocol": "tls", "application_protocols": list(protocols)}


def _filter(name: str, kind: str, **settings: Any) -> dict[str, Any]:
    typed = {"@type": f"type.googleapis.com/envoy.extensions.filters.{name}.v3.{kind}", **settings}
    if name.startswith("network."):
        typed["stat_prefix"] = "inbound"
    return {"name": f"envoy.filters.{name}", "typed_config": typed}


def _nobody_listens() -> dict[str, Any]:
    """Where a sidecar passes on what comes for a port of the application."""
    address = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": free_port()}}}
    endpoints = [{"lb_endpoints": [{"endpoint": address}]}]
    return {
        "name": "passthrough",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "passthrough", "endpoints": endpoints},
    }


@contextmanager
def sidecar(folder: Path, version: str) -> Iterator[Sidecar]:
    made = Sidecar(folder, version=version)
    made.write(WEST_1, [A])
    (folder / "envoy.json").write_text(json.dumps(made.configuration()))
    command = [build.build("envoy"), "-c", folder / "envoy.json", "--admin-address-path", folder / "admin"]
    settings = ["--concurrency", "1", "--use-dynamic-base-id", "--log-path", folder / "envoy.log", "-l", "warning"]
    with subprocess.Popen([*map(str, (*command, *settings))]) as process:
        try:
            wait_until(lambda: _begun(made, folder / "admin") or process.poll() is not None, what="Envoy")
            made.port = _port(made)
            yield made
        finally:
            process.kill()


def _begun(one: Sidecar, admin: Path) -> bool:
    """Whether it has said where it is reached, and listens."""
    one.admin = admin.read_text() if admin.exists() else ""
    return bool(one.admin) and bool(_port(one))


def _port(one: Sidecar) -> int:
    try:
        listeners = one.get("/listeners?format=json").get("listener_statuses", [])
    except (OSError, http.client.HTTPException):
        return 0
    return int(listeners[0]["local_address"]["socket_address"]["port_value"]) if listeners else 0


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def envoy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sidecar]:
    with sidecar(tmp_path, request.param) as running:
        yield running


def as_seen(signer: Authority, *bundle: Authority) -> tuple[str, tuple[str, ...], int]:
    subjects = (root.certificate.subject.rfc4514_string() for root in bundle)
    return fingerprint(signer.certificate), tuple(subjects), 2 + len(bundle)


def test_a_sidecar_shows_its_leafs_issuer_and_the_roots_that_it_trusts(envoy: Sidecar) -> None:
    assert as_seen(WEST_1, A) == envoy.seen()


def test_every_step_of_a_rollover_is_seen_as_soon_as_the_sidecar_has_taken_it(envoy: Sidecar) -> None:
    for signer, bundle in ((WEST_1, (A, B)), (WEST_2, (A, B)), (WEST_2, (B,))):
        envoy.write(signer, bundle)
        expected = as_seen(signer, *bundle)
        wait_until(lambda expected=expected: expected == envoy.seen(), what=str(expected))  # type: ignore[misc]


def test_to_ask_costs_the_sidecar_one_refusal_for_want_of_a_certificate_and_no_other_error(envoy: Sidecar) -> None:
    asked = 5
    for _ in range(asked):
        assert envoy.shown().chain
    wait_until(lambda: envoy.counted("ssl.fail_verify_no_cert") == asked, what="its count")
    errors = ("connection_error", "fail_verify_error", "fail_verify_san", "handshake")
    assert dict.fromkeys(errors, 0) == {name: envoy.counted(f"ssl.{name}") for name in errors}


def test_many_at_once_are_all_answered_though_no_application_listens(envoy: Sidecar) -> None:
    with ThreadPoolExecutor(8) as pool:
        lengths = [*pool.map(lambda _: len(envoy.shown().chain), range(200))]
    assert [3] * 200 == lengths


def test_whoever_isnt_of_the_mesh_is_let_in_nowhere(envoy: Sidecar) -> None:
    shown = envoy.shown(ISTIOD)
    assert ((), True) == (shown.chain, bool(shown.error))
