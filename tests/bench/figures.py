"""Figures: what was measured how often, and how it is told.

Knows clocks and units. Knows nothing of what is measured.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Unit = Literal["s", "MiB", "MB"]


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Seconds of the clock on the wall, and of processors: ours and those of the processes that ended meanwhile."""

    wall: float
    cpu: float

    def scaled(self, factor: float) -> Timed:
        """So many times that."""
        return Timed(wall=self.wall * factor, cpu=self.cpu * factor)


def timed(action: Callable[[], object]) -> Timed:
    """How long it takes, once."""
    cpu, wall = _cpu(), time.perf_counter()
    action()
    return Timed(wall=time.perf_counter() - wall, cpu=_cpu() - cpu)


def _cpu() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One measurement, repeated. `cpu`: seconds of processors, which say more than the wall on a busy machine."""

    values: tuple[float, ...]
    unit: Unit = "s"
    cpu: tuple[float, ...] = ()

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def p95(self) -> float:
        """The value that 95 of 100 don't exceed, as far as so few can tell (nearest rank)."""
        ordered = sorted(self.values)
        return ordered[-(len(ordered) // 20) - 1]

    def told(self, judged: Literal["median", "p95"] = "median") -> str:
        """Median (with `p95` that, too), least to most, how many, processors."""
        lines = [told(self.median, self.unit)]
        if judged == "p95":
            lines.append(f"p95 {told(self.p95(), self.unit)}")
        if len(self.values) > 1:
            lines.append(_range(min(self.values), max(self.values), self.unit))
        lines.append(f"n {len(self.values)}")
        if self.cpu:
            lines[-1] += f", cpu {told(statistics.median(self.cpu), 's')}"
        return "\n".join(lines)


def told(value: float, unit: Unit) -> str:
    """A value with its unit: three digits at most, milliseconds below a second."""
    number, unit_ = _in_words(value, unit, like=value)
    return f"{number} {unit_}"


def _range(low: float, high: float, unit: Unit) -> str:
    (least, unit_), (most, _) = (_in_words(value, unit, like=high) for value in (low, high))
    return f"{least}–{most} {unit_}"


def _in_words(value: float, unit: Unit, *, like: float) -> tuple[str, str]:
    """Number and unit, in the unit that suits `like`."""
    if unit == "s" and like < 1:
        return _digits(value * 1000), "ms"
    return _digits(value), unit


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 20 else f"{value:.1f}" if value >= 2 else f"{value:.2f}"


def of_times(times: Sequence[Timed]) -> Figures:
    """Repetitions as figures."""
    return Figures(values=tuple(one.wall for one in times), cpu=tuple(one.cpu for one in times))


def alternated(
    measured: Callable[[int], Timed], baseline: Callable[[int], Timed], *, times: int, baselines: int
) -> tuple[Figures, Figures]:
    """Both, again and again in turn, so that what else the machine does hits both. Each is told its number."""
    found: list[Timed] = []
    beside: list[Timed] = []
    for number in range(times):
        found.append(measured(number))
        if len(beside) < (number + 1) * baselines / times:
            beside.append(baseline(len(beside)))
    return of_times(found), of_times(beside)
