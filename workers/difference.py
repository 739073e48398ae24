"""The difference of two reaches: which consumers call which hosts otherwise than before.

Guard, classes, proposal texts and the command line read it. Knows reach only.
"""

from __future__ import annotations

from dataclasses import dataclass

from syncer.protocol.names import HostName, ServiceKey
from workers.reach import Reach, Way

NO_WAY = Way(ports=(), providers=(), blocked=())


@dataclass(frozen=True, kw_only=True, slots=True)
class WayChange:
    """`consumers` (sorted) called the host by `old` and shall call it by `new`; `NO_WAY` where there is none."""

    consumers: tuple[str, ...]
    old: Way
    new: Way

    @property
    def lost(self) -> bool:
        """No port that could be called before still can be."""
        return bool(self.old.ports) and not {port.number for port in self.old.ports} & {
            port.number for port in self.new.ports
        }

    @property
    def gained(self) -> bool:
        """It can be called now and could not before."""
        return bool(self.new.ports) and not self.old.ports


@dataclass(frozen=True, kw_only=True, slots=True)
class HostChange:
    """One host whose ways differ; equal consumers are grouped."""

    host: HostName
    key: ServiceKey
    ways: tuple[WayChange, ...]


def difference(before: Reach, after: Reach) -> tuple[HostChange, ...]:
    """What differs, by host name. Costs what differs, if unchanged hosts are shared."""
    changes = []
    for name in sorted(before.keys() | after.keys()):
        was, will = before.get(name), after.get(name)
        if was is will or (some := was or will) is None:
            continue
        groups: dict[tuple[Way, Way], list[str]] = {}
        old_ways = was.ways if was else {}
        new_ways = will.ways if will else {}
        for consumer in sorted(old_ways.keys() | new_ways.keys()):
            pair = (old_ways.get(consumer, NO_WAY), new_ways.get(consumer, NO_WAY))
            if pair[0] is not pair[1]:
                groups.setdefault(pair, []).append(consumer)
        ways = tuple(
            WayChange(consumers=tuple(consumers), old=old, new=new)
            for (old, new), consumers in groups.items()
            if old != new
        )
        if ways:
            changes.append(HostChange(host=name, key=some.key, ways=ways))
    return tuple(changes)
