"""Whether a process of the centre does its turns: what probes are answered with.

A worker's turn is a sweep, that of the border a look at its queues. A process that is alive but takes no messages is
seen so; one that can't because Redis is away isn't to blame, and ending it would only delay what follows. Pure but for
the question whether Redis answers; time is an argument.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LATE_SECONDS: Final = 300.0
"""Many turns, and more than the longest task takes: what made none for so long is stuck."""


@dataclass(kw_only=True)
class Health:
    """`started`, and the last turn that was tried and that went well, in seconds of one clock."""

    started: float
    tried: float | None = None
    done: float | None = None

    def stuck(self, now: float, redis_answers: Callable[[], bool]) -> str:
        """Why it should be ended; empty: it needn't be. Asks Redis only in doubt."""
        since = now - (self.tried if self.tried is not None else self.started)
        if since <= LATE_SECONDS or not redis_answers():
            return ""
        return f"no turn was tried for {since:.0f} seconds, though Redis answers"

    def unready(self, now: float) -> str:
        """Why it isn't at work; empty: it is."""
        if self.done is None:
            return "no turn went well yet"
        since = now - self.done
        return f"no turn went well for {since:.0f} seconds" if since > LATE_SECONDS else ""
