"""`python -m tests.soak --minutes N` (`make soak MINUTES=N`): everything at once with faults, and then the figures.

Clusters change, people approve, somebody else writes to main; workers, `receive` and syncers are killed; Redis is
wiped, restarted, and cuts everybody off; the Git server refuses, stalls and loses answers, and the way to it breaks:
half of the time over http, half of it over ssh. In the end everything calms down, and main and the open proposals must
be what `peermesh plan` says of the manifests. Exit code 1: they aren't, or something was lost.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from tests.pipeline.chaos import AUTOMATIC, WORKERS, Chaos, Done, doubled, foreign, fsck, lost, unsaid
from tests.pipeline.competitor import competitor
from tests.pipeline.directory import directory
from tests.pipeline.harness import pipeline
from tests.servers import sshd
from tests.servers.wires import Transport

_CLUSTERS: Final = {"west": "203.0.113.10", "east": "203.0.113.20", "north": "203.0.113.30"}
_KILLS: Final = 0.6
"""In so many of the steps: between them something must get done that can be lost."""
_CALM: Final = 240.0
"""Seconds in which everything must be as it should: a worker waits a minute before a push that was refused."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """What one pipeline went through, and what was wrong at its end (nothing, if all is well)."""

    transport: Transport
    seconds: float
    done: Done
    observations: int
    commits: int
    others: int
    calm: float
    lost: tuple[str, ...]
    foreign: tuple[str, ...]
    doubled: tuple[str, ...]
    damage: str

    @property
    def is_well(self) -> bool:
        return not (self.lost or self.foreign or self.doubled or self.damage)


def main(arguments: list[str] | None = None) -> int:
    """Run, print, judge."""
    options = _parser().parse_args(arguments)
    transports: list[Transport] = ["http", "ssh"]
    if reason := sshd.missing():
        _say(f"{reason}; all of it goes over http")
        transports = ["http"]
    phases = []
    for transport in transports:
        _say(f"{options.minutes / len(transports):.1f} minutes over {transport}, seed {options.seed}")
        chance = random.Random(f"{options.seed} {transport}")
        with tempfile.TemporaryDirectory(prefix="peermesh-soak-") as folder:
            phases.append(_phase(Path(folder), transport, 60 * options.minutes / len(transports), chance))
    _print(phases, options.seed)
    return int(not all(phase.is_well for phase in phases))


def _phase(folder: Path, transport: Transport, seconds: float, chance: random.Random) -> Phase:
    clusters = {name: directory(folder / name, address) for name, address in _CLUSTERS.items()}
    with pipeline(folder, clusters, automatic=AUTOMATIC, workers=WORKERS, heartbeat=2, transport=transport) as line:
        line.wait_until_settled()
        line.everything_approved()
        chaos = Chaos(line, clusters, chance)
        begun = told = time.monotonic()
        with competitor(folder / "competitor", line.url, line.environment) as other:
            while time.monotonic() < begun + seconds:
                chaos.step(kills=chance.random() < _KILLS)
                if time.monotonic() > told + 30:
                    told = time.monotonic()
                    _say(f"  {told - begun:.0f} s: {chaos.done.kills.total()} kills, {chaos.done.acts['edits']} edits")
            ended = time.monotonic()
        chaos.calm()
        line.wait_until_settled(_CALM, hurry=True)
        return Phase(
            transport=transport,
            seconds=ended - begun,
            done=chaos.done,
            observations=sum(line.processes.log(f"syncer {name}").count("INFO observed ") for name in clusters),
            commits=len(line.robots_commits()),
            others=len(other.landed),
            calm=time.monotonic() - ended,
            lost=(*lost(line, other), *unsaid(line, clusters)),
            foreign=tuple(foreign(line)),
            doubled=tuple(doubled(line)),
            damage=fsck(line),
        )


def _print(phases: list[Phase], seed: str) -> None:
    page = Table(box=box.SIMPLE_HEAD, show_edge=False, caption=f"seed {seed}", caption_justify="left")
    page.add_column("")
    for phase in phases:
        page.add_column(f"over {phase.transport}", justify="right")
    page.add_column("together", justify="right")
    for what, numbers in _rows(phases):
        page.add_row(what, *map(str, numbers), str(round(sum(numbers), 1)))
    Console(width=100).print(page)
    for phase in phases:
        for what, found in (("lost", phase.lost), ("foreign", phase.foreign), ("doubled", phase.doubled)):
            for one in found:
                _say(f"{phase.transport}: {what}: {one}")
        if phase.damage:
            _say(f"{phase.transport}: git fsck: {phase.damage}")


def _rows(phases: list[Phase]) -> Iterator[tuple[str, list[float]]]:
    yield "seconds of faults", [round(phase.seconds) for phase in phases]
    yield "updates: manifests edited", [phase.done.acts["edits"] for phase in phases]
    yield "updates: observations sent", [phase.observations for phase in phases]
    yield "updates lost", [len(phase.lost) for phase in phases]
    yield "foreign paths written", [len(phase.foreign) for phase in phases]
    yield "proposals doubled", [len(phase.doubled) for phase in phases]
    yield "faults found by git fsck", [int(bool(phase.damage)) for phase in phases]
    yield "commits of the robot on main", [phase.commits for phase in phases]
    yield "commits of somebody else on main", [phase.others for phase in phases]
    yield from _counted("killed: ", [phase.done.kills for phase in phases])
    yield from _counted("", [phase.done.acts for phase in phases], but="edits")
    yield from _counted("Git: ", [phase.done.faults for phase in phases])
    yield "seconds from the last fault until all was as it should be", [round(phase.calm, 1) for phase in phases]


def _counted(head: str, counters: list[Counter[str]], but: str = "") -> Iterable[tuple[str, list[float]]]:
    names = sorted({name for counter in counters for name in counter} - {but})
    return ((f"{head}{name}", [counter[name] for counter in counters]) for name in names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Everything at once, with faults.")
    parser.add_argument("--minutes", type=float, default=10, help="how long, in all")
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(10**6)), help="of what is decided here")
    return parser


def _say(what: str) -> None:
    sys.stderr.write(f"{what}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
