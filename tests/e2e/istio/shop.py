"""The application of the meshes: each cluster exports a service `echo-<cluster>` and has a client; and its gateway.

As Kubernetes objects, with what controllers would add to them: statuses and endpoints. Every port of a service leads to
the same server, which answers with the service's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.e2e.build import ISTIO
from tests.e2e.istio.istiod import NAMESPACE as ISTIO_SYSTEM
from tests.e2e.istio.network import control_plane, gateway, workload
from tests.e2e.istio.proxy import FOLLOWS_ROOTS, Pod

NAMESPACE = "shop"
GATEWAYS = "istio-eastwest"
IMPORTS = "peermesh-imports"
HTTP_PORT, TCP_PORT, GATEWAY_PORT = 8080, 9000, 15443
_GATEWAY_LABELS = {"istio": "eastwestgateway"}
_GATEWAY_SERVICE = "istio-eastwestgateway"


@dataclass(frozen=True, kw_only=True)
class Variety:
    """What is unusual in a cluster. `replicas`: of istiod; the client's agent talks to the last one. `leaf`: how long
    the server's certificates live; with them only it learns of roots; empty: as usual.
    """

    replicas: int = 1
    leaf: str = ""


USUAL = Variety()


def echo(cluster: str) -> str:
    """The name of the service that a cluster exports."""
    return f"echo-{cluster}"


def cluster_ip(number: int) -> str:
    """Of that service in the cluster with this number: an address of the API server's range, where nothing answers."""
    return f"10.0.{number}.2"


def trust_domain(cluster: str) -> str:
    return f"{cluster}.acme.example"


def pods(cluster: str, number: int, variety: Variety = USUAL) -> tuple[Pod, Pod, Pod]:
    """Client, server and gateway of the cluster with this number."""
    served, labels = echo(cluster), {"security.istio.io/tlsMode": "istio"}
    client = Pod(
        name="client-0",
        namespace=NAMESPACE,
        account="client",
        address=workload(number, 1),
        labels={"app": "client", **labels},
        istiod=variety.replicas - 1,
    )
    server = Pod(
        name=f"{served}-0",
        namespace=NAMESPACE,
        account=served,
        address=workload(number, 2),
        labels={"app": served, **labels},
        follows=not variety.leaf,
        leaf=variety.leaf or "24h",
    )
    outside = Pod(
        name=f"{_GATEWAY_SERVICE}-0",
        namespace=GATEWAYS,
        account=_GATEWAY_SERVICE,
        address=gateway(number),
        labels=_GATEWAY_LABELS,
        sidecar=False,
    )
    return client, server, outside


def istiod(number: int, replica: int = 0) -> Pod:
    """The pod that stands for a replica of istiod: where it is and that it is ready; it runs elsewhere."""
    return Pod(
        name=f"istiod-{replica}",
        namespace=ISTIO_SYSTEM,
        account="istiod",
        address=control_plane(number, replica),
        labels={"app": "istiod"},
        sidecar=False,
    )


def objects(cluster: str, number: int, variety: Variety = USUAL) -> Iterator[dict[str, Any]]:
    """All of a cluster, in an order in which it can be applied; statuses are taken by who reads a folder."""
    client, server, outside = pods(cluster, number, variety)
    namespaces = {ISTIO_SYSTEM: {"topology.istio.io/network": cluster}, NAMESPACE: {}, GATEWAYS: {}, IMPORTS: {}}
    for name, labels in namespaces.items():
        yield _object("v1", "Namespace", name, "", labels)
    # Whoever isn't a workload of a mesh is refused.
    yield _object("security.istio.io/v1", "PeerAuthentication", "default", ISTIO_SYSTEM) | {
        "spec": {"mtls": {"mode": "STRICT"}}
    }
    for replica in range(variety.replicas):
        yield pod_object(istiod(number, replica), number)
    yield _istiods()
    for pod in (client, server, outside):
        yield _object("v1", "ServiceAccount", pod.account, pod.namespace)
        yield pod_object(pod, number)
    ports = [("http", HTTP_PORT), ("tcp", TCP_PORT)]
    exported = {"peermesh.io/export": "true"}
    yield _service(echo(cluster), NAMESPACE, {"app": echo(cluster)}, ports, cluster_ip(number), exported)
    yield _endpoints(echo(cluster), server, ports)
    loads = [("tls", GATEWAY_PORT)]
    address = {"loadBalancer": {"ingress": [{"ip": outside.address}]}}
    balanced = _service(_GATEWAY_SERVICE, GATEWAYS, _GATEWAY_LABELS, loads, f"10.0.{number}.3", _GATEWAY_LABELS)
    balanced["spec"]["type"] = "LoadBalancer"
    yield balanced | {"status": address}
    yield _endpoints(_GATEWAY_SERVICE, outside, loads)


def pod_object(pod: Pod, number: int, *, started: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    """A pod that runs since then, with its status."""
    made = _object("v1", "Pod", pod.name, pod.namespace, pod.labels)
    containers: list[dict[str, Any]] = [{"name": "application", "image": "application"}]
    if pod.sidecar:
        made["metadata"]["annotations"] = {"sidecar.istio.io/status": "{}"}
        containers[0]["ports"] = [{"containerPort": HTTP_PORT}, {"containerPort": TCP_PORT}]
        told = FOLLOWS_ROOTS if pod.follows else {}
        environment = [{"name": name, "value": value} for name, value in told.items()]
        containers += [{"name": "istio-proxy", "image": f"istio/proxyv2:{ISTIO}", "env": environment}]
    status = {
        "phase": "Running",
        "podIP": pod.address,
        "podIPs": [{"ip": pod.address}],
        "startTime": started,
        "conditions": [{"type": kind, "status": "True"} for kind in ("Initialized", "ContainersReady", "Ready")],
    }
    spec = {"serviceAccountName": pod.account, "nodeName": f"node-{number}", "containers": containers}
    return made | {"spec": spec, "status": status}


def _istiods() -> dict[str, Any]:
    """What would run istiod: it says of which version that is."""
    labels = {"app": "istiod"}
    containers = [{"name": "discovery", "image": f"istio/pilot:{ISTIO}"}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return _object("apps/v1", "Deployment", "istiod", ISTIO_SYSTEM, labels) | {"spec": spec}


def _service(
    name: str,
    namespace: str,
    selector: Mapping[str, str],
    ports: list[tuple[str, int]],
    address: str,
    labels: Mapping[str, str],
) -> dict[str, Any]:
    spec = {
        "selector": dict(selector),
        "clusterIP": address,  # of the API server's range; nothing answers there
        "ports": [{"name": port, "port": number, "targetPort": number} for port, number in ports],
    }
    return _object("v1", "Service", name, namespace, labels) | {"spec": spec}


def _endpoints(service: str, pod: Pod, ports: list[tuple[str, int]]) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": service}
    target = {"kind": "Pod", "name": pod.name, "namespace": pod.namespace}
    return _object("discovery.k8s.io/v1", "EndpointSlice", f"{service}-1", pod.namespace, labels) | {
        "addressType": "IPv4",
        "endpoints": [{"addresses": [pod.address], "conditions": {"ready": True}, "targetRef": target}],
        "ports": [{"name": name, "port": number, "protocol": "TCP"} for name, number in ports],
    }


def _object(api: str, kind: str, name: str, namespace: str, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": api, "kind": kind, "metadata": metadata | ({"labels": dict(labels)} if labels else {})}
