"""The report: one row for each budget, as a table of at most 100 columns.

Knows rows and how wide a page is. Measures nothing.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from rich import box
from rich.table import Table

from tests.bench.figures import Figures, told

WIDTH: Final = 100
_WIDTHS: Final = {
    "what": 22,
    "measured": 17,
    "budget": 7,
    "baseline": 19,
    "it takes": 17,
    "ratio": 6,
    "": 6,
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """`budget` (None: there is none) is in the unit of `measured`; `baseline` says what `beside` is.

    `fails`: something else that `what` speaks of is more than it may be.
    """

    what: str
    measured: Figures
    budget: float | None = None
    judged: Literal["median", "p95"] = "median"
    baseline: str
    beside: Figures
    fails: bool = False

    @property
    def over(self) -> bool:
        """Whether the budget isn't met."""
        found = self.measured.p95() if self.judged == "p95" else self.measured.median
        return self.fails or (self.budget is not None and found > self.budget)

    @property
    def ratio(self) -> float:
        """How many times the baseline costs what was measured."""
        return self.beside.median / self.measured.median


def table(rows: Iterable[Row], *, judge: bool, caption: str) -> Table:
    """The rows as a table; without `judge` no budget applies."""
    page = Table(
        box=box.SIMPLE_HEAD, padding=0, show_edge=False, show_lines=True, caption=caption, caption_justify="left"
    )
    for name, width in _WIDTHS.items():
        page.add_column(name, width=width, overflow="fold", justify="right" if name == "ratio" else "left")
    for row in rows:
        budgeted = judge and row.budget is not None
        page.add_row(
            row.what,
            row.measured.told(row.judged),
            told(row.budget, row.measured.unit) if row.budget is not None else "none",
            row.baseline,
            row.beside.told(),
            _times(row.ratio),
            ("over" if row.over else "within") if budgeted else "",
        )
    return page


def _times(ratio: float) -> str:
    return f"{ratio:.0f} x" if ratio >= 20 else f"{ratio:.1f} x" if ratio >= 2 else f"{ratio:.2f} x"


def machine() -> str:
    """What it was measured on, in generic words."""
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    return f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, git {git}"
