"""The ports of a Service that can be exported: chosen, named, with their protocol and the number behind them.

Knows one Service and the pods (or templates) that run it. Says why a port is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from syncer.cluster.objects import ContainerPort, PodSpec, Service, ServicePort
from syncer.protocol.errors import Rejected
from syncer.protocol.labels import PORTS
from syncer.protocol.offer import EXPORTS_NOTHING, Port
from syncer.sources.protocols import declared


def exported_ports(
    service: Service, wanted: tuple[str, ...] | None, running: Iterable[PodSpec]
) -> tuple[tuple[Port, ...], tuple[Rejected, ...]]:
    """The ports by number, and why others can never be among them.

    `wanted`: names or numbers (None: all); `running`: what runs the Service, for named target ports.

    Raises:
        Rejected: `wanted` is empty or names a port that the Service doesn't have; two ports can't be told apart; a
            target port isn't known. During a roll-out that passes: all ports stay as they are meanwhile.
    """
    ports: list[Port] = []
    left_out: list[Rejected] = []
    for port in _chosen(service.spec.ports, wanted):
        if port.protocol == "TCP":
            ports.append(_port(port, running))
        else:
            what = f"port {port.called} is {port.protocol}, which no east-west gateway carries"
            left_out.append(Rejected(port.protocol, what, remedy=f"{PORTS} chooses the other ports."))
    for what, values in (("number", [port.number for port in ports]), ("name", [port.name for port in ports])):
        if len(set(values)) < len(values):
            raise Rejected("SamePort", f"two ports have the same {what}", remedy="Give each its own.")
    return tuple(sorted(ports, key=lambda port: port.number)), tuple(left_out)


def _chosen(ports: tuple[ServicePort, ...], wanted: tuple[str, ...] | None) -> tuple[ServicePort, ...]:
    if wanted is None:
        return ports
    if not wanted:
        raise Rejected(EXPORTS_NOTHING, f"{PORTS} is empty", remedy="Name ports, or take the annotation away for all.")
    for text in wanted:
        if not any(text in {port.called, str(port.port)} for port in ports):
            has = ", ".join(f"{port.called} ({port.port})" for port in ports) or "none"
            what = f"{PORTS} names {text[:80]!r}, which the Service doesn't have"
            raise Rejected("BadAnnotation", what, remedy=f"Its ports: {has}.")
    return tuple(port for port in ports if {port.called, str(port.port)} & set(wanted))


def _port(port: ServicePort, running: Iterable[PodSpec]) -> Port:
    number = port.target_port if isinstance(port.target_port, int) else _named(port, port.target_port, running)
    return Port(
        name=port.called,
        number=port.port,
        protocol=declared(port.app_protocol, port.name),
        target_port=number or port.port,
    )


def _named(port: ServicePort, name: str, running: Iterable[PodSpec]) -> int:
    """The number that containers give a port name; Kubernetes looks in the same places (`pkg/api/v1/pod`, FindPort)."""
    numbers = sorted({p.container_port for spec in running for p in container_ports(spec) if p.name == name})
    if not numbers:
        what = f"port {port.called} leads to target port {name!r}, which no container has"
        raise Rejected("TargetPort", what, remedy="Name the container's port so, or write its number.")
    if len(numbers) > 1:
        said = " and ".join(map(str, numbers))
        what = f"port {port.called} leads to target port {name!r}, which is {said} in different pods"
        raise Rejected("TargetPort", what, remedy="Wait until the roll-out is done, or write the number.")
    return numbers[0]


def container_ports(spec: PodSpec) -> Iterator[ContainerPort]:
    """Of containers and of init containers that go on running, TCP only."""
    for container in (*spec.containers, *(one for one in spec.init_containers if one.restart_policy == "Always")):
        yield from (port for port in container.ports if port.protocol == "TCP")
