"""istiod as a process on a cluster's control-plane address, with the settings that a change of roots needs.

Knows its command line, its mesh config, and how to ask it what it signs with. The API server is a Cluster's.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Sequence
from pathlib import Path

import yaml
from cryptography import x509

from tests.e2e import build
from tests.e2e.istio.authority import common_name
from tests.e2e.istio.network import Namespace
from tests.e2e.kubernetes import Cluster, Process

NAMESPACE = "istio-system"
HOST = "istiod.istio-system.svc"
TLS_PORT = 15012
_HTTP_PORT, _MONITORING_PORT = 8080, 15014
_ACCESS_LOG = (
    "%START_TIME% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_CLUSTER% "
    "%UPSTREAM_TRANSPORT_FAILURE_REASON% %DOWNSTREAM_TRANSPORT_FAILURE_REASON%\n"
)
_ENVIRONMENT = {
    "ISTIO_MULTIROOT_MESH": "true",  # else a changed bundle is ignored until a restart
    "POD_NAMESPACE": NAMESPACE,
    "REVISION": "default",
    "JWT_POLICY": "third-party-jwt",
    "PILOT_CERT_PROVIDER": "istiod",
    "ISTIOD_CUSTOM_HOST": HOST,
    # There is no webhook here, and nobody to inject into.
    "INJECT_ENABLED": "false",
    "VALIDATION_WEBHOOK_CONFIG_NAME": "",
    "SHARED_MESH_CONFIG": "",
    "PILOT_ENABLE_GATEWAY_API": "false",
    # Upstream's Envoy lacks the filters that these would configure.
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
    "PILOT_ENABLE_ALPN_FILTER": "false",
    "GOMEMLIMIT": "400MiB",
    "GOMAXPROCS": "2",
}


class Istiod:
    """A running istiod. `cacerts`: where it takes its signing certificate from; mounted before it starts.

    `elects`: it isn't the only replica, so it does what only one must do as long as it leads.
    """

    def __init__(
        self, cluster: Cluster, network: Namespace, address: str, folder: Path, *, pod: str, elects: bool
    ) -> None:
        self.address = address
        self.pod = pod
        self.cacerts = folder / "etc" / "cacerts"
        self.log = folder / "istiod.log"
        self._cluster = cluster
        self._network = network
        self._folder = folder
        self._config = folder / "mesh.yaml"
        self._process: Process | None = None
        self._elects = elects

    def configure(self, *, trust_domain: str, peers: Sequence[str], roots: Sequence[str] = ()) -> None:
        """Write its mesh config, which it follows while it runs. `peers`: the trust domains whose workloads its own may
        talk to; `roots`: PEM of what they trust beside that of `cacerts`.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        written = self._folder / "mesh.yaml.new"
        written.write_text(yaml.safe_dump(_mesh_config(trust_domain, peers, roots)))
        written.replace(self._config)  # it must not read half of it

    def start(self) -> None:
        """As it is configured."""
        ports = {
            "grpc": 15010,
            "secureGRPC": TLS_PORT,
            "http": _HTTP_PORT,
            "https": 15017,
            "monitoring": _MONITORING_PORT,
        }
        arguments: tuple[str | Path, ...] = (
            *(build.build("pilot-discovery"), "discovery", "--kubeconfig", self._cluster.kubeconfig),
            *("-n", NAMESPACE, "--clusterID", self._cluster.name),
            *("--meshConfig", self._config, "--networksConfig", "none"),
            *(part for name, port in ports.items() for part in (f"--{name}Addr", f"{self.address}:{port}")),
            *("--ctrlz_address", self.address, "--ctrlz_port", "9876", "--log_output_level", "default:info"),
        )
        environment = {
            **_ENVIRONMENT,
            "POD_NAME": self.pod,
            "ENABLE_LEADER_ELECTION": str(self._elects).lower(),
            "CLUSTER_ID": self._cluster.name,
            "KUBECONFIG": str(self._cluster.kubeconfig),
        }
        with self._network.inside():
            self._process = Process("istiod", arguments, self._folder, **environment)

    def wait_ready(self) -> None:
        assert self._process
        self._process.wait_ready(lambda: self._network.get(self.address, _HTTP_PORT, "/ready")[0] == 200)

    def issuer(self) -> str:
        """The name of what it signs with: its own serving certificate's issuer."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with self._network.socket() as plain:
            plain.settimeout(10)
            plain.connect((self.address, TLS_PORT))
            with context.wrap_socket(plain, server_hostname=HOST) as shown:
                served = shown.getpeercert(binary_form=True)
        assert served
        return common_name(x509.load_der_x509_certificate(served).issuer)

    def rejected(self) -> list[str]:
        """What proxies refused of its configuration, and what it dropped itself: lines of its metrics."""
        _, text = self._network.get(self.address, _MONITORING_PORT, "/metrics")
        lines = [line for line in text.decode().splitlines() if re.match(r"pilot_\w*reject", line)]
        return [line for line in lines if float(line.rsplit(" ", 1)[1])]

    def end(self) -> None:
        if self._process is not None:
            self._process.end()


def _mesh_config(trust_domain: str, peers: Sequence[str], roots: Sequence[str]) -> dict[str, object]:
    return {
        "trustDomain": trust_domain,
        "rootNamespace": NAMESPACE,
        "accessLogFile": "/dev/stdout",
        "accessLogFormat": _ACCESS_LOG,
        # With `pem` the mesh config is a second source of roots.
        "caCertificates": [{"trustDomains": list(peers)}, *({"pem": root} for root in roots)],
    }


def proxy_config(address: str, envoy: Path) -> str:
    """What an agent is told of its istiod: PROXY_CONFIG."""
    config = {
        "discoveryAddress": f"{address}:{TLS_PORT}",
        "binaryPath": str(envoy),
        "configPath": "./etc/istio/proxy",
        "concurrency": 1,
        "terminationDrainDuration": "1s",
        "proxyStatsMatcher": {"inclusionRegexps": [".*ssl.fail_verify_error"]},
    }
    return json.dumps(config)
