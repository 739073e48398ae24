"""The guard: losses that are too many at once are held for people.

Compares reach before and after, whatever the cause. Nothing else in the code knows about brakes; it knows nothing of
observations, branches or rendering.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from syncer.protocol.names import HostName, ServiceKey
from workers.difference import HostChange, WayChange, difference
from workers.documents import kinds, paths
from workers.ground import Ground
from workers.reach import Reach, reach
from workers.tree import FactChanges

Gone = Mapping[str, frozenset[HostName]]
"""The hosts that each provider lost lately by what the robot merged by itself."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Loss:
    """`consumers` (sorted) lose `host`, which `provider` answered; or all of its identities are exchanged."""

    provider: str
    host: HostName
    key: ServiceKey
    consumers: tuple[str, ...]


def losses(changes: Iterable[HostChange]) -> tuple[Loss, ...]:
    """What is lost, by provider and host. A host that keeps a provider for each of its consumers (a move) isn't."""
    found: dict[tuple[str, HostName, ServiceKey], set[str]] = {}
    for change in changes:
        for way in change.ways:
            for provider in _lost_providers(way):
                found.setdefault((provider, change.host, change.key), set()).update(way.consumers)
    return tuple(
        Loss(provider=provider, host=host, key=key, consumers=tuple(sorted(consumers)))
        for (provider, host, key), consumers in sorted(found.items())
    )


def _lost_providers(way: WayChange) -> set[str]:
    if way.lost:
        return {provider.cluster for provider in way.old.providers}
    now = {provider.cluster: provider for provider in way.new.providers}
    return {
        provider.cluster
        for provider in way.old.providers
        if provider.cluster in now and not set(provider.identities) & set(now[provider.cluster].identities)
    }


def too_many(found: Iterable[Loss], before: Reach, guard: kinds.Guard, gone: Gone | None = None) -> frozenset[str]:
    """The providers whose losses are held: more than `atMost`, or more than `share` of what they provide.

    What is `gone` counts with it, so that drip counts like flood; a host that came back and goes again counts once.
    """
    lost: dict[str, set[HostName]] = {}
    for loss in found:
        lost.setdefault(loss.provider, set((gone or {}).get(loss.provider, ()))).add(loss.host)
    if not lost:
        return frozenset()
    provides = {provider: set(hosts) for provider, hosts in (gone or {}).items()}
    for name, host in before.items():
        for provider in host.providers():
            provides.setdefault(provider, set()).add(name)
    return frozenset(
        provider for provider, hosts in lost.items() if _is_too_much(len(hosts), len(provides[provider]), guard)
    )


def _is_too_much(lost: int, provides: int, guard: kinds.Guard) -> bool:
    return lost > guard.at_most or (provides >= guard.from_ and lost > guard.share * provides)


def causes(found: Iterable[Loss], changes: FactChanges) -> frozenset[str]:
    """The changed facts (paths) that must wait so that these losses don't happen.

    The provider's own export if it changes; else whatever changes among the exports of the service (an older export
    that pushes this one out); else the facts of the clusters concerned (a gateway, people's own objects).
    """
    paths_held: set[str] = set()
    by_key: dict[ServiceKey, set[str]] = {}
    for path in changes:
        where = paths.place(path)
        if where is not None and where.kind == "Export":
            by_key.setdefault(where.key, set()).add(path)
    for loss in found:
        own = paths.export_path(loss.key, loss.provider)
        clusters = {paths.cluster_facts_path(name) for name in (loss.provider, *loss.consumers)}
        paths_held |= ({own} & changes.keys()) or by_key.get(loss.key, set()) or (clusters & changes.keys())
    return frozenset(paths_held)


def held(
    before: Reach,
    ground: Ground,
    changes: FactChanges,
    held_before: FactChanges,
    gone: Gone | None = None,
) -> frozenset[str]:
    """The changed facts (paths) that are kept back when `changes` are made on `ground`; `before` is the reach of main.

    What was held before stays held for as long as it would be a loss. What is held may make something else a loss (an
    older export that stays pushes a new one out), so it is looked at again until nothing is added.
    """
    kept: set[str] = set()
    many: frozenset[str] = frozenset()
    going = changes
    while going:
        after = ground.tree.with_facts(ground.tree.facts.with_changes(going))
        found = losses(difference(before, reach(after, (ground.tree, ground.reach))))
        many |= too_many(found, before, ground.tree.mesh.spec.guard, gone)
        more = causes([loss for loss in found if loss.provider in many], going)
        more |= {path for path in causes(found, going) if path in held_before and held_before[path] == going[path]}
        if not more:
            break
        kept |= more
        going = {path: fact for path, fact in going.items() if path not in kept}
    return frozenset(kept)
