"""The east-west gateway of a cluster, as its Service and people's own Gateway objects show it.

Knows where the gateway is said to be. Says how peers reach it, and when they can't, why; and whether it already lets
everything in. Knows nothing of what is exported.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from syncer.cluster import ClusterState
from syncer.cluster.objects import Gateway, PodSpec, Service, ServicePort
from syncer.protocol.errors import Rejected
from syncer.protocol.names import is_subdomain
from syncer.protocol.observation import GatewayAddress, ObservedGateway
from syncer.protocol.offer import GATEWAY, Refused
from syncer.sources.ports import container_ports

_LOCAL: Final = ".svc.cluster.local"
_Pod = tuple[Mapping[str, str], PodSpec]


@dataclass(frozen=True, kw_only=True)
class GatewayPlace:
    """Where the gateway's pods are, and the port that they pass callers through on: as `mesh/clusters/` says it."""

    namespace: str = "istio-eastwest"
    selector: Mapping[str, str] = field(default_factory=lambda: {"istio": "eastwestgateway"})
    port: int = 15443


def observed_gateway(
    state: ClusterState, place: GatewayPlace, *, cluster: str
) -> tuple[ObservedGateway, tuple[Refused, ...]]:
    """The gateway of `cluster`, and why it has no address if it has none."""
    wildcard = any(_overlaps(host) for _, host in passed_hosts(state, place) if host.startswith("*"))
    leading = sorted(_leading(state, place), key=lambda found: (not _names(found[0]), found[0].metadata.name))
    if not leading:
        selector = ",".join(f"{key}={value}" for key, value in sorted(place.selector.items()))
        what = f"no Service in namespace {place.namespace} leads to port {place.port} of pods with {selector}"
        return ObservedGateway(wildcard=wildcard), (_refused(place, GATEWAY, "NoGateway", what, cluster),)
    service, port = leading[0]
    addresses = tuple(sorted(_addresses(service, port), key=lambda a: (a.ip or "", a.host or "")))
    told = () if addresses else (_refused(place, service.metadata.name, *_why_not(service, port), cluster),)
    gateway = ObservedGateway(
        addresses=addresses,
        cluster_ip=service.spec.cluster_ip if _is_ip(service.spec.cluster_ip) else None,
        cluster_port=port.port,
        wildcard=wildcard,
    )
    return gateway, told


def passed_hosts(state: ClusterState, place: GatewayPlace) -> Iterator[tuple[Gateway, str]]:
    """The hosts that people's own Gateways let through this gateway's port, without `<namespace>/` in front.

    Istio cuts that prefix off in mode AUTO_PASSTHROUGH (`pilot/pkg/model/gateway.go`, GetSNIHostsForServer).
    """
    pods = list(_pods(state, place))
    for gateway in state.gateways:
        if gateway.metadata.managed or not _may_select(gateway.spec.selector, pods, place):
            continue
        for server in gateway.spec.servers:
            if server.tls.mode == "AUTO_PASSTHROUGH" and server.port.number == place.port:
                yield from ((gateway, host.rpartition("/")[2]) for host in server.hosts)


def _overlaps(wildcard: str) -> bool:
    """Whether a wildcard host covers some cluster-local name: `*`, `*.local`, `*.bookinfo.svc.cluster.local`."""
    suffix = wildcard.removeprefix("*")
    return _LOCAL.endswith(suffix) or suffix.endswith(_LOCAL)


def _pods(state: ClusterState, place: GatewayPlace) -> Iterator[_Pod]:
    """The gateway's pods, and the templates that make them: labels and containers."""
    for pod in state.pods_by_namespace.get(place.namespace, ()):
        if place.selector.items() <= pod.metadata.labels.items():
            yield pod.metadata.labels, pod.spec
    for workload in state.workloads_by_namespace.get(place.namespace, ()):
        template = workload.spec.template
        if place.selector.items() <= template.metadata.labels.items():
            yield template.metadata.labels, template.spec


def _may_select(selector: Mapping[str, str], pods: Collection[_Pod], place: GatewayPlace) -> bool:
    """Whether a selector means the gateway's pods; where none is seen, whether it is wider or narrower than ours."""
    if pods:
        return any(selector.items() <= labels.items() for labels, _ in pods)
    return selector.items() <= place.selector.items() or place.selector.items() <= selector.items()


def _leading(state: ClusterState, place: GatewayPlace) -> Iterator[tuple[Service, ServicePort]]:
    """The Services of the gateway, each with its port that leads to the gateway's."""
    pods = list(_pods(state, place))
    named = {port.name for _, spec in pods for port in container_ports(spec) if port.container_port == place.port}
    for service in state.services_by_namespace.get(place.namespace, {}).values():
        if service.spec.selector and _may_select(service.spec.selector, pods, place):
            ports = [port for port in service.spec.ports if port.protocol == "TCP"]
            behind = [port for port in ports if (port.target_port or port.port) in {place.port, *named}]
            # Istio takes the port of a Gateway for a Service's port, too, and listens on what is behind that.
            same = [port for port in ports if port.port == place.port]
            for port in (behind or same)[:1]:
                yield service, port


def _names(service: Service) -> list[str]:
    """Where the Service is reached from outside: what its load balancer says, and external IPs."""
    ingress = service.status.load_balancer.ingress if service.spec.type == "LoadBalancer" else ()
    return [*(entry.ip or entry.hostname for entry in ingress), *service.spec.external_ips]


def _addresses(service: Service, port: ServicePort) -> set[GatewayAddress]:
    return {
        GatewayAddress(ip=name, port=port.port) if _is_ip(name) else GatewayAddress(host=name, port=port.port)
        for name in _names(service)
        if _is_ip(name) or is_subdomain(name)
    }


def _why_not(service: Service, port: ServicePort) -> tuple[str, str]:
    match service.spec.type:
        case "NodePort":
            number = f" {port.node_port}" if port.node_port else ""
            return (
                "NodePortGateway",
                f"the gateway's Service has a node port{number}, but no address that peers can use",
            )
        case "LoadBalancer":
            return "PendingGateway", "the load balancer of the gateway's Service has no address yet"
        case _:
            return "ClusterIPGateway", f"the gateway's Service is of type {service.spec.type}, which peers can't reach"


def _refused(place: GatewayPlace, service: str, reason: str, what: str, cluster: str) -> Refused:
    remedy = f'Write spec.gateway.addresses in mesh/clusters/{cluster}.yaml, for example ["203.0.113.10:30443"].'
    why = Rejected(reason, what, remedy=remedy)
    return Refused(namespace=place.namespace, service=service, source=GATEWAY, reason=reason, message=str(why))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
