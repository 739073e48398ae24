"""A running syncer: reads the cluster when something changed, and publishes what it says.

Only wires: when to read is `debounce`'s, what is said is `observe`'s, how it is sent is `publish`'s, and whether it is
for this replica to say is `leader`'s.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from syncer import metrics
from syncer.cluster import ClusterState, Reader
from syncer.cluster.api import ApiReader
from syncer.cluster.connection import Connection
from syncer.cluster.directory import DirectoryReader
from syncer.cluster.known import NotReadYet
from syncer.debounce import Schedule, Timing
from syncer.health import TURN_SECONDS, Health, serving
from syncer.keys import key_of_secret, signing_key
from syncer.leader import Alone, Election, Leader, LeaseLock, Terms
from syncer.observe import Scope, next_sequence, observe
from syncer.probing import Prober
from syncer.protocol.errors import PeermeshError, Transient
from syncer.protocol.observation import Observation
from syncer.protocol.signature import SigningKey
from syncer.publish import Publisher, pause, send, signed
from syncer.settings import KeySecret, Lease, Settings

log = logging.getLogger("peermesh.syncer")

_News = queue.SimpleQueue[PeermeshError | None]
"""None: something may have changed, or it is time to look up."""


def run(settings: Settings, *, stop: threading.Event) -> None:
    """Observe and publish until `stop` is set.

    Raises:
        HumanNeeded: it can't start (key, broker URL, API server, address), or can't go on.
    """
    source = settings.source
    connection = None if isinstance(source, Path) else Connection(kubeconfig=source.kubeconfig, context=source.context)
    health = Health()
    with serving(settings.listen, health):
        key = _key(settings, connection, health, stop)
        if key is not None:
            _said_hello(settings, connection, key)
            _observe(settings, connection, key, health, stop)
    log.info("syncer of cluster %s stopped", settings.scope.cluster)


def _key(settings: Settings, connection: Connection | None, health: Health, stop: threading.Event) -> SigningKey | None:
    """The signing key, as soon as it can be had; None: `stop` was set before."""
    place, tries = settings.key, 0
    while not stop.is_set():
        health.turn()
        try:
            if isinstance(place, KeySecret):
                assert connection is not None, "a Secret goes with an API server (syncer.settings)"
                return key_of_secret(connection, namespace=place.namespace, name=place.name)
            return signing_key(place)
        except Transient as error:
            if health.waiting != str(error):
                health.waiting = str(error)
                log.warning("no key yet, %s: %s", error.reason, error)
            tries += 1
            stop.wait(pause(tries))
    return None


def _said_hello(settings: Settings, connection: Connection | None, key: SigningKey) -> None:
    log.info(
        "syncer of cluster %s in mesh %s reads %s and signs with %s",
        settings.scope.cluster,
        settings.scope.mesh,
        connection.server if connection else settings.source,
        key.public,
    )


def _observe(
    settings: Settings, connection: Connection | None, key: SigningKey, health: Health, stop: threading.Event
) -> None:
    """Wire one replica, and let it run."""
    news: _News = queue.SimpleQueue()
    leader = _leader(settings.lease, connection, lambda: news.put(None))

    def deliver(observation: Observation) -> None:
        send(settings.broker, signed(observation, key), leader.check)

    reader = _reader(settings, connection)
    prober = Prober(settings.probing, settings.istio_namespace, tell=lambda: news.put(None))
    # The election ends last: while something may still be sent, nobody else should lead.
    with leader, Publisher(deliver) as publisher, prober, _watched(reader, news, stop):
        metrics.LEADER.set_function(lambda: float(leader.leading()))
        health.loops = {"thread that publishes": publisher, "thread of the election": leader}
        health.election = leader.trouble
        syncer = Syncer(settings.scope, reader, publisher.publish, leader, prober)
        _follow(syncer, news, settings.timing, health, stop)


def _leader(lease: Lease | None, connection: Connection | None, began: Callable[[], None]) -> Election | Alone:
    if lease is None:
        return Alone()
    assert connection is not None, "a Lease goes with an API server (syncer.settings)"
    terms = Terms(duration=lease.duration)
    lock = LeaseLock(connection, namespace=lease.namespace, name=lease.name, timeout=terms.renew_deadline / 2)
    # A pod that starts again has its name again, and mustn't take itself for the one before.
    return Election(lock, f"{lease.holder}_{uuid.uuid4()}", terms, began=began)


def _reader(settings: Settings, connection: Connection | None) -> Reader:
    if isinstance(settings.source, Path):
        return DirectoryReader(settings.source, settings.namespace)
    assert connection is not None, "an API server is reached by a connection"
    return ApiReader(connection, istio_namespace=settings.istio_namespace)


def _follow(syncer: Syncer, news: _News, timing: Timing, health: Health, stop: threading.Event) -> None:
    """Read at the start, after changes, and at every heartbeat."""
    schedule = Schedule(heartbeat=time.monotonic())
    while not stop.is_set():
        health.turn()
        now = time.monotonic()
        if now >= schedule.due(timing):
            sent = syncer.read(datetime.now(UTC), heartbeat=now >= schedule.heartbeat)
            schedule = schedule.read(now, timing, sent=sent)
            health.waiting = syncer.waiting
            continue
        with suppress(queue.Empty):
            trouble = news.get(timeout=min(schedule.due(timing) - now, TURN_SECONDS))
            if trouble is not None:
                raise trouble
            schedule = schedule.changed(time.monotonic())


@contextmanager
def _watched(reader: Reader, news: _News, stop: threading.Event) -> Iterator[None]:
    """What the reader's own thread notices becomes news. At the end of the block `stop` is set, and the thread ends."""

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
        yield
    finally:
        stop.set()
        thread.join()


class Syncer:
    """What one cluster said last, and so what is news. `waiting`: why it wasn't read even once; empty: it was."""

    def __init__(
        self,
        scope: Scope,
        reader: Reader,
        publish: Callable[[Observation], None],
        leader: Leader,
        prober: Prober,
    ) -> None:
        self._scope = scope
        self._reader = reader
        self._publish = publish
        self._leader = leader
        self._prober = prober
        self._term = leader.term
        self._last: Observation | None = None
        self._sequence = 0
        self._trouble = ""
        self.waiting = "the cluster wasn't read yet"

    def read(self, now: datetime, *, heartbeat: bool) -> bool:
        """Read the cluster; if this replica leads, publish what it says if that is new, or if a heartbeat is due.

        Returns whether it was published.
        """
        if self._begins():
            return False
        state = self._state()
        if state is None:
            return False
        self._prober.look(state)
        self._sequence = next_sequence(self._sequence, now)
        observation = observe(state, self._scope, sequence=self._sequence, observed_at=now, sample=self._prober.sample)
        metrics.OFFERS.set(len(observation.offers))
        metrics.REFUSED.set(len(observation.refused))
        news = self._last is None or _said(observation) != _said(self._last)
        if not (news or heartbeat) or not self._leader.leading():
            return False
        self._publish(observation)
        self._tell(observation, self._cause(observation) if news else "heartbeat")
        self._last = observation
        return True

    def _cause(self, observation: Observation) -> str:
        """Rounds of handshakes end every few minutes, and are no change of what people did."""
        before = self._last and msgspec.structs.replace(_said(self._last), trust=observation.trust)
        return "trust" if before == _said(observation) else "changed"

    def _begins(self) -> bool:
        """This replica begins to lead: what it knows is read anew, and whatever it says is news."""
        begins = self._term != (term := self._leader.term)
        if begins:
            self._term, self._last = term, None
            self._reader.refresh()
        return begins

    def _state(self) -> ClusterState | None:
        """None: the reading is incomplete, so nothing is said, and what was said last stays."""
        try:
            state = self._reader.read()
        except PeermeshError as error:
            metrics.READINGS.labels("incomplete").inc()
            metrics.COMPLETE.set(0)
            self._complain(error)
            return None
        metrics.READINGS.labels("complete").inc()
        metrics.COMPLETE.set(1)
        metrics.LAST_COMPLETE.set_to_current_time()
        self.waiting = ""
        if self._trouble:
            self._trouble = ""
            log.info("read completely")
        return state

    def _complain(self, error: PeermeshError) -> None:
        before, self._trouble = self._trouble, str(error)
        self.waiting = self.waiting and self._trouble
        if isinstance(error, NotReadYet):
            if not before:
                log.info("nothing is said yet: %s", error)
        elif before != self._trouble:
            log.warning("incomplete, nothing is said until it is mended, %s: %s", error.reason, error)

    def _tell(self, observation: Observation, cause: str) -> None:
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
