"""Much at once, through real processes and a Git server over http: every cluster changes; one exports very much."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import pygit2

from syncer.protocol.observation import Observation
from syncer.protocol.secret import Secret
from syncer.publish import send, signed
from tests.bench.figures import Figures
from tests.bench.mesh import Size, grown, joined, key_of, large_tree, observations_of
from tests.bench.report import Row
from tests.bench.world import World, build, making
from tests.pipeline.processes import Processes
from tests.servers.git_http import PASSWORD, USER, GitServer, bare_repository, git_server
from tests.servers.valkey import Valkey, valkey
from workers import settings
from workers.documents import paths
from workers.inbox import RedisInbox
from workers.tree import Tree

_CHANGES: Final = 20.0
_EXPORTS: Final = 15.0
_ALL: Final = ("export", "change", "withdrawal", "address", "follow-up")
_EVERY: Final = Size(clusters=500, services=100, providers=5, strides=(5, 1), automatic=_ALL)
"""Each cluster exports one service."""
_EVERY_FEW: Final = Size(clusters=40, services=20, namespaces=5, providers=2, strides=(2, 1), automatic=_ALL)
_ONE: Final = Size(clusters=100, services=20, providers=1)
_ONE_FEW: Final = Size(clusters=20, services=5, namespaces=5, providers=1)


class Line:
    """`receive` and `worker`, running, and clusters that say what we want them to."""

    def __init__(self, size: Size, broker: Valkey, server: GitServer, processes: Processes) -> None:
        self.tree: Tree = large_tree(size)
        self.said: dict[str, Observation] = observations_of(self.tree)
        self.inbox = RedisInbox(Secret(broker.url))
        self.server = server
        self._broker = broker
        self._processes = processes

    def begin(self) -> None:
        """Every cluster says what is so; return when the worker has nothing to do."""
        self.wait(self.inbox.border_keys, "the keys of the clusters")
        self.say(self.said)
        self.wait(lambda: self.inbox.newest().keys() == self.said.keys() and self.idle(), "the worker to be idle")

    def say(self, observations: Mapping[str, Observation]) -> None:
        """These clusters send what they observe now, several at a time."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._send, observations.values()))
        self.said.update(observations)

    def idle(self) -> bool:
        return bool(self.inbox.seen()) and not self.inbox.marked()

    def pushes(self) -> int:
        """Each asks once where the refs are; of a large pack git sends the beginning twice."""
        return sum("/info/refs?service=git-receive-pack" in request for request in self.server.requests)

    def refs(self) -> dict[str, str]:
        """Where everything on the server is."""
        repo = pygit2.Repository(str(self.server.root / "mesh.git"))
        return {ref.name: str(ref.target) for ref in repo.references.iterator()}

    def has(self, path: str, text: bytes) -> bool:
        """Whether a file of main has this in it."""
        repo = pygit2.Repository(str(self.server.root / "mesh.git"))
        return text in repo.references[paths.MAIN].peel(pygit2.Tree)[path].data

    def wait(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 600
        while not condition():
            self._processes.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"waited ten minutes for {what}\n{self._processes.tails()}")
            time.sleep(0.02)

    def _send(self, observation: Observation) -> None:
        now = datetime.now(UTC)
        number = int(now.timestamp() * 1_000_000)
        new = msgspec.structs.replace(observation, sequence=number, observed_at=now)
        send(Secret(self._broker.url), signed(new, key_of(new.cluster)))


def rows(world: World) -> Iterator[Row]:
    """A change of every cluster, all of whose classes are automatic; and a thousand exports of one."""
    yield from _changes(world)
    yield from _exports(world)


def _changes(world: World) -> Iterator[Row]:
    size = _EVERY_FEW if world.quick else _EVERY
    took, alone, pushes = [], [], []
    with _line(world.folder / "burst", size) as line:
        for number in range(1, 3):
            with making(f"all {size.clusters} clusters change at once ({number} of 2)"):
                before = line.pushes()
                took.append(_until_merged(line, line.said, number))
                pushes.append(line.pushes() - before)
            with making("one changes"):
                alone.append(_until_merged(line, dict([min(line.said.items())]), 10 + number))
    told = " and ".join(map(str, pushes))
    yield Row(
        what=f"{size.clusters} clusters change at once, all automatic ({told} pushes, at most 2)",
        measured=Figures(values=tuple(took)),
        budget=_CHANGES,
        fails=max(pushes) > 2,
        baseline=f"one after the other: one, times {size.clusters}",
        beside=Figures(values=tuple(one * size.clusters for one in alone)),
    )


def _until_merged(line: Line, clusters: Mapping[str, Observation], number: int) -> float:
    """Seconds until main has a change of each of these clusters, http included."""
    changed = {name: grown(said, 0, number) for name, said in clusters.items()}
    wanted = f"since-{number:04d}".encode()
    offers = {name: said.offers[0] for name, said in changed.items()}
    files = [f"facts/exports/{offer.namespace}/{name}/{offer.service}.yaml" for name, offer in offers.items()]
    begun = time.perf_counter()
    line.say(changed)
    # The last one first: the others are seldom looked at before it is there.
    line.wait(lambda: all(line.has(path, wanted) for path in reversed(files)), "main to have every change")
    took = time.perf_counter() - begun
    line.wait(line.idle, "the worker to be idle")
    return took


def _exports(world: World) -> Iterator[Row]:
    size = _ONE_FEW if world.quick else _ONE
    each = 10 if world.quick else 50
    folder = world.folder / "exports"
    took, alone, pushes = [], [], []
    for number in range(1, 3):
        with _line(folder / f"whole-{number}", size) as line, making(f"{each * size.namespaces} exports at once"):
            before = line.pushes()
            took.append(_until_proposed(line, size.namespaces, each))
            pushes.append(line.pushes() - before)
        with _line(folder / f"part-{number}", size) as line, making(f"{each} exports of one namespace"):
            alone.append(_until_proposed(line, 1, each))
    told = " and ".join(map(str, pushes))
    yield Row(
        what=f"{each * size.namespaces:,} exports at once, {size.clusters} clusters import them: {size.namespaces}"
        f" proposals ({told} pushes, at most 1)",
        measured=Figures(values=tuple(took)),
        budget=_EXPORTS,
        fails=max(pushes) > 1,
        baseline=f"a namespace by itself, times {size.namespaces}",
        beside=Figures(values=tuple(one * size.namespaces for one in alone)),
    )


def _until_proposed(line: Line, namespaces: int, each: int) -> float:
    """Seconds until so many exports of the first cluster are proposed on the remote."""
    name, said = min(line.said.items())
    new = [f"team-{place:02d}/new-{number:03d}" for place in range(namespaces) for number in range(each)]
    branches = {f"refs/heads/{paths.exports_branch(f'team-{place:02d}')}" for place in range(namespaces)}
    begun = time.perf_counter()
    line.say({name: joined(said, new)})
    line.wait(lambda: branches <= line.refs().keys(), "the proposals")
    took = time.perf_counter() - begun
    line.wait(line.idle, "the worker to be idle")
    return took


@contextmanager
def _line(folder: Path, size: Size) -> Iterator[Line]:
    """All processes on a repository of this size, idle; gone at the end, and the folder with them."""
    folder.mkdir(parents=True)
    with valkey() as broker, git_server(folder) as server:
        with making(f"a repository of {size}"):
            build(size, bare_repository(folder / "mesh.git"), folder / "first")
        processes = Processes(folder / "logs", {})
        password = folder / "password"
        password.write_text(PASSWORD)
        told = {
            settings.BROKER.name: broker.url,
            settings.REPO.name: server.url("mesh.git"),
            settings.COPY.name: str(folder / "copy"),
            settings.GIT_USER.name: USER,
            settings.GIT_PASSWORD_FILE.name: str(password),
        }
        line = Line(size, broker, server, processes)
        try:
            with making("its processes"):
                for name in ("receive", "worker"):
                    processes.define(name, [name], told)
                    processes.start(name)
                line.begin()
            yield line
        finally:
            processes.end()
            line.inbox.close()
    shutil.rmtree(folder)
