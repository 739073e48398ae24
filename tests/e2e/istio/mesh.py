"""Meshes that call each other through gateways, running: a fabric, and by cluster an API server, istiod and three pods.

Wires the parts of this package. How services are reached across is rendered by peermesh from what the clusters export;
which certificates istiods have is what whoever uses this writes into their Secrets.
"""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from tests.border.processes import wait_until
from tests.cli.calls import done
from tests.e2e import build
from tests.e2e.istio import shop
from tests.e2e.istio.authority import Authority, cacerts
from tests.e2e.istio.istiod import NAMESPACE as ISTIO_SYSTEM
from tests.e2e.istio.istiod import Istiod
from tests.e2e.istio.kubelet import Kubelet, Mount
from tests.e2e.istio.network import Fabric
from tests.e2e.istio.proxy import Place, Pod, Proxy, Trust
from tests.e2e.istio.shop import Variety
from tests.e2e.istio.traffic import Loop, Route, serve
from tests.e2e.kubernetes import Cluster, clusters, install_crds

SECRET = f"/api/v1/namespaces/{ISTIO_SYSTEM}/secrets/cacerts"
OWN_ROOT = f"/api/v1/namespaces/{ISTIO_SYSTEM}/secrets/istio-ca-secret"
"""Where an istiod without `cacerts` keeps the root that it made itself."""


class Mesh:
    """One cluster: its API server, its istiod, its pods. Where istiod has more replicas than one, `kubelets[n]` brings
    `istiods[n]` its `cacerts`, and the first of both do everything else.

    `signer`, `bundle`, `lever`: what `cacerts` was made of last by `change`. `roots`: PEM of what its mesh config lets
    workloads trust beside that.
    """

    def __init__(self, cluster: Cluster, number: int, fabric: Fabric, folder: Path, variety: Variety) -> None:
        self.name = cluster.name
        self.number = number
        self.cluster = cluster
        self.variety = variety
        self.istiods = tuple(_istiods(cluster, number, fabric, folder, variety))
        self.kubelets = tuple(Kubelet(cluster, fabric) for _ in self.istiods)
        addresses = tuple(istiod.address for istiod in self.istiods)
        place = Place(cluster=self.name, trust_domain=shop.trust_domain(self.name), istiods=addresses)
        self.client, self.server, self.gateway = (
            Proxy(pod, place, fabric.pod(number, pod.address), folder / pod.name)
            for pod in shop.pods(self.name, number, variety)
        )
        self.signer: Authority | None = None
        self.bundle: tuple[Authority, ...] = ()
        self.lever = 0
        self.roots: tuple[str, ...] = ()
        self.running = False
        self._cacerts: Mount | None = None
        self._peers: tuple[str, ...] = ()

    @property
    def istiod(self) -> Istiod:
        return self.istiods[0]

    @property
    def kubelet(self) -> Kubelet:
        return self.kubelets[0]

    @property
    def proxies(self) -> tuple[Proxy, Proxy, Proxy]:
        return self.client, self.server, self.gateway

    def change(self, *, signer: Authority | None = None, bundle: Sequence[Authority] = (), lever: bool = False) -> None:
        """Write what is new of these, and the rest as it was, into the Secret, in one request."""
        self.signer = signer or self.signer
        self.bundle = tuple(bundle) or self.bundle
        self.lever += lever
        assert self.signer
        self.write(cacerts(self.signer, self.bundle, lever=self.lever))

    def write(self, files: Mapping[str, str]) -> None:
        """Make or change the Secret `cacerts`."""
        data = {name: base64.b64encode(text.encode()).decode() for name, text in files.items()}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cacerts"}, "type": "Opaque", "data": data}
        code, answer = self.cluster.request("PUT", SECRET, secret)
        if code == 404:
            code, answer = self.cluster.request("POST", SECRET.rsplit("/", 1)[0], secret)
        assert code in {200, 201}, answer

    def prepare(self) -> None:
        """Istio's kinds, the application and the gateway."""
        install_crds(self.cluster)
        objects = list(shop.objects(self.name, self.number, self.variety))
        self.cluster.apply(yaml.safe_dump_all(objects))
        for item in objects:
            if "status" in item:
                metadata, plural = item["metadata"], f"{item['kind'].lower()}s"
                path = f"/api/v1/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"
                self.cluster.set_status(path, item["status"])

    @property
    def signs(self) -> bool:
        """Whether there is a `cacerts`, or a root of its own, for istiod to begin with."""
        return any(self.cluster.request("GET", path)[0] == 200 for path in (SECRET, OWN_ROOT))

    def make_own_root(self) -> str:
        """Let an istiod that has no `cacerts` make its root, in a trust domain that the mesh had before; its PEM."""
        self.istiod.configure(trust_domain="cluster.local", peers=())
        self.istiod.start()
        self.istiod.wait_ready()
        self.istiod.end()
        _, secret = self.cluster.request("GET", OWN_ROOT)
        return base64.b64decode(secret["data"]["ca-cert.pem"]).decode()

    def configure(self, roots: Sequence[str]) -> None:
        """Change `roots` in the mesh config."""
        self.roots = tuple(roots)
        peers = [shop.trust_domain(peer) for peer in self._peers]
        self.istiod.configure(trust_domain=shop.trust_domain(self.name), peers=peers, roots=self.roots)

    def restart_istiod(self) -> None:
        """Return when the next one is ready; it begins with the `cacerts` that there is."""
        assert self._cacerts
        self.istiod.end()
        self.kubelet.mount_again(self._cacerts)
        self.istiod.start()
        self.istiod.wait_ready()

    def start(self, peers: Sequence[str], loop: Loop) -> None:
        """istiod, with the `cacerts` that there is, and then the pods; return when all are ready."""
        self._peers = tuple(peers)
        self.configure(self.roots)
        self._cacerts = self.kubelet.mount("secrets", ISTIO_SYSTEM, "cacerts", self.istiod.cacerts, optional=True)
        self.istiod.start()
        self.istiod.wait_ready()
        self._start_more_istiods()
        for proxy in self.proxies:
            pod = proxy.pod
            self.kubelet.mount("configmaps", pod.namespace, "istio-ca-root-cert", proxy.roots)
            self.kubelet.mount("configmaps", pod.namespace, "istio-ca-crl", proxy.crls)
            proxy.start(self._token(pod))
        serve(loop, self.server.network, shop.echo(self.name), (shop.HTTP_PORT, shop.TCP_PORT))
        for proxy in self.proxies:
            proxy.wait_ready()
        self.running = True

    def _start_more_istiods(self) -> None:
        """They don't lead: the first one has been seen to."""
        roots = f"/api/v1/namespaces/{shop.NAMESPACE}/configmaps/istio-ca-root-cert"
        for istiod, kubelet in zip(self.istiods[1:], self.kubelets[1:], strict=True):
            wait_until(lambda: self.cluster.request("GET", roots)[0] == 200, what="roots, which the leader publishes")
            kubelet.mount("secrets", ISTIO_SYSTEM, "cacerts", istiod.cacerts)
            istiod.configure(trust_domain=shop.trust_domain(self.name), peers=[*map(shop.trust_domain, self._peers)])
            istiod.start()
            istiod.wait_ready()

    def _token(self, pod: Pod) -> str:
        options = ("--audience", "istio-ca", "--duration", "24h")
        return self.cluster.kubectl("-n", pod.namespace, "create", "token", pod.account, *options).strip()

    def restart(self, proxy: Proxy) -> None:
        """Let a new pod take the place of one, as when a Deployment is restarted; return when it is ready."""
        pod = proxy.pod
        proxy.end()
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
        assert self.cluster.request("DELETE", f"{path}?gracePeriodSeconds=0")[0] == 200
        # In whole seconds, as Kubernetes has it, but none too early.
        started = datetime.fromtimestamp(math.ceil(time.time()), UTC)
        made = shop.pod_object(pod, self.number, started=f"{started:%Y-%m-%dT%H:%M:%SZ}")
        self.cluster.apply(yaml.safe_dump(made))
        self.cluster.set_status(path, made["status"])
        proxy.start(self._token(pod))
        proxy.wait_ready()

    def trusts(self) -> tuple[Trust, ...]:
        """What its proxies prove themselves with and trust now."""
        return tuple(proxy.trust() for proxy in self.proxies)

    def end(self) -> None:
        for proxy in self.proxies:
            proxy.end()
        for istiod in self.istiods:
            istiod.end()
        for kubelet in self.kubelets:
            kubelet.close()


def _istiods(cluster: Cluster, number: int, fabric: Fabric, folder: Path, variety: Variety) -> Iterator[Istiod]:
    for replica in range(variety.replicas):
        pod = shop.istiod(number, replica)
        place = folder / pod.name if replica else folder
        yield Istiod(cluster, fabric, pod.address, place, pod=pod.name, elects=variety.replicas > 1)


@dataclass(kw_only=True)
class Meshes:
    """All of it. Work with it inside `fabric`: everything listens there."""

    fabric: Fabric
    loop: Loop
    all: tuple[Mesh, ...]

    def start(self) -> bool:
        """Start whatever has a `cacerts` by now and doesn't run; return whether all run."""
        for mesh in self.all:
            if not mesh.running and mesh.signs:
                mesh.start([peer.name for peer in self.all if peer is not mesh], self.loop)
        return all(mesh.running for mesh in self.all)

    def connect(self, folder: Path) -> None:
        """Apply what peermesh renders for them."""
        files = _rendered(folder, self.all)
        for mesh in self.all:
            for part in ("gateway", "imports"):
                mesh.cluster.apply(files / mesh.name / part, "--recursive")
        assert self.joined

    def make_own_roots(self) -> None:
        """Let istiods begin with roots that they made themselves, each in the mesh configs of the others."""
        roots = {mesh.name: mesh.make_own_root() for mesh in self.all}
        for mesh in self.all:
            mesh.roots = tuple(root for name, root in roots.items() if name != mesh.name)

    def routes(self) -> list[Route]:
        """From each mesh to the services of the others, at the addresses that the applied entries give them."""
        return [route for mesh in self.all for route in _routes(mesh, [peer for peer in self.all if peer is not mesh])]

    def routes_within(self) -> list[Route]:
        """In each mesh, to its own service."""
        return [
            Route(
                name=f"within {mesh.name}",
                client=mesh.client.network,
                address=shop.cluster_ip(mesh.number),
                host=f"{shop.echo(mesh.name)}.{shop.NAMESPACE}.svc.cluster.local",
                http=shop.HTTP_PORT,
                tcp=shop.TCP_PORT,
            )
            for mesh in self.all
        ]

    @property
    def joined(self) -> bool:
        """Whether each has entries for the services of all others."""
        return len(self.routes()) == len(self.all) * (len(self.all) - 1)


@contextmanager
def meshes(folder: Path, *names: str, varieties: Mapping[str, Variety] | None = None) -> Iterator[Meshes]:
    """Clusters with everything but running istiods and proxies; `start` starts those, `connect` joins the meshes.

    `varieties`: what is unusual, by cluster.
    All of it is gone at the end of the block. In the block the thread is where it was, not in the fabric.
    """
    _fetch()
    with ExitStack() as stack:
        fabric = Fabric(len(names))
        stack.callback(fabric.close)
        loop = Loop()
        stack.callback(loop.close)
        (folder / "clusters").mkdir(parents=True)
        made = []
        with fabric.inside():
            for number, cluster in enumerate(stack.enter_context(clusters(folder / "clusters", *names)), 1):
                variety = (varieties or {}).get(cluster.name, shop.USUAL)
                mesh = Mesh(cluster, number, fabric, folder / cluster.name, variety)
                stack.callback(mesh.end)
                mesh.prepare()
                made.append(mesh)
        yield Meshes(fabric=fabric, loop=loop, all=tuple(made))


def _fetch() -> None:
    """Whatever comes from outside: inside the fabric there is no way there."""
    for name in ("etcd", "kube-apiserver", "kubectl", "pilot-discovery", "pilot-agent", "envoy"):
        build.build(name)
    for module, dependency in (("crds", "istio.io/api"), ("crds", "sigs.k8s.io/mcs-api"), ("istio", "istio.io/istio")):
        build.module_folder(module, dependency)


def _rendered(folder: Path, all_meshes: Sequence[Mesh]) -> Path:
    """What peermesh renders for these clusters: a folder for each."""
    repository, rendered = folder / "repository", folder / "rendered"
    done("init", repository, "--name", "acme")
    sources: list[str] = []
    for mesh in all_meshes:
        place = ("--network", mesh.name, "--trust-domain", shop.trust_domain(mesh.name), "--locality", "eu/eu-1")
        done("cluster", "add", mesh.name, "--repo", repository, *place)
        said = folder / "manifests" / mesh.name
        said.mkdir(parents=True)
        (said / "all.yaml").write_text(yaml.safe_dump_all(shop.objects(mesh.name, mesh.number)))
        sources += ("--from", f"{mesh.name}={said}")
    done("plan", "--repo", repository, *sources, "--write", rendered)
    return rendered / "clusters"


def _routes(mesh: Mesh, peers: Sequence[Mesh]) -> Iterator[Route]:
    _, found = mesh.cluster.request("GET", f"/apis/networking.istio.io/v1/namespaces/{shop.IMPORTS}/serviceentries")
    addresses: dict[str, str] = {item["spec"]["hosts"][0]: item["spec"]["addresses"][0] for item in found["items"]}
    for peer in peers:
        host = f"{shop.echo(peer.name)}.{shop.NAMESPACE}.mesh.internal"
        if host in addresses:
            yield Route(
                name=f"{mesh.name} to {peer.name}",
                client=mesh.client.network,
                address=addresses[host],
                host=host,
                http=shop.HTTP_PORT,
                tcp=shop.TCP_PORT,
            )
