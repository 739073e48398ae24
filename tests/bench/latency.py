"""From a changed manifest to a commit on a server: through syncer, Valkey, `receive`, `worker`, and Git over http."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pygit2
from watchfiles import watch

from syncer import settings as syncer_settings
from syncer.protocol.environment import Setting
from syncer.protocol.secret import Secret
from tests.bench.figures import Figures
from tests.bench.mesh import Size, key_of, large_tree
from tests.bench.report import Row
from tests.bench.world import World, build, making
from tests.pipeline.directory import Directory, directory
from tests.pipeline.processes import Processes
from tests.servers.git_http import PASSWORD, USER, bare_repository, git_server
from tests.servers.valkey import Valkey, valkey
from workers import settings
from workers.documents import paths
from workers.inbox import RedisInbox

_BUDGET: Final = 3.0
_QUIET: Final = 1.0
"""Seconds that a syncer waits for the next change; part of the budget."""
_FEW: Final = Size(clusters=3, services=6, namespaces=2, providers=2)
_LOOK: Final = 0.005


def rows(world: World) -> Iterator[Row]:
    """In a mesh of three clusters, and in the large one."""
    few = bare_repository(world.folder / "few" / "mesh.git")
    build(_FEW, few, world.folder / "few-first")
    meshes = [(_FEW, few)] if world.quick else [(_FEW, few), (world.size, world.remote)]
    for size, remote in meshes:
        with _line(world.folder / f"line-{size.clusters}", size, remote) as line:
            with making(f"processes of a mesh of {size}"):
                line.settle()
                line.change(0)
            with making("a manifest changes, again and again"):
                changes = [line.change(number) for number in range(1, world.times(10) + 1)]
        yield Row(
            what=f"manifest changed → commit on a server over http, mesh of {size}",
            measured=Figures(values=tuple(commit for commit, _ in changes)),
            budget=_BUDGET,
            judged="p95",
            baseline=f"until the file's event (watchfiles), and {_QUIET:.0f} s of quiet",
            beside=Figures(values=tuple(event + _QUIET for _, event in changes)),
        )


class Line:
    """Running processes between one cluster's manifests and a bare repository."""

    def __init__(self, manifests: Directory, remote: Path, processes: Processes, inbox: RedisInbox) -> None:
        self._manifests = manifests
        self._service = min(manifests.exports)
        self._ref = f"refs/heads/{paths.exports_branch(self._service.partition('/')[0])}"
        self._remote = remote
        self._processes = processes
        self._inbox = inbox

    def settle(self) -> None:
        """Return when all have started, and the worker has found that nothing is new."""
        self._wait(lambda: self._inbox.newest() and self._inbox.seen() and not self._inbox.marked(), "the processes")
        if self._head() is not None:
            raise RuntimeError(f"{self._ref}: the manifests don't say what main has")

    def change(self, number: int) -> tuple[float, float]:
        """Seconds until the commit is on the remote, and until the file system told; a service gets a new account."""
        before = self._head()
        told = _event(self._manifests.path)
        begun = time.perf_counter()
        self._manifests.put(self._service, port=9080, account=f"since-{number}")
        self._wait(lambda: self._head() != before, f"{self._ref} to move")
        took = time.perf_counter() - begun
        self._wait(lambda: not self._inbox.marked(), "the worker to be idle")
        return took, told() - begun

    def _head(self) -> str | None:
        reference = pygit2.Repository(str(self._remote)).references.get(self._ref)
        return None if reference is None else str(reference.target)

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            self._processes.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"waited two minutes for {what}\n{self._processes.tails()}")
            time.sleep(_LOOK)


def _event(folder: Path) -> Callable[[], float]:
    """Begin to watch a folder; what is returned waits for the first event, and says when it came."""
    came: list[float] = []
    watching = threading.Event()

    def listen() -> None:
        # Without a change it yields, too: then it is known to watch.
        for changes in watch(folder, debounce=50, step=10, rust_timeout=20, yield_on_timeout=True):
            watching.set()
            if changes:
                came.append(time.perf_counter())
                return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    watching.wait()

    def wait() -> float:
        thread.join()
        return came[0]

    return wait


@contextmanager
def _line(folder: Path, size: Size, remote: Path) -> Iterator[Line]:
    """All processes, gone at the end; the first cluster of the mesh has manifests that say what main has."""
    folder.mkdir()
    cluster, tree = size.names[0], large_tree(size)
    manifests = directory(folder / "manifests", tree.facts.clusters[cluster].spec.gateway.addresses[0].ip or "")
    for key, exports in tree.facts.exports.items():
        if cluster in exports:
            manifests.put(str(key), port=9080)
    key_file = folder / "key"
    key_file.touch(mode=0o600)
    key_file.write_text(base64.b64encode(key_of(cluster).seed()).decode() + "\n")
    password = folder / "password"
    password.write_text(PASSWORD)
    with valkey() as broker, git_server(remote.parent) as server:
        processes, inbox = Processes(folder / "logs", {}), RedisInbox(Secret(broker.url))
        try:
            _start(
                processes,
                broker,
                {
                    settings.REPO: server.url(remote.name),
                    settings.COPY: str(folder / "copy"),
                    settings.GIT_USER: USER,
                    settings.GIT_PASSWORD_FILE: str(password),
                    settings.PUSHES: "600",  # each change is one of an idle repository
                },
                {
                    syncer_settings.MESH: tree.mesh.metadata.name,
                    syncer_settings.CLUSTER: cluster,
                    syncer_settings.DIRECTORY: str(manifests.path),
                    syncer_settings.KEY_FILE: str(key_file),
                    syncer_settings.QUIET: str(_QUIET),
                },
            )
            yield Line(manifests, remote, processes, inbox)
        finally:
            processes.end()
            inbox.close()


def _start(
    processes: Processes,
    broker: Valkey,
    worker: dict[Setting, str],
    syncer: dict[Setting, str],
) -> None:
    told = {
        "worker": {setting.name: value for setting, value in worker.items()},
        "receive": {},
        "syncer": {setting.name: value for setting, value in syncer.items()},
    }
    for name, environment in told.items():
        processes.define(name, [name], {settings.BROKER.name: broker.url, **environment})
        processes.start(name)
