"""The border app: a process of its own that takes what clusters send and keeps what is to be believed.

Knows the queues of the clusters and two tasks. Has a Redis user of its own and no credentials of Git, forge or signer.
`admission` says what is a message, `receive` what is kept.
"""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime
from typing import Any, Final

from celery import Celery, bootsteps
from kombu.entity import Queue

from syncer.protocol.errors import HumanNeeded, PeermeshError, Rejected, Superseded, Transient
from syncer.protocol.message import OBSERVE, SIGN_REQUEST, cluster_of, parse_arguments, queue
from workers import metrics
from workers.admission import admit
from workers.broker import ask_flush, celery_app, log, run
from workers.inbox import RedisInbox
from workers.outside import request_of
from workers.receive import receive, receive_request
from workers.settings import Settings

REFRESH_SECONDS: Final = 2.0
"""How soon a cluster that came onto main is listened to."""
QUEUE_LENGTH: Final = 20
"""Messages that may wait for a cluster; each is complete, so older ones say nothing that newer ones don't."""


def border_app(settings: Settings) -> Celery:
    """The app whose only tasks are `observe` and `sign_request`."""
    inbox = RedisInbox(settings.border_broker)
    app = celery_app("border", settings.border_broker, functools.partial(_admit, inbox))
    app.steps["consumer"].add(Listen)
    app.inbox = inbox

    @app.task(name=OBSERVE, shared=False)  # type: ignore[untyped-decorator] # Celery has no types
    def observe(cluster: str, packed: str, signature: str) -> None:
        try:
            news = receive(inbox, *parse_arguments((cluster, packed, signature)), datetime.now(UTC))
        except PeermeshError as error:
            _refuse(inbox, cluster, error, cluster)
            return
        metrics.OBSERVATIONS.labels(cluster, "yes" if news else "no").inc()
        log.info("%s: observation received, %s", cluster, "something is new" if news else "nothing new")
        if news:
            ask_flush(app, inbox)

    @app.task(name=SIGN_REQUEST, shared=False)  # type: ignore[untyped-decorator]
    def sign_request(cluster: str, packed: str, signature: str) -> None:
        try:
            news = receive_request(inbox, *parse_arguments((cluster, packed, signature)), datetime.now(UTC))
        except PeermeshError as error:
            _refuse(inbox, cluster, error, request_of(cluster))
            return
        log.info("%s: signing request received, %s", cluster, "something is new" if news else "nothing new")
        if news:
            ask_flush(app, inbox)

    return app


def run_receive(settings: Settings) -> int:
    """`peermesh receive`: work until SIGTERM or SIGINT; returns the exit code."""
    app = border_app(settings)
    metrics.serve(settings.metrics, app.inbox.answers)
    return run(app, settings.border_broker, pool="solo")


def _admit(inbox: RedisInbox, queue: str, raw: bytes) -> bytes | None:
    try:
        return admit(queue, raw)
    except Rejected as error:
        cluster = cluster_of(queue) or queue
        _refuse(inbox, cluster, error, cluster)
    except Exception:  # noqa: BLE001 # nothing that a cluster sends may end this process, whatever was overlooked
        metrics.REFUSED.labels(cluster_of(queue) or queue, "Unforeseen").inc()
        log.exception("%s: a message that made admission fail was dropped", queue)
    return None


def _refuse(inbox: RedisInbox, cluster: str, error: PeermeshError, subject: str) -> None:
    """Count it, log it, and remember for people what they can mend."""
    metrics.REFUSED.labels(cluster, error.reason).inc()
    match error:
        case Superseded():
            log.info("%s: dropped, %s", cluster, error)
        case Transient() | HumanNeeded():
            # The next heartbeat brings it again.
            log.warning("%s: not received, %s: %s", cluster, error.reason, error)
        case _:
            log.warning("%s: refused, %s: %s", cluster, error.reason, error)
            try:
                inbox.refuse(subject, error.reason, str(error), datetime.now(UTC))
            except PeermeshError as trouble:
                log.warning("%s: %s", cluster, trouble)


class Listen(bootsteps.StartStopStep):  # type: ignore[misc]
    """Consumes the queues of those clusters of which main has a key, and keeps all of them short.

    What a cluster says before its key is trusted waits in its queue: else it would be heard only five minutes later.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._inbox: RedisInbox = consumer.app.inbox
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        self._refresh(consumer)
        self._timer = consumer.timer.call_repeatedly(REFRESH_SECONDS, self._refresh, (consumer,))

    def stop(self, consumer: Any) -> None:
        if self._timer is not None:
            consumer.timer.cancel(self._timer)

    def _refresh(self, consumer: Any) -> None:
        metrics.HEALTH.tried = time.monotonic()
        try:
            known = self._inbox.border_keys()
            keys = known.keys if known else {}
            for cluster in sorted(keys):
                waiting = self._inbox.trim(cluster, QUEUE_LENGTH)
                metrics.WAITING.labels(cluster).set(min(waiting, QUEUE_LENGTH))
                if (dropped := waiting - QUEUE_LENGTH) > 0:
                    metrics.TRIMMED.labels(cluster).inc(dropped)
                    log.warning("%s: it sends more than is taken, %d old messages were dropped", cluster, dropped)
        except PeermeshError as error:
            log.warning("the queues can't be looked at: %s", error)
            return
        self._listen(consumer, {queue(cluster) for cluster, trusted in keys.items() if trusted})
        metrics.HEALTH.done = time.monotonic()
        metrics.LAST_LISTENED.set_to_current_time()

    def _listen(self, consumer: Any, wanted: set[str]) -> None:
        listening = set(consumer.app.amqp.queues.consume_from)
        for name in sorted(wanted - listening):
            # Not declared: the queue is a list that exists when somebody pushes, and its user may do no more.
            consumer.app.amqp.queues.add(Queue(name, no_declare=True))  # type: ignore[no-untyped-call]
            consumer.add_task_queue(name)
            log.info("%s: listening", cluster_of(name))
        for name in sorted(listening - wanted):
            consumer.cancel_task_queue(name)
            log.info("%s: no longer listening, main has no key of it", cluster_of(name))
