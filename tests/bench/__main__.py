"""`python -m tests.bench`: the table of budgets. Exit code 0; 1 with `--strict` where one isn't met.

Chooses and prints; what is measured is in the modules of `BENCHES`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.bench import bursts, committing, dumping, joining, latency, looking, memory, planning, receiving, rendering
from tests.bench.report import WIDTH, Row, machine, table
from tests.bench.world import World, say

BENCHES: Final[Mapping[str, Callable[[World], Iterator[Row]]]] = {
    "render": rendering.rows,
    "dump": dumping.rows,
    "plan": planning.rows,
    "commit": committing.rows,
    "nothing-new": receiving.rows,
    "idle": looking.sweeps,
    "read": looking.reads,
    "check": looking.checks,
    "new-worker": joining.rows,
    "latency": latency.rows,
    "bursts": bursts.rows,
    "memory": memory.rows,
}
"""By the name that `--only` takes, in the order of the table: memory is measured while this process is small."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, judge."""
    options = _parser().parse_args(arguments)
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="peermesh-bench-") as folder:
        world = World(Path(folder), quick=options.quick)
        rows = list(_rows(world, options.only or list(BENCHES)))
    caption = f"{machine()}; load {before:.1f} before, {os.getloadavg()[0]:.1f} after"
    if options.quick:
        caption += f"; {world.size} only, so no verdicts"
    Console(width=WIDTH).print(table(rows, judge=not options.quick, caption=caption))
    return int(options.strict and not options.quick and any(row.over for row in rows))


def _rows(world: World, names: list[str]) -> Iterator[Row]:
    for name in (name for name in BENCHES if name in names):
        say(f"{name}:")
        yield from BENCHES[name](world)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="The budgets, each beside a baseline.")
    parser.add_argument("--only", action="append", choices=tuple(BENCHES), help="only this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="a small mesh and few repetitions: does it all run?")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a budget isn't met")
    return parser


if __name__ == "__main__":
    # A person's settings of git (signing, hooks, maintenance) aren't what is measured.
    os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    sys.exit(main())
