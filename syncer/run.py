"""A running syncer: reads the cluster when something changed, and publishes what it says.

Only wires: when to read is `debounce`'s, what is said is `observe`'s, how it is sent is `publish`'s.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import msgspec

from syncer import metrics
from syncer.cluster import ClusterState, Reader
from syncer.cluster.directory import DirectoryReader
from syncer.debounce import Schedule
from syncer.keys import signing_key
from syncer.observe import Scope, next_sequence, observe
from syncer.protocol.errors import PeermeshError
from syncer.protocol.observation import Observation
from syncer.publish import Publisher, send, signed
from syncer.settings import Settings

log = logging.getLogger("peermesh.syncer")

_News = queue.SimpleQueue[PeermeshError | None]
"""None: something may have changed, or it is time to stop."""


def run(settings: Settings, *, stop: threading.Event) -> None:
    """Observe and publish until `stop` is set.

    Raises:
        HumanNeeded: it can't start (key, broker URL), or can't go on.
    """
    key = signing_key(settings.key_file)
    log.info(
        "syncer of cluster %s in mesh %s reads %s and signs with %s",
        settings.scope.cluster,
        settings.scope.mesh,
        settings.directory,
        key.public,
    )
    reader = DirectoryReader(settings.directory, settings.namespace)
    publisher = Publisher(lambda observation: send(settings.broker, signed(observation, key)))
    with publisher, _watched(reader, stop) as news:
        _follow(settings, Syncer(settings.scope, reader, publisher.publish), news, stop)
    log.info("syncer of cluster %s stopped", settings.scope.cluster)


def _follow(settings: Settings, syncer: Syncer, news: _News, stop: threading.Event) -> None:
    """Read at the start, after changes, and at every heartbeat."""
    timing = settings.timing
    schedule = Schedule(heartbeat=time.monotonic())
    while not stop.is_set():
        now = time.monotonic()
        if now >= schedule.due(timing):
            sent = syncer.read(datetime.now(UTC), heartbeat=now >= schedule.heartbeat)
            schedule = schedule.read(now, timing, sent=sent)
            continue
        with suppress(queue.Empty):
            trouble = news.get(timeout=schedule.due(timing) - now)
            if trouble is not None:
                raise trouble
            schedule = schedule.changed(time.monotonic())


@contextmanager
def _watched(reader: Reader, stop: threading.Event) -> Iterator[_News]:
    """What the reader's own thread notices. At the end of the block `stop` is set, and the thread ends."""
    news: _News = queue.SimpleQueue()

    def watch() -> None:
        try:
            for _ in reader.changes(stop):
                news.put(None)
        except PeermeshError as error:
            news.put(error)
        finally:
            news.put(None)

    thread = threading.Thread(target=watch, name="watch", daemon=True)
    thread.start()
    try:
        yield news
    finally:
        stop.set()
        thread.join()


class Syncer:
    """What one cluster said last, and so what is news."""

    def __init__(self, scope: Scope, reader: Reader, publish: Callable[[Observation], None]) -> None:
        self._scope = scope
        self._reader = reader
        self._publish = publish
        self._last: Observation | None = None
        self._sequence = 0
        self._trouble = ""

    def read(self, now: datetime, *, heartbeat: bool) -> bool:
        """Read the cluster; publish what it says if that is new, or if a heartbeat is due. Returns whether it was."""
        state = self._state()
        if state is None:
            return False
        self._sequence = next_sequence(self._sequence, now)
        observation = observe(state, self._scope, sequence=self._sequence, observed_at=now)
        news = self._last is None or _said(observation) != _said(self._last)
        if news or heartbeat:
            self._publish(observation)
            self._tell(observation, "changed" if news else "heartbeat")
            self._last = observation
        return news or heartbeat

    def _state(self) -> ClusterState | None:
        """None: the reading is incomplete, so nothing is said, and what was said last stays."""
        try:
            state = self._reader.read()
        except PeermeshError as error:
            metrics.READINGS.labels("incomplete").inc()
            metrics.COMPLETE.set(0)
            if self._trouble != str(error):
                self._trouble = str(error)
                log.warning("incomplete, nothing is said until it is mended, %s: %s", error.reason, error)
            return None
        metrics.READINGS.labels("complete").inc()
        metrics.COMPLETE.set(1)
        if self._trouble:
            self._trouble = ""
            log.info("complete again")
        return state

    def _tell(self, observation: Observation, cause: str) -> None:
        metrics.OFFERS.set(len(observation.offers))
        metrics.REFUSED.set(len(observation.refused))
        log.info("observed %d exports, %d refused (%s)", len(observation.offers), len(observation.refused), cause)
        known = self._last.refused if self._last else ()
        for refused in observation.refused:
            if refused not in known:
                log.warning(
                    "refused %s/%s, %s: %s", refused.namespace, refused.service, refused.reason, refused.message
                )


def _said(observation: Observation) -> Observation:
    """All but when it was said. More than `content()`: what was applied is news for `status`, though for no plan."""
    return msgspec.structs.replace(observation, sequence=0, observed_at=datetime.min.replace(tzinfo=UTC))
