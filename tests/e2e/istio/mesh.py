"""Meshes that call each other through gateways, running: a fabric, and by cluster an API server, istiod and three pods.

Wires the parts of this package. How services are reached across is rendered by peermesh from what the clusters export;
which certificates istiods have is what whoever uses this writes into their Secrets.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.cli.calls import done
from tests.e2e import build
from tests.e2e.istio import shop
from tests.e2e.istio.authority import Authority, cacerts
from tests.e2e.istio.istiod import NAMESPACE as ISTIO_SYSTEM
from tests.e2e.istio.istiod import Istiod
from tests.e2e.istio.kubelet import Kubelet
from tests.e2e.istio.network import Fabric, control_plane
from tests.e2e.istio.proxy import Place, Proxy, Trust
from tests.e2e.istio.traffic import Loop, Route, serve
from tests.e2e.kubernetes import Cluster, clusters, install_crds

SECRET = f"/api/v1/namespaces/{ISTIO_SYSTEM}/secrets/cacerts"


class Mesh:
    """One cluster: its API server, its istiod, its pods.

    `signer`, `bundle`, `lever`: what `cacerts` was made of last by `change`.
    """

    def __init__(self, cluster: Cluster, number: int, fabric: Fabric, folder: Path) -> None:
        self.name = cluster.name
        self.number = number
        self.cluster = cluster
        self.address = control_plane(number)
        self.kubelet = Kubelet(cluster, fabric)
        self.istiod = Istiod(cluster, fabric, self.address, folder)
        place = Place(cluster=self.name, trust_domain=shop.trust_domain(self.name), istiod=self.address)
        self.client, self.server, self.gateway = (
            Proxy(pod, place, fabric.pod(number, pod.address), folder / pod.name)
            for pod in shop.pods(self.name, number)
        )
        self.signer: Authority | None = None
        self.bundle: tuple[Authority, ...] = ()
        self.lever = 0
        self.running = False

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
        objects = list(shop.objects(self.name, self.number))
        self.cluster.apply(yaml.safe_dump_all(objects))
        for item in objects:
            if "status" in item:
                metadata, plural = item["metadata"], f"{item['kind'].lower()}s"
                path = f"/api/v1/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"
                self.cluster.set_status(path, item["status"])

    @property
    def signs(self) -> bool:
        """Whether there is a `cacerts` for istiod to begin with."""
        return self.cluster.request("GET", SECRET)[0] == 200

    def start(self, peers: Sequence[str], loop: Loop) -> None:
        """istiod, with the `cacerts` that there is, and then the pods; return when all are ready."""
        self.kubelet.mount("secrets", ISTIO_SYSTEM, "cacerts", self.istiod.cacerts)
        self.istiod.start(trust_domain=shop.trust_domain(self.name), peers=[shop.trust_domain(peer) for peer in peers])
        self.istiod.wait_ready()
        for proxy in self.proxies:
            pod = proxy.pod
            self.kubelet.mount("configmaps", pod.namespace, "istio-ca-root-cert", proxy.roots)
            options = ("--audience", "istio-ca", "--duration", "24h")
            token = self.cluster.kubectl("-n", pod.namespace, "create", "token", pod.account, *options)
            proxy.start(token.strip())
        serve(loop, self.server.network, shop.echo(self.name), (shop.HTTP_PORT, shop.TCP_PORT))
        for proxy in self.proxies:
            proxy.wait_ready()
        self.running = True

    def trusts(self) -> tuple[Trust, ...]:
        """What its proxies prove themselves with and trust now."""
        return tuple(proxy.trust() for proxy in self.proxies)

    def end(self) -> None:
        for process in (*self.proxies, self.istiod):
            process.end()
        self.kubelet.close()


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

    def routes(self) -> list[Route]:
        """From each mesh to the services of the others, at the addresses that the applied entries give them."""
        return [route for mesh in self.all for route in _routes(mesh, [peer for peer in self.all if peer is not mesh])]

    @property
    def joined(self) -> bool:
        """Whether each has entries for the services of all others."""
        return len(self.routes()) == len(self.all) * (len(self.all) - 1)


@contextmanager
def meshes(folder: Path, *names: str) -> Iterator[Meshes]:
    """Clusters with everything but running istiods and proxies; `start` starts those, `connect` joins the meshes.

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
                mesh = Mesh(cluster, number, fabric, folder / cluster.name)
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
