"""Times as people read them, and clocks that differ."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from workers.doctor import Finding, NotSeen, ok, unknown, warning, wrong

_FINE: Final = 5.0
_BAD: Final = 120.0
"""Seconds. The border refuses what is five minutes ahead; a clock that is two off is on its way there."""


def aged(duration: timedelta) -> str:
    """`12 s`, `3 min`, `5 h`, `2 d`."""
    seconds = max(0, int(duration.total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def skewed(who: str, ahead: float | NotSeen) -> Finding:
    """Whether the clock of `who`, so many seconds ahead of ours, is good enough."""
    if isinstance(ahead, NotSeen):
        return unknown(f"{who}: {ahead.why}")
    if abs(ahead) <= _FINE:
        return ok(f"{who} has our time")
    what = f"{who} is {aged(timedelta(seconds=abs(ahead)))} {'ahead of' if ahead > 0 else 'behind'} this machine"
    remedy = "$ timedatectl\nOn both: the one that isn't `synchronized: yes` is wrong."
    if abs(ahead) <= _BAD:
        return warning(what, remedy)
    return wrong(f"{what}; at five minutes what is said is refused", remedy)
