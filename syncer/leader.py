"""Which of several replicas publishes: the one that holds a Lease, by the rules of client-go's leader election.

Knows Leases, and nothing of what a leader does. What is written into the Lease is decided by `claim`, which is pure.
Times of other machines are never read: a replica waits until the Lease hasn't changed for as long as it lasts by its
own clock. A leader believes in itself only until `renew_deadline` after the start of its last renewal, whether it
runs meanwhile or not, and others wait longer than that: so one that was paused, or can't reach the API server, knows
by looking at its clock that it leads no more.
Why not `kubernetes.leaderelection`: docs/adr/0018-an-election-of-our-own.md.
"""

from __future__ import annotations

import json
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Protocol, Self

from syncer.cluster.connection import Conflict, Connection, NotFound
from syncer.protocol.errors import HumanNeeded, PeermeshError, Superseded

log = logging.getLogger("peermesh.syncer")

Spec = Mapping[str, Any]
"""`spec` of a Lease (coordination.k8s.io/v1), as the API gives it."""


def now() -> float:
    """Seconds of a clock that never jumps and, where there is such a one, counts while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Seconds: how long a Lease lasts, when a leader gives up that can't renew it, how often all try.

    client-go's defaults are 15, 10 and 2 (tools/leaderelection/leaderelection.go); here always in that proportion.
    """

    duration: float = 15.0

    @property
    def renew_deadline(self) -> float:
        return self.duration * 2 / 3

    @property
    def retry_period(self) -> float:
        return self.duration * 2 / 15


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a Lease said, and since when (by our own clock) it says exactly that."""

    spec: Spec
    since: float

    def again(self, spec: Spec, at: float) -> Seen:
        """After one more look."""
        return self if spec == self.spec else Seen(spec=spec, since=at)

    def lasts(self, at: float) -> bool:
        """Somebody holds it, and was heard of lately."""
        seconds = self.spec.get("leaseDurationSeconds") or 0
        return bool(self.spec.get("holderIdentity")) and at < self.since + seconds


def claim(seen: Seen, holder: str, terms: Terms, *, at: float, wall: datetime) -> Spec | None:
    """What `holder` writes to get or keep the Lease; None: it is somebody else's.

    `at` is a time of the clock of `seen`; `wall` goes into the Lease for people to read.
    """
    mine = seen.spec.get("holderIdentity") == holder
    if not mine and seen.lasts(at):
        return None
    stamp = _micro_time(wall)
    transitions = seen.spec.get("leaseTransitions") or 0
    return {
        **seen.spec,
        "holderIdentity": holder,
        "leaseDurationSeconds": math.ceil(terms.duration),
        "acquireTime": seen.spec.get("acquireTime") or stamp if mine else stamp,
        "renewTime": stamp,
        "leaseTransitions": transitions if mine else transitions + 1,
    }


def released(spec: Spec, *, wall: datetime) -> Spec:
    """What a leader that ends leaves behind: the next one needn't wait."""
    stamp = _micro_time(wall)
    return {**spec, "holderIdentity": "", "leaseDurationSeconds": 1, "acquireTime": stamp, "renewTime": stamp}


def _micro_time(wall: datetime) -> str:
    return wall.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Leader(Protocol):
    """Whether it is for this replica to publish."""

    @property
    def term(self) -> int:
        """How often it began to lead."""
        ...

    def leading(self) -> bool:
        """It leads at this moment, as far as anybody can know."""
        ...


class Lock(Protocol):
    """A Lease on an API server."""

    def read(self) -> Mapping[str, Any]:
        """The whole object.

        Raises:
            Transient, HumanNeeded: it can't be read.
        """
        ...

    def write(self, lease: Mapping[str, Any]) -> None:
        """Replace it, unless it was changed since it was read.

        Raises:
            Conflict: it was.
            Transient, HumanNeeded: it can't be written.
        """
        ...


class LeaseLock:
    """The Lease `name` in `namespace`; it must be there, so that no right to make Leases is needed."""

    def __init__(self, connection: Connection, *, namespace: str, name: str, timeout: float) -> None:
        self._connection = connection
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"
        self._where = f"Lease {namespace}/{name}"
        self._timeout = timeout

    def read(self) -> Mapping[str, Any]:
        try:
            lease: Mapping[str, Any] = json.loads(self._call("GET"))
        except NotFound as error:
            remedy = "Apply delivery/clusters/<cluster>/, which has it."
            raise HumanNeeded("NoLease", "there is no such Lease", subject=self._where, remedy=remedy) from error
        return lease

    def write(self, lease: Mapping[str, Any]) -> None:
        self._call("PUT", lease)

    def _call(self, method: str, body: object = None) -> bytes:
        return self._connection.call(method, self._path, body=body, timeout=self._timeout)


class Election:
    """Takes part from a thread of its own while its block runs; at the end the Lease is released, if it is ours.

    `term` counts how often this replica began to lead, and each time `began` is called, in that thread. A leader that
    couldn't renew in time begins anew, even if nobody else led meanwhile.
    """

    def __init__(
        self,
        lock: Lock,
        holder: str,
        terms: Terms,
        *,
        began: Callable[[], None],
        clock: Callable[[], float] = now,
    ) -> None:
        self._lock = lock
        self._holder = holder
        self._terms = terms
        self._began = began
        self._clock = clock
        self._until = -math.inf
        self._told = False
        self._seen = Seen(spec={}, since=-math.inf)
        self._answered = -math.inf
        self._trouble = ""
        self.term = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="election", daemon=True)

    def __enter__(self) -> Self:
        # Once before anything is read: whoever leads from the beginning needn't read again when it begins to lead.
        self.attempt()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(self._terms.duration)
        self.release()

    @property
    def alive(self) -> bool:
        """The thread that takes part runs."""
        return self._thread.is_alive()

    def leading(self) -> bool:
        """This replica leads at this moment, as far as anybody can know."""
        return self._clock() < self._until

    def trouble(self) -> str:
        """Why nobody could tell who leads; empty: the Lease could be read and written lately."""
        if self._clock() < self._answered + self._terms.duration:
            return ""
        return self._trouble or "the Lease wasn't read yet"

    def check(self) -> None:
        """Return if this replica leads.

        Raises:
            Superseded: it doesn't, so whatever it is about to say is another one's to say.
        """
        if not self.leading():
            raise Superseded("NotLeading", "another replica publishes", subject=self._holder)

    def attempt(self) -> None:
        """Look at the Lease once, and get or keep it if that is ours to do. Troubles are logged when they begin."""
        self._tell()
        try:
            self._attempt()
        except PeermeshError as error:
            if self._trouble != str(error):
                self._trouble = str(error)
                log.warning("no election, %s: %s", error.reason, error)
        else:
            self._trouble = ""
        self._tell()

    def release(self) -> None:
        """Lead no more, and let another one lead at once. What can't be released ends by itself."""
        led, self._until = self._until > -math.inf, -math.inf
        if not led:
            return
        try:
            lease = self._lock.read()
            if (spec := lease.get("spec") or {}).get("holderIdentity") == self._holder:
                self._lock.write({**lease, "spec": released(spec, wall=datetime.now(UTC))})
        except PeermeshError as error:
            log.warning("the Lease wasn't released, %s: %s", error.reason, error)

    def _tell(self) -> None:
        if self._told == (leading := self.leading()):
            return
        self._told = leading
        if leading:
            log.info("%s leads from now on", self._holder)
            self.term += 1
            self._began()
        else:
            log.warning("%s no longer leads", self._holder)

    def _attempt(self) -> None:
        lease = self._lock.read()
        # Before it is written: the others count from when they see it, which is later.
        begun = self._clock()
        self._seen = self._seen.again(lease.get("spec") or {}, begun)
        wanted = claim(self._seen, self._holder, self._terms, at=begun, wall=datetime.now(UTC))
        if wanted is None:
            self._until = -math.inf
        else:
            try:
                self._lock.write({**lease, "spec": wanted})
            except Conflict:
                return  # another one was quicker: who, the next look shows
            self._seen = Seen(spec=wanted, since=begun)
            self._until = begun + self._terms.renew_deadline
        self._answered = begun

    def _work(self) -> None:
        while not self._stop.is_set():
            self.attempt()
            # As client-go: up to a fifth more, so that replicas don't keep step.
            self._stop.wait(self._terms.retry_period * random.uniform(1.0, 1.2))  # noqa: S311 - not a secret


class Alone:
    """In place of an election where this is the only replica: it leads."""

    alive = True
    term = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing was held."""

    def leading(self) -> bool:
        return True

    def trouble(self) -> str:
        return ""

    def check(self) -> None:
        """Return: this replica leads."""
