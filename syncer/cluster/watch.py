"""One resource of an API server, listed and then watched for good.

A thread for each resource runs `Watch.run`; what it knows is in `syncer.cluster.known`. A change costs no list: that is
made at the start, when the server no longer has the version that we are at (410), when it never had it (etcd wiped,
another cluster behind the address), and when watches broke off for long.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import urllib3

from syncer import metrics
from syncer.cluster.connection import Connection, Expired, NotFound
from syncer.cluster.known import Known, Timing
from syncer.cluster.lean import lean
from syncer.cluster.listing import key_of, listed, served_version
from syncer.cluster.resources import Resource
from syncer.cluster.wire import changed, event, page, trouble, version
from syncer.protocol.errors import PeermeshError, Transient

_CAP: Final = 30.0
_TICK: Final = 1.0
_CHANCE: Final = random.SystemRandom()


def pause(failures: int) -> float:
    """Seconds until the next try, with full jitter: from nothing to half a second, a second, … half a minute."""
    return _CHANCE.uniform(0, min(_CAP, 2.0 ** (failures - 2)))


class Watch:
    """`listing` is held while a list is read, so that only one at a time takes memory; `news` is called on a change."""

    def __init__(
        self,
        connection: Connection,
        resource: Resource,
        istio_namespace: str,
        *,
        timing: Timing,
        listing: threading.Lock,
        news: Callable[[], None],
    ) -> None:
        self._connection = connection
        self.resource = resource
        self._istio = istio_namespace
        self._timing = timing
        self._listing = listing
        self._news = news
        self._where = f"{connection.server}, {resource.plural}"
        self._known = Known(what=self._where, timing=timing, custom=resource.custom)
        self._lock = threading.Lock()
        self._path = ""
        self._version: str | None = None
        self._stream: urllib3.BaseHTTPResponse | None = None
        self._cut = False

    def run(self, stop: threading.Event) -> None:
        """List and watch until `stop` is set."""
        while not stop.is_set():
            try:
                self._turn(stop)
            except PeermeshError as error:
                metrics.WATCH_RESTARTS.labels(self.resource.plural, error.reason).inc()
                with self._lock:
                    self._known.failed(error, time.monotonic())
                    failures = self._known.failures
                    if isinstance(error, Expired | NotFound) or self._known.stale(time.monotonic()):
                        self._version = None
                self._wait(stop, pause(failures))

    def complaint(self, now: float) -> PeermeshError | None:
        """Why nothing can be said of this resource."""
        with self._lock:
            return self._known.complaint(now)

    def objects(self) -> tuple[Any, ...] | None:
        """All that is there; None: the kind isn't served."""
        with self._lock:
            return self._known.objects()

    def refresh(self) -> None:
        """Trust nothing but a list that is asked for from now on."""
        with self._lock:
            self._known.forget(time.monotonic())
        self.cut()

    def settle(self) -> None:
        """Believe deletions, if the kind is there to stay: when a CRD is deleted, its objects go first, one by one."""
        asked = time.monotonic()
        with self._lock:
            if not self._known.unsettled(asked):
                return
        try:
            there = served_version(self._connection, self.resource) is not None
        except PeermeshError as error:
            with self._lock:
                self._known.failed(error, time.monotonic())
            return
        with self._lock:
            told = self._known.settled(asked) if there else self._known.missing(asked, sure=True)
        if not there:
            self.cut()
        if told:
            self._news()

    def cut(self) -> None:
        """End a watch that waits for its server; a list follows."""
        self._cut, stream = True, self._stream
        if stream is not None:
            with suppress(OSError, ValueError, RuntimeError, AttributeError):
                stream.shutdown()

    def _turn(self, stop: threading.Event) -> None:
        if self._version is None or self._unread():
            asked = time.monotonic()
            served = served_version(self._connection, self.resource)
            if served is None:
                with self._lock:
                    told = self._known.unread or self._known.objects() is not None
                    believed = self._known.missing(asked)
                if told:
                    self._news()
                self._wait(stop, self._timing.look if believed else min(_TICK, self._timing.grace / 4))
                return
            self._path = self.resource.path(served, self._istio)
            self._list()
        self._follow(stop)

    def _unread(self) -> bool:
        with self._lock:
            return self._known.unread

    def _wait(self, stop: threading.Event, seconds: float) -> None:
        """Until it is time, or somebody wants a list at once."""
        until = time.monotonic() + seconds
        unread = self._unread()
        while (left := until - time.monotonic()) > 0 and not stop.wait(min(_TICK, left)):
            if not unread and self._unread():
                return

    def _list(self) -> None:
        with self._listing:
            began = time.monotonic()
            objects, at = listed(self._connection, self.resource, self._path, self._istio)
        with self._lock:
            self._known.listed(objects, began, time.monotonic())
        self._version = at
        self._news()

    def _follow(self, stop: threading.Event) -> None:
        query = {
            **self.resource.query(self._istio),
            "watch": "1",
            "resourceVersion": self._version or "",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(round(_CHANCE.uniform(self._timing.turn, 1.5 * self._timing.turn))),
        }
        with self._connection.stream("GET", self._path, query=query, read_timeout=self._timing.silence) as answer:
            self._stream, self._cut = answer, False
            try:
                lines = self._take_all(answer, stop)
            except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
                # The last two: what `cut` makes of a read that waits.
                if not self._cut:
                    raise self._connection.away(error) from error
                self._version = None
                return
            finally:
                self._stream = None
        ended = time.monotonic()
        if not lines and not self._unread() and not self._comes_later():
            self._version = None
            return
        with self._lock:
            self._known.heard(ended)

    def _take_all(self, answer: urllib3.BaseHTTPResponse, stop: threading.Event) -> int:
        """Every line until the watch ends; returns how many there were."""
        lines = 0
        with self._lock:
            self._known.accepted()
            if self._known.unread:
                return lines
        for line in answer:
            self._take(line)
            lines += 1
            if stop.is_set():
                break
        return lines

    def _comes_later(self) -> bool:
        """Whether the server has come as far as our version: of one from its future it would never say anything."""
        query = {**self.resource.query(self._istio), "limit": "1"}
        answer = page(self._connection.call("GET", self._path, query=query), self.resource.shape, self._where)
        now, ours = answer.metadata.resource_version, self._version or ""
        # Numbers since KEP-5504, and in etcd's storage all along.
        return now == ours or (now.isdecimal() and ours.isdecimal() and int(now) >= int(ours))

    def _take(self, line: bytes) -> None:
        told = event(line, self._where)
        if told.type == "ERROR":
            code, message = trouble(told, self._where)
            if code == 410:
                raise Expired("Expired", message, subject=self._where)
            raise Transient("ApiAway", f"the watch ended: {code} {message}", subject=self._where)
        news = False
        if told.type != "BOOKMARK":
            item = changed(told, self.resource.shape, self._where)
            now = time.monotonic()
            with self._lock:
                news = self._known.put(key_of(item), None if told.type == "DELETED" else lean(item), now)
        self._version = version(told, self._where)
        with self._lock:
            self._known.heard(time.monotonic())
        if news:
            self._news()
