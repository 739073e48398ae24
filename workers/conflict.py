"""What holds when several clusters export one name and don't agree (KEP-1645, "Conflict resolution policy").

Knows exports of one service. Knows no consumers, no addresses, no policy of people.

The oldest export decides: by `since`, absent is youngest, ties by cluster name. A port's key is its number; its name
and protocol are the oldest's. A younger export that says another protocol for a number, or uses a name for another
number, drops out for that port only. Headless beside ClusterIP: the oldest decides, the other kind drops out whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from workers.documents.kinds import Export


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """`cluster` lost `port` (0: all ports) to `winner`, and why."""

    cluster: str
    winner: str
    port: int
    what: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AgreedPort:
    """A port as the oldest export names it; `target_ports` by the clusters that have it, sorted."""

    number: int
    name: str
    protocol: str | None
    target_ports: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolution:
    """What a service's exports agree on, and what they don't."""

    ports: tuple[AgreedPort, ...]
    conflicts: tuple[Conflict, ...]


def age(export: Export) -> tuple[bool, str, str]:
    """Sorts the oldest first."""
    return (export.spec.since is None, export.spec.since or "", export.cluster)


def resolve(exports: Iterable[Export]) -> Resolution:
    """What the exports of one service agree on, ports by number."""
    by_age = sorted(exports, key=age)
    conflicts: list[Conflict] = []
    owners: dict[int, Export] = {}
    names: dict[str, int] = {}
    clusters: dict[int, dict[str, int]] = {}
    for export in by_age:
        oldest = by_age[0]
        if export.spec.headless != oldest.spec.headless:
            kinds = ("a headless Service", "a ClusterIP Service")
            ours, theirs = kinds if export.spec.headless else kinds[::-1]
            conflicts.append(
                Conflict(cluster=export.cluster, winner=oldest.cluster, port=0, what=f"{ours} beside {theirs}")
            )
            continue
        for port in export.spec.ports:
            owner = owners.get(port.number)
            if owner is None and port.name in names:
                winner = owners[names[port.name]].cluster
                what = f"name {port.name} stands for port {names[port.name]} there"
            elif owner is not None and (said := _protocol(owner, port.number)) != port.protocol:
                winner = owner.cluster
                what = f"protocol {port.protocol or 'not declared'} here, {said or 'not declared'} there"
            else:
                if owner is None:
                    owners[port.number] = export
                    names[port.name] = port.number
                clusters.setdefault(port.number, {})[export.cluster] = port.target_port
                continue
            conflicts.append(Conflict(cluster=export.cluster, winner=winner, port=port.number, what=what))
    ports = tuple(
        AgreedPort(
            number=number,
            name=_name(owners[number], number),
            protocol=_protocol(owners[number], number),
            target_ports=dict(sorted(clusters[number].items())),
        )
        for number in sorted(owners)
    )
    return Resolution(ports=ports, conflicts=tuple(conflicts))


def _protocol(export: Export, number: int) -> str | None:
    return next(port.protocol for port in export.spec.ports if port.number == number)


def _name(export: Export, number: int) -> str:
    return next(port.name for port in export.spec.ports if port.number == number)
