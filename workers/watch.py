"""Watch: what a worker keeps between sweeps, so that an idle one stays cheap, and the figures that follow from it.

Reads, and calls `sweep`, `figures` and `applied`. Knows no metric. Losing it costs time, and since when something is as
it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from syncer.protocol.errors import Rejected
from syncer.protocol.observation import Observation, unpack
from workers import figures
from workers.applied import Committed, ObjectId, applied, committed
from workers.figures import Figures
from workers.outside import CommitId, Forges, Inbox, Remote, Repository
from workers.sweep import sweep
from workers.tree import BlobId, Files

_KNOWN_BLOBS: Final = 100_000
"""Rendered files whose objects are remembered, those of earlier mains included."""


class Watch:
    """For one thread of one process. `tell`: is told, at each sweep, the commit that main is at."""

    def __init__(
        self,
        repository: Repository,
        forges: Forges,
        inbox: Inbox,
        tell: Callable[[CommitId], None] = lambda _: None,
    ) -> None:
        self._repository = repository
        self._tell = tell
        self._forges = forges
        self._inbox = inbox
        self._remote: Remote | None = None
        self._applied = _AppliedBefore()
        self._last: Figures | None = None

    def sweep(self, now: datetime) -> bool:
        """Whether to flush. Raises Transient or HumanNeeded if remote, forge or Redis can't be asked."""
        self._remote = self._repository.fetch()
        self._tell(self._remote.main)
        return sweep(self._remote, self._forges, self._inbox, now)

    def figures(self, now: datetime) -> Figures:
        """What the last sweep found. Raises Transient or HumanNeeded if remote or Redis can't be asked."""
        remote, inbox, last = self._remote, self._inbox, self._last or Figures()
        if remote is None:
            return last
        numbers, marked = inbox.numbers(), inbox.marked()
        at = figures.observed_at(inbox.border_keys(), numbers)
        # What waits goes first: looking at all that is committed takes seconds, once.
        if self._last is not None and not marked:
            self._applied.look(remote, inbox, {name: numbers[name] for name in at if name in numbers}, now)
        self._last = Figures(
            observed_at=at,
            proposals=figures.proposals(remote, last.proposals),
            marked=len(marked),
            paused=remote.paused is not None,
            unapplied={name: since for name, since in self._applied.unapplied.items() if name in at},
            failing={name: units for name, units in self._applied.failing.items() if name in at},
        )
        return self._last


class _AppliedBefore:
    """How clusters that say what they hold stand to main, compared where one of the two moved."""

    def __init__(self) -> None:
        self.unapplied: dict[str, Mapping[ObjectId, datetime]] = {}
        self.failing: dict[str, int] = {}
        self._files: Files | None = None
        self._committed: Committed = {}
        self._known: dict[BlobId, tuple[tuple[ObjectId, str], ...]] = {}
        self._numbers: dict[str, int] = {}
        self._said: dict[str, Observation | None] = {}

    def look(self, remote: Remote, inbox: Inbox, numbers: Mapping[str, int], now: datetime) -> None:
        """Bring it up to date; `numbers` of the newest observations say which of them must be read."""
        moved = remote.files is not self._files
        if moved:
            if len(self._known) > _KNOWN_BLOBS:
                self._known.clear()
            self._committed = committed(remote.files, self._known)
            self._files = remote.files
        for cluster, number in numbers.items():
            news = self._numbers.get(cluster) != number
            if news:
                self._said[cluster] = _unpacked(inbox, cluster)
                self._numbers[cluster] = number
            if news or moved:
                self._compare(cluster, remote, now)

    def _compare(self, cluster: str, remote: Remote, now: datetime) -> None:
        found = applied(self._committed.get(cluster, {}), self._said[cluster], remote.main_time)
        before = self.unapplied.pop(cluster, {})
        self.failing.pop(cluster, None)
        if found.state != "unknown":
            self.unapplied[cluster] = figures.unapplied(found, before, now)
            self.failing[cluster] = figures.failing(found)


def _unpacked(inbox: Inbox, cluster: str) -> Observation | None:
    kept = inbox.newest_of(cluster)
    try:
        return None if kept is None else msgspec.structs.replace(unpack(kept.packed), offers=(), refused=())
    except Rejected:
        return None  # a flush says so
