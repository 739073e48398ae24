"""An observation that says what the last one said: what it costs, and that Git isn't touched for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from syncer.protocol.observation import pack
from syncer.protocol.secret import Secret
from syncer.protocol.signature import OBSERVATION
from tests.bench.figures import Timed, alternated, timed
from tests.bench.mesh import key_of
from tests.bench.report import Row
from tests.bench.world import World, making
from tests.servers.valkey import valkey
from workers.flush import FlushReport, flush
from workers.forge.git import GitForge
from workers.inbox import RedisInbox
from workers.outside import BorderKeys
from workers.receive import receive

_BUDGET: Final = 0.005
_HEARTBEAT: Final = timedelta(seconds=1)


class Site:
    """An inbox on a real server with what every cluster said, and a worker that has looked at it."""

    def __init__(self, world: World, inbox: RedisInbox) -> None:
        self._worker = world.worker
        self._inbox = inbox
        self._now = datetime.now(UTC)
        _, tree = self._worker.look()
        self._said = self._worker.said
        inbox.set_border_keys(
            BorderKeys(mesh=tree.mesh.metadata.name, keys={name: (key_of(name).public,) for name in tree.clusters})
        )
        for name in self._said:
            self.send(name)
        self.flush()

    def send(self, cluster: str) -> bool:
        """The next heartbeat of a cluster; whether `flush` has something to look at."""
        packed, signature = self.message(cluster)
        return receive(self._inbox, cluster, packed, signature, self._now)

    def message(self, cluster: str) -> tuple[bytes, bytes]:
        """What a heartbeat sends: as before, newer."""
        self._now += _HEARTBEAT
        number = int(self._now.timestamp() * 1_000_000)
        said = msgspec.structs.replace(self._said[cluster], sequence=number, observed_at=self._now)
        packed = pack(said)
        return packed, key_of(cluster).sign(OBSERVATION, said.mesh, cluster, packed)

    def heartbeat(self, number: int) -> Timed:
        """Received; the time of making it isn't counted."""
        cluster = self._cluster(number)
        packed, signature = self.message(cluster)
        news: list[bool] = []
        took = timed(lambda: news.append(receive(self._inbox, cluster, packed, signature, self._now)))
        if news != [False]:
            raise RuntimeError("what changes nothing was taken for news")
        return took

    def taken_for_news(self, number: int) -> Timed:
        """The baseline: received, and all of it looked at again."""
        cluster = self._cluster(number)
        packed, signature = self.message(cluster)

        def work() -> None:
            receive(self._inbox, cluster, packed, signature, self._now)
            self._inbox.mark(cluster)
            self.flush()

        return timed(work)

    def flush(self) -> FlushReport:
        """What a worker does when it is asked."""
        report = flush(self._worker.repository, GitForge, self._inbox, self._now, self._worker.warm)
        if report.pushed or report.merged or report.closed:
            raise RuntimeError(f"nothing should have changed: {report}")
        return report

    def _cluster(self, number: int) -> str:
        names = sorted(self._said)
        return names[number % len(names)]


def rows(world: World) -> Iterator[Row]:
    """Through `receive` on a real Valkey."""
    with valkey() as server:
        inbox = RedisInbox(Secret(server.url))
        with making("every cluster says what is so"):
            site = Site(world, inbox)
        with making("heartbeats that change nothing"):
            _refuse_git(lambda: [site.send(name) for name in world.size.names], site)
            measured, beside = alternated(
                site.heartbeat, site.taken_for_news, times=world.times(200), baselines=world.times(5)
            )
        inbox.close()
    yield Row(
        what="an observation that changes nothing (no git command runs)",
        measured=measured,
        budget=_BUDGET,
        baseline="taken for news: a warm `flush` that finds nothing",
        beside=beside,
    )


def _refuse_git(work: Callable[[], object], site: Site) -> None:
    """Do it, and let the worker look: no program may be started for it. Raises RuntimeError if one is."""
    started: list[str] = []
    watching = True

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event == "subprocess.Popen":
            started.append(str(arguments[0]))

    sys.addaudithook(watch)  # can't be taken away again, so it is told when to stop
    work()
    report = site.flush()
    watching = False
    if started or report.idle != "nothing is marked":
        raise RuntimeError(f"for nothing new {started or report} happened")
