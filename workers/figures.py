"""Figures: what a sweep and a turn of `rotate` find, as numbers for alarms: what is old, waits, isn't applied, ends.

Pure: from one fetch, from what Redis has, and from the figures before. Knows no metric and no text.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar, get_args

from workers.applied import Applied, ObjectId
from workers.documents.kinds import ProposalClass
from workers.outside import BorderKeys, Branch, Remote
from workers.pki.due import Dates

T = TypeVar("T", bound=Hashable)

_CLASSES: Final = re.compile(r"^Peermesh-Classes: (.+)$", re.MULTILINE)
_KNOWN: Final = frozenset(get_args(ProposalClass))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class OpenSince:
    """A proposal: since when it is open, as far as known, and its classes."""

    since: datetime
    classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """`observed_at` of each cluster whose syncer main trusts (None: nothing of it is known); `proposals` by branch;
    `marked`: what waits for a flush; of clusters that say what they hold: since when an object isn't as main has it,
    and how many sync units are `failing`.
    """

    observed_at: Mapping[str, datetime | None] = field(default_factory=dict)
    proposals: Mapping[str, OpenSince] = field(default_factory=dict)
    marked: int = 0
    paused: bool = False
    unapplied: Mapping[str, Mapping[ObjectId, datetime]] = field(default_factory=dict)
    failing: Mapping[str, int] = field(default_factory=dict)

    @property
    def waiting(self) -> Mapping[str, tuple[datetime, ...]]:
        """Since when proposals are open, by class."""
        found: dict[str, list[datetime]] = {}
        for proposal in self.proposals.values():
            for name in proposal.classes:
                found.setdefault(name, []).append(proposal.since)
        return {name: tuple(sorted(since)) for name, since in sorted(found.items())}


def observed_at(keys: BorderKeys | None, numbers: Mapping[str, int]) -> dict[str, datetime | None]:
    """When the newest observation of each cluster that main has a key of was made.

    `numbers`: their sequence numbers, which are microseconds since 1970 unless a clock went backwards for a moment; so
    that nothing need be unpacked.
    """
    trusted = (cluster for cluster, known in sorted(keys.keys.items()) if known) if keys else ()
    return {name: _time(numbers.get(name)) for name in trusted}


def proposals(remote: Remote, before: Mapping[str, OpenSince]) -> dict[str, OpenSince]:
    """The open proposals. One that is made again because its change differs waits as long as it did before."""
    return {name: _open(branch, before.get(name)) for name, branch in sorted(remote.branches.items())}


def unapplied(stands: Applied, before: Mapping[ObjectId, datetime], now: datetime) -> dict[ObjectId, datetime]:
    """Since when each object that a cluster lacks, has otherwise or should no longer have was seen so."""
    return {name: before.get(name, now) for name in _differing(stands)}


def failing(stands: Applied) -> int:
    """How many sync units of a cluster can't be applied."""
    return sum(unit.state == "failed" for unit in stands.units)


def _differing(stands: Applied) -> Iterator[ObjectId]:
    for unit in stands.units:
        yield from unit.missing
        yield from unit.outdated
        yield from unit.left


def _time(number: int | None) -> datetime | None:
    return None if number is None or number > _LAST else _EPOCH + timedelta(microseconds=number)


def _open(branch: Branch, before: OpenSince | None) -> OpenSince:
    said = _CLASSES.search(branch.message)
    classes = tuple(name for name in (said[1].split(", ") if said else ()) if name in _KNOWN)
    since = min(branch.time, before.since) if before else branch.time
    return OpenSince(since=since, classes=classes)


# --- trust


@dataclass(frozen=True, kw_only=True)
class TrustFigures:
    """What `rotate` found of certificates, by cluster but for `roots` (their ends) and `crls` (by issuer: their ends).

    Since when: `unsigned` an approved request isn't signed, `unmet` what was observed isn't what main has, `refused`
    (by cluster and rule) what a cluster asks for or got signed is refused. `agents`: 0 nothing is wrong, 1 it waits or
    refused something, 2 it put the previous state back.
    """

    dates: Mapping[str, Dates] = field(default_factory=dict)
    roots: Mapping[str, datetime] = field(default_factory=dict)
    crls: Mapping[str, datetime] = field(default_factory=dict)
    agents: Mapping[str, int] = field(default_factory=dict)
    unsigned: Mapping[str, datetime] = field(default_factory=dict)
    unmet: Mapping[str, datetime] = field(default_factory=dict)
    refused: Mapping[tuple[str, str], datetime] = field(default_factory=dict)


def since(names: Iterable[T], before: Mapping[T, datetime], now: datetime) -> dict[T, datetime]:
    """When each of these was first seen in an unbroken row."""
    return {name: before.get(name, now) for name in sorted(set(names), key=str)}
