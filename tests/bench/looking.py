"""Looking at the repository: asking whether anything moved, reading its documents, checking all of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import yaml

from syncer.protocol.secret import Secret
from tests.bench.figures import Timed, alternated, timed
from tests.bench.report import Row
from tests.bench.world import World, git, making, run
from tests.servers.valkey import valkey
from workers.documents import paths
from workers.forge.git import GitForge
from workers.inbox import RedisInbox
from workers.sweep import sweep
from workers.tree import read_tree

_SAMPLE: Final = 500
"""Rendered files that the baseline of `check` reads; then it is scaled."""


def sweeps(world: World) -> Iterator[Row]:
    """`sweep` when nothing has moved: what an idle worker does every ten seconds."""
    worker = world.worker
    with valkey() as server:
        inbox = RedisInbox(Secret(server.url))
        inbox.set_seen(worker.look()[0].fingerprint)
        with making("looks at a repository that stands still"):
            measured, beside = alternated(
                lambda _: timed(lambda: sweep(worker.repository.fetch(), GitForge, inbox, datetime.now(UTC))),
                lambda _: timed(lambda: git("ls-remote", "--quiet", world.remote.as_uri(), within=world.folder)),
                times=world.times(20),
                baselines=world.times(20),
            )
        inbox.close()
    yield Row(
        what="an idle look at the repository (`sweep`, every 10 s)",
        measured=measured,
        baseline="`git ls-remote` alone, the least there is",
        beside=beside,
    )


def reads(world: World) -> Iterator[Row]:
    """`read_tree`: by a process that knows nothing, and by one that read the last main."""
    files = world.worker.look()[0].files
    contents = [files.read(path) for folder in ("mesh/", paths.FACTS) for path, _ in files.under(folder)]

    def parse() -> None:
        for content in contents:
            yaml.load(content, Loader=yaml.CSafeLoader)

    with making("all documents are read"):
        cold, parsed = alternated(
            lambda _: timed(lambda: read_tree(files, {})),
            lambda _: timed(parse),
            times=world.times(5),
            baselines=world.times(5),
        )
        warm, again = alternated(
            lambda _: timed(lambda: read_tree(files, world.worker.warm.documents)),
            lambda _: timed(lambda: read_tree(files, {})),
            times=world.times(10),
            baselines=world.times(2),
        )
    yield Row(
        what=f"read the documents of main for the first time ({len(contents):,} files)",
        measured=cold,
        baseline="parsing them with PyYAML's C loader, nothing else",
        beside=parsed,
    )
    yield Row(what="read them again", measured=warm, baseline="for the first time", beside=again)


def checks(world: World) -> Iterator[Row]:
    """`peermesh check` in a checkout, as the CI of a mesh repository calls it."""
    work_tree = world.work_tree
    git("checkout", "--quiet", "--detach", "origin/main", within=work_tree)
    rendered = sorted((work_tree / "clusters").rglob("*.yaml"))
    sample = rendered[:: max(1, len(rendered) // _SAMPLE)]

    def parse() -> None:
        for path in sample:
            list(yaml.load_all(path.read_bytes(), Loader=yaml.CSafeLoader))

    def check(_: int) -> Timed:
        return timed(lambda: run(sys.executable, "-m", "workers.cli", "check", "--repo", str(work_tree)))

    with making("`peermesh check` in a checkout"):
        measured, beside = alternated(
            check,
            lambda _: timed(parse).scaled(len(rendered) / len(sample)),
            times=world.times(3),
            baselines=world.times(3),
        )
    yield Row(
        what=f"`peermesh check` in a checkout ({len(rendered):,} rendered files)",
        measured=measured,
        baseline=f"parsing all rendered files, C loader: {len(sample)} of them, scaled",
        beside=beside,
    )
