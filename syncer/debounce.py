"""When to read the cluster: after a quiet time, but not too late, and from time to time anyway.

Pure: times are seconds of any clock that doesn't jump, and arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds: `quiet` after the last change, `longest` after the first one, `heartbeat` after the last sending."""

    quiet: float = 1.0
    longest: float = 10.0
    heartbeat: float = 300.0


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """`first` and `last`: when things changed that weren't read yet; `heartbeat`: when to send without any change."""

    heartbeat: float
    first: float | None = None
    last: float | None = None

    def changed(self, now: float) -> Schedule:
        """Something changed."""
        return replace(self, first=now if self.first is None else self.first, last=now)

    def due(self, timing: Timing) -> float:
        """When to read next."""
        if self.first is None or self.last is None:
            return self.heartbeat
        return min(self.last + timing.quiet, self.first + timing.longest, self.heartbeat)

    def read(self, now: float, timing: Timing, *, sent: bool) -> Schedule:
        """The cluster was read, and what was found was `sent` or not. A heartbeat that failed waits for the next."""
        again = sent or now >= self.heartbeat
        return Schedule(heartbeat=now + timing.heartbeat if again else self.heartbeat)
