"""Publishing: what a cluster says is signed and pushed into its queue.

Knows the queue library, and what the one user of this cluster may do: push into one list, nothing else, so nothing is
declared, looked at or read back. Knows nothing of what an observation says.
"""

from __future__ import annotations

import logging
import ssl
import threading
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from celery import Celery
from celery.utils.time import get_exponential_backoff_interval
from kombu.connection import Connection
from kombu.exceptions import KombuError, OperationalError
from kombu.messaging import Producer
from kombu.transport import redis
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError

from syncer import metrics
from syncer.protocol.broker import REMEDY, check_files, tls_trouble
from syncer.protocol.errors import HumanNeeded, PeermeshError, Rejected, Superseded, Transient
from syncer.protocol.message import KEY_PREFIX, OBSERVE, arguments, queue
from syncer.protocol.observation import MAX_PACKED, Observation, pack
from syncer.protocol.secret import Secret
from syncer.protocol.signature import OBSERVATION, SigningKey

log = logging.getLogger("peermesh.syncer")

_TIMEOUT: Final = 10.0
"""Seconds for connecting and for each answer."""
_LONGEST_PAUSE: Final = 60
"""Seconds between two tries, at most."""
_CELERY: Final = Celery("syncer", set_as_current=False, fixups=[])
"""Only makes messages; the connection is kombu's, which takes nothing from Celery's environment variables."""


def signed(observation: Observation, key: SigningKey) -> tuple[str, str, str]:
    """The arguments of the task: cluster, observation, signature.

    Raises:
        Rejected: more than the border takes.
    """
    packed = pack(observation)
    if len(packed) > MAX_PACKED:
        what = f"an observation of {len(packed)} bytes; the border takes {MAX_PACKED}"
        raise Rejected("TooLarge", what, subject=observation.cluster, remedy="Export less from one cluster.")
    return arguments(observation.cluster, packed, key.sign(OBSERVATION, observation.mesh, observation.cluster, packed))


class _Channel(redis.Channel):
    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 # kombu's signature
        # Else redis-py tells its name and version, for which the user of a cluster would need a right more.
        return {**super()._connparams(asynchronous), "driver_info": None}  # type: ignore[no-untyped-call]


class _Transport(redis.Transport):
    Channel = _Channel


def send(
    broker: Secret, args: tuple[str, str, str], check: Callable[[], None] = lambda: None, *, task: str = OBSERVE
) -> None:
    """Push one message and disconnect: after minutes of silence something between here and there has hung up anyway.

    `check` raises if it may no longer be sent; it is called last, for connecting may take as long as another replica
    needs to take over.

    Raises:
        Superseded: so said `check`.
        HumanNeeded: the broker answers and doesn't let us.
        Transient: it doesn't answer.
    """
    cluster = args[0]
    message = _CELERY.amqp.as_task_v2(str(uuid.uuid4()), task, args=args, argsrepr=repr(cluster), origin=cluster)
    url = broker.reveal()
    check_files(broker)
    try:
        with Connection(  # type: ignore[no-untyped-call]
            url,
            # Without this a rediss:// URL that has no ssl_… parameter would mean an open connection.
            ssl={"ssl_cert_reqs": ssl.CERT_REQUIRED} if url.startswith("rediss:") else False,
            transport_options={
                "global_keyprefix": KEY_PREFIX,
                "socket_timeout": _TIMEOUT,
                "socket_connect_timeout": _TIMEOUT,
            },
        ) as connection:
            connection.transport_cls = _Transport
            # One try for each address; otherwise kombu waits and tries on by itself.
            connection.ensure_connection(max_retries=max(0, len(connection.alt) - 1))
            producer = Producer(connection.channel(), serializer="json")  # type: ignore[no-untyped-call]
            check()
            producer.publish(  # type: ignore[no-untyped-call]
                message.body, exchange="", routing_key=queue(cluster), headers=message.headers, **message.properties
            )
    except (RedisError, KombuError, OSError) as error:
        raise _translated(error, cluster) from error


def _translated(error: Exception, cluster: str) -> HumanNeeded | Transient:
    cause = error.__cause__ if isinstance(error, OperationalError) and error.__cause__ else error
    said = str(cause).rstrip(".")
    if trouble := tls_trouble(error):
        return HumanNeeded("NoTLS", f"TLS with the broker fails: {trouble}", subject=cluster, remedy=REMEDY)
    if isinstance(cause, AuthenticationError | AuthorizationError | NoPermissionError):
        remedy = f"Its user in PEERMESH_BROKER_URL needs `+lpush +ping %W~{KEY_PREFIX}{queue(cluster)}`."
        return HumanNeeded("BrokerRefused", f"the broker refuses us: {said}", subject=cluster, remedy=remedy)
    remedy = "The newest observation is kept and sent when it is back."
    return Transient("BrokerAway", f"the broker didn't take it: {said}", subject=cluster, remedy=remedy)


def pause(tries: int) -> float:
    """Seconds before the next try after so many that failed: exponential, with full jitter."""
    return float(get_exponential_backoff_interval(1, min(tries, 16), _LONGEST_PAUSE, full_jitter=True))


class Publisher:
    """Sends from a thread of its own, so that observing never waits; what is overtaken by newer news is never sent.

    A context: the thread runs inside, and what it hasn't sent is dropped at the end, for the next start says it again.
    """

    def __init__(self, deliver: Callable[[Observation], None], pause: Callable[[int], float] = pause) -> None:
        self._deliver = deliver
        self._pause = pause
        self._condition = threading.Condition()
        self._waiting: Observation | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="publisher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join(_TIMEOUT)

    @property
    def alive(self) -> bool:
        """The thread that sends runs."""
        return self._thread.is_alive()

    def publish(self, observation: Observation) -> None:
        """Send it as soon as possible, in place of an older one that still waits.

        Raises:
            HumanNeeded: nobody sends any more.
        """
        if not self.alive:
            raise HumanNeeded("NotPublishing", "the thread that publishes has ended", remedy="Start the syncer again.")
        with self._condition:
            self._waiting = observation
            self._condition.notify()

    def _work(self) -> None:
        tries, said = 0, ""
        while (observation := self._next(tries)) is not None:
            try:
                self._deliver(observation)
            except Superseded:
                tries, said = 0, ""
            except PeermeshError as error:
                metrics.FAILURES.labels(error.reason).inc()
                if said != str(error):
                    said = str(error)
                    log.warning("not published, %s: %s", error.reason, error)
                tries = 0 if isinstance(error, Rejected) else tries + 1
            else:
                metrics.PUBLISHED.inc()
                metrics.LAST_PUBLISHED.set_to_current_time()
                if said:
                    log.info("published again")
                tries, said = 0, ""
            if not tries:
                self._done(observation)

    def _next(self, tries: int) -> Observation | None:
        """The newest observation, after a pause if the last try failed; None: closed."""
        with self._condition:
            if tries:
                self._condition.wait_for(lambda: self._closed, self._pause(tries))
            self._condition.wait_for(lambda: self._closed or self._waiting is not None)
            return None if self._closed else self._waiting

    def _done(self, observation: Observation) -> None:
        with self._condition:
            if self._waiting is observation:
                self._waiting = None
