"""The budget of pushes: a bucket of tokens, as one moment.

A minute's worth may be spent at once, so an idle repository is pushed to without delay; then one comes back after the
other. The moment is when the bucket is whole again (the generic cell rate algorithm), so that it survives a restart as
one value. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """`per_minute`: pushes to one repository; 6 is GitHub's recommendation."""

    per_minute: int = 6

    @property
    def _each(self) -> timedelta:
        return _MINUTE / self.per_minute

    def next_push(self, whole: datetime | None, now: datetime) -> datetime:
        """When a push may be made; `now`, or before it, if it may be made at once."""
        return now if whole is None else whole + self._each - _MINUTE

    def after_push(self, whole: datetime | None, now: datetime) -> datetime:
        """When the bucket is whole again if a push is made now. What was taken too much must be paid back, too."""
        return max(whole or now, now) + self._each
