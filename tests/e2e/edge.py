"""The edge on real servers: a cluster with the manifests that `cluster add` writes, a broker, and syncers as processes.

Knows how a syncer is told where all of that is, and keeps everything that arrives in the queue, in order.
"""

from __future__ import annotations

import base64
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import redis
import urllib3
import yaml

from syncer.cluster.api import read
from syncer.cluster.connection import Connection
from syncer.observe import observe
from syncer.protocol.observation import Observation, unpack
from syncer.settings import read_settings
from tests.e2e import build
from tests.e2e.kubernetes import Cluster, Process, clusters, free_port, install_crds
from tests.meshes import mesh
from tests.servers.valkey import Valkey, valkey
from workers.cli.delivery.syncer import syncer_files
from workers.cli.delivery.syncer_rights import SYNCER_NAMESPACE
from workers.documents.kinds import Cluster as ClusterDocument
from workers.documents.kinds import ClusterSpec, NameAndLabels

T = TypeVar("T")

NAME = "west"
SHOP = "shop"
DEADLINE = 90
LEASE_SECONDS = 3
ACL = """
user syncer-west on >canary resetkeys resetchannels -@all +lpush +ping %W~peermesh:observations.west
user default off
"""
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{SYNCER_NAMESPACE}/leases/peermesh-syncer"
QUEUE = "peermesh:observations.west"
_ARGO = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "applications.argoproj.io"},
    "spec": {
        "group": "argoproj.io",
        "names": {"kind": "Application", "plural": "applications", "singular": "application"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
"""Enough of Argo CD's kind; its module doesn't build with the others."""


def wait_for(look: Callable[[], T | None], what: str) -> T:
    """What `look` returns when that is something."""
    deadline = time.monotonic() + DEADLINE
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.05)
    return found


class Arrivals:
    """Everything that arrives in the queue of the cluster, oldest first."""

    def __init__(self, broker: Valkey) -> None:
        self._url = broker.redis_url
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self.all: list[Observation] = []
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def wait_for(self, wanted: Callable[[Observation], bool], what: str, *, after: int = 0) -> Observation:
        """The first one like that among all that came after so many."""
        with self._changed:
            found = self._changed.wait_for(lambda: next(filter(wanted, self.all[after:]), None), DEADLINE)
            said = [sorted(exported(one)) for one in self.all[after:]]
        assert found, f"waited too long for {what}; arrived: {said}"
        return found

    def close(self) -> None:
        self._stop.set()
        self._thread.join(DEADLINE)

    def _take(self) -> None:
        while not self._stop.is_set():
            try:
                with redis.Redis.from_url(self._url, socket_timeout=30) as client:
                    while not self._stop.is_set():
                        popped = client.brpop([QUEUE], timeout=1)
                        if isinstance(popped, list | tuple):
                            self._add(popped[1])
            except redis.RedisError:
                self._stop.wait(0.1)  # the broker is being restarted

    def _add(self, message: bytes) -> None:
        body = json.loads(base64.b64decode(json.loads(message)["body"]))
        with self._changed:
            self.all.append(unpack(base64.b64decode(body[0][1])))
            self._changed.notify_all()


def exported(observation: Observation, source: str = "label") -> set[str]:
    """Names of the services that it offers."""
    return {offer.service for offer in observation.offers if offer.source == source}


class Replica:
    """A syncer as a process. `port`: of its probes and metrics."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.port = int(environment["PEERMESH_LISTEN"].rpartition(":")[2])
        log = folder / f"{name}.log"
        self._begins = log.stat().st_size if log.exists() else 0
        self.process = Process(name, [sys.executable, "-m", "syncer"], folder, **environment)

    @property
    def log(self) -> str:
        """What it wrote; what those of the same name wrote before it is left out."""
        return self.process.log.read_bytes()[self._begins :].decode(errors="replace")

    def asked(self, path: str) -> tuple[int, str]:
        """An answer of its probes; status 0: none."""
        try:
            answer = urllib3.request("GET", f"http://127.0.0.1:{self.port}{path}", retries=False, timeout=10)
        except urllib3.exceptions.HTTPError:
            return 0, ""
        return answer.status, answer.data.decode()

    def metric(self, name: str) -> float:
        """The value of a metric without labels."""
        lines = [line.split() for line in self.asked("/metrics")[1].splitlines()]
        return next(float(line[1]) for line in lines if line and line[0] == name)

    def wait_ready(self) -> None:
        self.process.wait_ready(lambda: self.asked("/readyz")[0] == 200)

    def wait_logged(self, text: str) -> None:
        wait_for(lambda: text in self.log, f"{self.name} to log {text!r}")

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.end(number)


class Edge:
    """A cluster, a broker, and what arrived. `kubeconfig`: for the service account of the written manifests."""

    def __init__(self, cluster: Cluster, broker: Valkey, folder: Path) -> None:
        self.cluster = cluster
        self.broker = broker
        self.arrivals = Arrivals(broker)
        self._folder = folder
        self._replicas: list[Replica] = []
        self.settings = deliver(cluster, folder / "delivery")
        self.kubeconfig = cluster.write_kubeconfig("syncer", {"token": self.token()})

    def token(self) -> str:
        """A new token of the service account."""
        return self.cluster.service_account(SYNCER_NAMESPACE, "peermesh-syncer")

    def environment(self, name: str, **more: str) -> dict[str, str]:
        """What the process of a replica is told: as written, but where things are, and how fast."""
        return {
            **self.settings,
            "PEERMESH_KUBECONFIG": str(self.kubeconfig),
            "PEERMESH_BROKER_URL": self.broker.url_for("syncer-west", "canary"),
            "PEERMESH_POD_NAMESPACE": SYNCER_NAMESPACE,
            "PEERMESH_POD_NAME": name,
            "PEERMESH_LISTEN": f"127.0.0.1:{free_port()}",
            "PEERMESH_LEASE_DURATION": str(LEASE_SECONDS),
            "PEERMESH_QUIET": "0.1",
            **more,
        }

    def start(self, name: str, **more: str) -> Replica:
        """A replica, not waited for."""
        replica = Replica(name, self._folder, self.environment(name, **more))
        self._replicas.append(replica)
        return replica

    def export(self, *names: str, source: str = "label") -> None:
        """Each with a Deployment that says its identity."""
        for name in names:
            self.cluster.apply(yaml.safe_dump_all(_exported(name, source)))

    def withdraw(self, *names: str) -> None:
        for name in names:
            self.cluster.kubectl("-n", SHOP, "delete", "service,deployment", name)

    def holds(self) -> Observation:
        """What a list, made now by an administrator, says that the cluster holds."""
        environment = self.environment("nobody", PEERMESH_KUBECONFIG=str(self.cluster.kubeconfig))
        scope = read_settings(environment).scope
        state = read(Connection(kubeconfig=self.cluster.kubeconfig))
        return observe(state, scope, sequence=1, observed_at=datetime.now(UTC))

    def wait_agreed(self, *, after: int = 0) -> Observation:
        """The last observation says what the cluster holds."""
        held = self.holds().content()
        all_of_them = self.arrivals.all

        def last() -> Observation | None:
            return all_of_them[-1] if len(all_of_them) > after and all_of_them[-1].content() == held else None

        return wait_for(last, "what the cluster holds to be said last")

    def _free_lease(self) -> None:
        free = {"spec": {"holderIdentity": ""}}
        code, answer = self.cluster.request("PATCH", LEASE, free, content_type="application/merge-patch+json")
        assert 200 == code, answer

    def lease(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.request("GET", LEASE)[1].get("spec") or {}
        return found

    def leader(self, *replicas: Replica) -> Replica:
        """The one that holds the Lease, as soon as one does."""

        def look() -> Replica | None:
            holder = str(self.lease().get("holderIdentity", ""))
            return next((one for one in replicas if holder.startswith(f"{one.name}_")), None)

        return wait_for(look, "a leader")

    def end(self) -> None:
        """Every process that was started is gone, and nobody holds the Lease."""
        for replica in self._replicas:
            replica.end(signal.SIGKILL)
        if self._replicas:
            self._free_lease()
        self._replicas.clear()

    def close(self) -> None:
        self.end()
        self.arrivals.close()


def deliver(cluster: Cluster, folder: Path) -> dict[str, str]:
    """Apply what `cluster add` writes for a cluster, as its README says; returns the settings of the syncer."""
    document = ClusterDocument(
        metadata=NameAndLabels(name=NAME), spec=ClusterSpec(network=NAME, trust_domain=f"{NAME}.acme.example")
    )
    for path, data in syncer_files(mesh(), document).items():
        target = folder / Path(path).name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    for namespace in ("istio-system", "istio-eastwest", SHOP):
        cluster.kubectl("create", "namespace", namespace)
    cluster.apply(folder)
    found: dict[str, str] = yaml.safe_load((folder / "settings.yaml").read_text())["data"]
    return found


def install_units(cluster: Cluster) -> None:
    """The kinds of Flux and Argo CD that say how far a sync unit is."""
    flux = build.module_folder("kustomize-controller", "github.com/fluxcd/kustomize-controller")
    cluster.apply(flux / "config" / "crd" / "bases" / "kustomize.toolkit.fluxcd.io_kustomizations.yaml")
    cluster.apply(json.dumps(_ARGO))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")


@contextmanager
def edge(folder: Path, *, service_export: str | None = "v1beta1") -> Iterator[Edge]:
    """A cluster called west, with Istio's kinds and those of Flux and Argo CD, and a broker; no syncer yet."""
    with clusters(folder, NAME) as (cluster,), valkey(acl=ACL) as broker:
        install_crds(cluster, service_export=service_export)
        install_units(cluster)
        made = Edge(cluster, broker, folder)
        try:
            yield made
        finally:
            made.close()


def _exported(name: str, source: str) -> Iterator[dict[str, Any]]:
    metadata = {"name": name, "namespace": SHOP}
    labels = {"peermesh.io/export": "true"} if source == "label" else {}
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**metadata, "labels": labels},
        "spec": {"selector": {"app": name}, "ports": ports},
    }
    container = {"name": "app", "image": "app.example/app:1", "ports": [{"containerPort": 8080}]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"serviceAccountName": name, "containers": [container]}}
    selector = {"matchLabels": {"app": name}}
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"selector": selector, "template": template},
    }
    if source == "serviceexport":
        yield {"apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ServiceExport", "metadata": metadata}
