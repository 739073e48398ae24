"""A pair of objects is written as YAML: ours beside PyYAML's own dumpers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import yaml

from tests.bench.figures import Timed, alternated, timed
from tests.bench.mesh import SMALL, large_tree
from tests.bench.report import Row
from tests.bench.world import World
from workers.documents.writing import dump
from workers.reach import reach
from workers.render import render

_BATCH: Final = 20
"""Pairs that are written in one repetition; told is the time of one."""


def rows(world: World) -> Iterator[Row]:
    """ServiceEntry and DestinationRule of a host with nine providers."""
    tree = large_tree(SMALL)
    rendered = render(tree, reach(tree))
    pair = next(file.objects for path, file in rendered.items() if file and "/imports/" in path)
    others: dict[str, Callable[[], object]] = {
        "`yaml.dump_all`, pure Python": lambda: yaml.dump_all(pair),
        "`yaml.dump_all` with CSafeDumper": lambda: yaml.dump_all(pair, Dumper=yaml.CSafeDumper),
    }
    for name, other in others.items():
        measured, beside = alternated(
            _batches(lambda: dump(pair)), _batches(other), times=world.times(20), baselines=world.times(20)
        )
        yield Row(
            what="write ServiceEntry and DestinationRule, nine providers",
            measured=measured,
            baseline=name,
            beside=beside,
        )


def _batches(write: Callable[[], Any]) -> Callable[[int], Timed]:
    def batch() -> None:
        for _ in range(_BATCH):
            write()

    return lambda _: timed(batch).scaled(1 / _BATCH)
