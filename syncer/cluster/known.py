"""What is known of one resource, since when, and whether that is still good enough to speak of.

No I/O, no threads; every time is an argument, in seconds of a clock that doesn't jump.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from syncer.protocol.errors import PeermeshError, Transient

Key = tuple[str, str]
"""Namespace and name."""


class NotReadYet(Transient):
    """The first list isn't there yet."""

    def __init__(self, subject: str) -> None:
        super().__init__("NotReadYet", "it wasn't read completely yet", subject=subject)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds.

    `turn`: how long a watch is asked to last, up to half as much again; that it ends as agreed is what shows that its
    server lives. Bookmarks don't: they come every minute, but not while a quiet kind's cache is older than the version
    that is watched, and that may last ten (etcd's default for progress notifications; seen on 1.37).
    `silence`: when a watch that neither says anything nor ends is given up.
    `unheard`: after that nothing is said any more of what was known: time for a second try, with a list, after
    `silence`; and half of a heartbeat, so that at most one of those can speak of a state that isn't so any more.
    `grace`: how long a refusal is taken for the start of an API server, which refuses everybody for a moment, and a
    missing kind for one that isn't loaded yet. `settle`: after a deletion, until it can be told from the removal of a
    kind. `look`: between two looks for a kind that isn't there.
    """

    turn: float = 60.0
    silence: float = 100.0
    unheard: float = 150.0
    grace: float = 10.0
    settle: float = 1.0
    look: float = 30.0


@dataclass(kw_only=True)
class Known:
    """The objects of one resource. `custom`: its kind can be removed, and then deletions mean nothing."""

    what: str
    timing: Timing
    custom: bool = False
    failures: int = 0
    """In a row; for back-off."""
    _objects: dict[Key, Any] | None = None
    _lost: dict[Key, tuple[Any, float]] = field(default_factory=dict)
    """Deleted, and when; counted on until it is known that the kind is there to stay."""
    _heard: float | None = None
    """None: not listed since `_from`."""
    _from: float = -math.inf
    _missing: float | None = None
    _trouble: PeermeshError | None = None
    _since: float = 0.0

    def objects(self) -> tuple[Any, ...] | None:
        """All that is there; None: the kind isn't served."""
        if self._objects is None:
            return None
        return (*self._objects.values(), *(item for item, _ in self._lost.values()))

    def complaint(self, now: float) -> PeermeshError | None:
        """Why nothing can be said of this resource; None: what is known may be spoken of."""
        timing, trouble = self.timing, self._trouble
        if trouble is not None and not isinstance(trouble, Transient):
            if now - self._since >= timing.grace:
                return trouble
            trouble = Transient(trouble.reason, trouble.what, subject=trouble.subject, remedy=trouble.remedy)
        if self._heard is None:
            return trouble or NotReadYet(self.what)
        waiting = min((when for _, when in self._lost.values()), default=now)
        if now - min(self._heard, waiting) <= timing.unheard:
            return None
        what = f"nothing was heard of it for more than {timing.unheard:.0f} s, so it may be otherwise by now"
        return trouble or Transient("Unheard", what, subject=self.what)

    def stale(self, now: float) -> bool:
        """Whether a watch that broke off should be followed by a list, because it brought nothing for long."""
        return self._heard is None or now - self._heard > self.timing.unheard / 2

    def listed(self, objects: Mapping[Key, Any], began: float, now: float) -> None:
        """The whole list, as it was when it was asked for at `began`."""
        before = self._objects or {}
        self._objects = dict(objects)
        if self.custom:
            gone = {key: (item, now) for key, item in before.items() if key not in objects}
            self._lost = {key: lost for key, lost in (gone | self._lost).items() if key not in objects}
        self._missing = None
        self._answered(began)

    def put(self, key: Key, item: Any | None, now: float) -> bool:
        """An object as it is now; None: there is none any more. Returns whether that is news."""
        if self._objects is None:
            return False
        before = self._objects.pop(key, None)
        if item is not None:
            self._objects[key] = item
            known, _ = self._lost.pop(key, (before, now))
            return bool(known != item)
        if before is not None and self.custom:
            self._lost[key] = (before, now)
        return before is not None and not self.custom

    def heard(self, now: float) -> None:
        """A watch said something: until `now` this is all."""
        self.failures = 0
        if self._heard is not None:
            self._heard = max(self._heard, now)

    @property
    def unread(self) -> bool:
        """Whether only a list helps."""
        return self._heard is None

    def forget(self, now: float) -> None:
        """Trust nothing but a list that is asked for from now on."""
        self._heard, self._from = None, now

    def accepted(self) -> None:
        """The server let us in."""
        self._trouble = None

    def failed(self, error: PeermeshError, now: float) -> None:
        """No answer, or a bad one."""
        self.failures += 1
        if self._trouble is None:
            self._since = now
        self._trouble = error

    def unsettled(self, now: float) -> bool:
        """Whether deletions wait for a look at their kind."""
        return any(now - when >= self.timing.settle for _, when in self._lost.values())

    def settled(self, asked: float) -> bool:
        """The kind was there to stay when we asked: what was deleted before is gone. Returns whether that is news."""
        gone = [key for key, (_, when) in self._lost.items() if asked - when >= self.timing.settle]
        for key in gone:
            del self._lost[key]
        return bool(gone)

    def missing(self, now: float, *, sure: bool = False) -> bool:
        """The kind isn't served. Returns whether that is believed: not at once if it was there before."""
        self._missing = now if self._missing is None else self._missing
        if self._objects is not None and not sure and now - self._missing < self.timing.grace:
            return False
        self._objects, self._lost = None, {}
        self._answered(now)
        return True

    def _answered(self, asked: float) -> None:
        self._trouble, self.failures = None, 0
        if asked >= self._from:
            self._heard = asked
