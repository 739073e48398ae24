"""A pod with Istio: its namespaces, with Istio's iptables rules, an agent with Envoy in them, and Envoy's trust.

Knows the agent's files and environment, and Envoy's admin endpoint. What the pod's application does is elsewhere.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from tests.e2e import build
from tests.e2e.istio.authority import common_name
from tests.e2e.istio.istiod import HOST, proxy_config
from tests.e2e.istio.network import Namespace
from tests.e2e.kubernetes import Process

FOLLOWS_ROOTS = {"PROXY_CONFIG_XDS_AGENT": "true"}
"""What lets an agent learn of roots at once, and not when its leaf is renewed."""
_GROUP = "1337"  # what agent and Envoy send is theirs by this group, so that they can stay root
_ADMIN_PORT, _READY_PORT = 15000, 15021


@dataclass(frozen=True, kw_only=True)
class Pod:
    """`sidecar`: traffic is captured; else a gateway. `follows`: it learns of roots at once. `leaf`: how long its
    certificates live, as Go says it. `istiod`: the number of the replica that its agent talks to.
    """

    name: str
    namespace: str
    account: str
    address: str
    labels: Mapping[str, str] = field(default_factory=dict)
    sidecar: bool = True
    follows: bool = True
    leaf: str = "24h"
    istiod: int = 0


@dataclass(frozen=True, kw_only=True)
class Place:
    """What pods of one cluster have in common. `istiods`: addresses of its replicas."""

    cluster: str
    trust_domain: str
    istiods: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What a workload proves itself with, by names: issuer of its leaf, the leaf's serial number, roots it trusts."""

    issuer: str
    serial: int
    roots: frozenset[str]


class Proxy:
    """A running agent with its Envoy. `roots`, `crls`: where it takes istiod's roots, and all CAs' CRLs, from; mounted
    before it starts.
    """

    def __init__(self, pod: Pod, place: Place, network: Namespace, folder: Path) -> None:
        self.pod = pod
        self.network = network
        self.roots = folder / "var" / "run" / "secrets" / "istio"
        self.crls = folder / "crl"
        self.log = folder / "agent.log"
        self._place = place
        self._folder = folder
        self._process: Process | None = None

    def start(self, token: str) -> None:
        """`token`: of its service account, for the audience istio-ca."""
        agent = build.build("pilot-agent")
        folder = self._folder
        for part in (
            "var/run/secrets/tokens",
            "var/run/secrets/workload-spiffe-uds",
            "etc/istio/pod",
            "etc/istio/proxy",
        ):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "var/run/secrets/tokens/istio-token").write_text(token)
        labels = "".join(f'{name}="{value}"\n' for name, value in self.pod.labels.items())
        (folder / "etc/istio/pod/labels").write_text(labels)
        with self.network.inside():
            if self.pod.sidecar and self._process is None:
                _capture(agent)
            kind = "sidecar" if self.pod.sidecar else "router"
            command = (*_mounted(self.crls), "setpriv", "--regid", _GROUP, "--clear-groups", agent, "proxy", kind)
            domain = f"{self.pod.namespace}.svc.cluster.local"
            options = ("--domain", domain, "--proxyLogLevel=warning", "--proxyComponentLogLevel=misc:error")
            self._process = Process("agent", (*command, *options), folder, **self._environment())

    def wait_ready(self) -> None:
        assert self._process
        self._process.wait_ready(lambda: self.network.get(self.pod.address, _READY_PORT, "/healthz/ready")[0] == 200)

    def trust(self) -> Trust:
        """What its Envoy uses now."""
        _, body = self.network.get("127.0.0.1", _ADMIN_PORT, "/config_dump?resource=dynamic_active_secrets")
        secrets = {found["name"]: found["secret"] for found in json.loads(body).get("configs", ())}
        leaf, *_ = _certificates(secrets["default"]["tls_certificate"]["certificate_chain"])
        roots = _certificates(secrets["ROOTCA"]["validation_context"]["trusted_ca"])
        names = frozenset(common_name(root.subject) for root in roots)
        return Trust(issuer=common_name(leaf.issuer), serial=leaf.serial_number, roots=names)

    def refused(self) -> int:
        """How many handshakes its Envoy ended so far because of the other side's certificate."""
        _, text = self.network.get("127.0.0.1", _ADMIN_PORT, "/stats?usedonly&filter=ssl.fail_verify_error$")
        return sum(int(line.rsplit(": ", 1)[1]) for line in text.decode().splitlines())

    def end(self) -> None:
        if self._process is not None:
            self._process.end()

    def _environment(self) -> dict[str, str]:
        pod, place = self.pod, self._place
        istiod = place.istiods[pod.istiod]
        template = build.module_folder("istio", "istio.io/istio") / "tools/packaging/common/envoy_bootstrap.json"
        return {
            "PROXY_CONFIG": proxy_config(istiod, build.build("envoy")),
            **(FOLLOWS_ROOTS if pod.follows else {}),
            "SECRET_TTL": pod.leaf,
            "ISTIO_BOOTSTRAP": str(template),
            # istiod is called by its address, since there is no DNS here. (With CA_ADDR, requests would ignore it.)
            "ISTIOD_SAN": HOST,
            "POD_NAME": pod.name,
            "POD_NAMESPACE": pod.namespace,
            "INSTANCE_IP": pod.address,
            "HOST_IP": istiod,
            "SERVICE_ACCOUNT": pod.account,
            "TRUST_DOMAIN": place.trust_domain,
            "JWT_POLICY": "third-party-jwt",
            "PILOT_CERT_PROVIDER": "istiod",
            "ISTIO_META_CLUSTER_ID": place.cluster,
            "ISTIO_META_NETWORK": place.cluster,
            "ISTIO_META_WORKLOAD_NAME": pod.account,
            "ISTIO_META_MESH_ID": place.cluster,
            "ISTIO_META_POD_PORTS": "[]",
            "ISTIO_META_INTERCEPTION_MODE": "REDIRECT",
            "ISTIO_META_DNS_CAPTURE": "false",
            "ISTIO_METAJSON_LABELS": json.dumps(dict(pod.labels)),
            "GOMEMLIMIT": "100MiB",
            "ISTIO_CPU_LIMIT": "1",
        }


def _mounted(crls: Path) -> tuple[str | Path, ...]:
    """What runs a command where CRLs are this folder's. Envoy is told of them by an absolute path (Istio's
    pkg/security/security.go, CACRLFilePath), so each pod needs mounts of its own.
    """
    script = 'mount -t tmpfs crl /var/run && mkdir -p "$1" && mount --bind "$0" "$1" && shift && exec "$@"'
    return "unshare", "--mount", "sh", "-c", script, crls, "/var/run/secrets/istio/crl"


def _capture(agent: Path) -> None:
    """Istio's rules in this namespace: all that goes out and comes in passes Envoy, but what is of its group."""
    ports = ("-p", "15001", "-z", "15006", "-b", "*", "-d", "15090,15021,15020")
    command = (agent, "istio-iptables", "-u", _GROUP, "-g", _GROUP, "-m", "REDIRECT", "-i", "*", "-x", "", *ports)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=dict(os.environ))
    assert not done.returncode, f"Istio's iptables rules are refused here: {done.stderr[-2000:]}"


def _certificates(source: Mapping[str, str]) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(base64.b64decode(source["inline_bytes"]))
