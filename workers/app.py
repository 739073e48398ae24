"""The inner app: the process that writes. Two tasks over two use-cases, and the clock that asks for one of them.

Knows when a flush is tried again and what is logged of it. The tasks work with a `Centre`, made once per process.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import tenacity
from celery import Celery, signals
from kombu.entity import Queue

from syncer.protocol.errors import HumanNeeded, PeermeshError, Transient
from workers import metrics
from workers.broker import FLUSH, SWEEP, WORK, ask_flush, celery_app, log, run
from workers.flush import FlushReport
from workers.inbox import RedisInbox
from workers.settings import REPO, Settings

HARD_LIMIT: Final = 120
"""Seconds a task may take before its process is killed."""
SWEEP_SECONDS: Final = 10
"""How often the remote is looked at; also the delay after which a lost message is made up."""


@dataclass(frozen=True, kw_only=True)
class Centre:
    """What the tasks work with: the inbox, and the use-cases with their adapters plugged in."""

    inbox: RedisInbox
    flush: Callable[[datetime], FlushReport]
    sweep: Callable[[datetime], bool]


def inner_app(settings: Settings, make: Callable[[Settings], Centre]) -> Celery:
    """The app with the tasks `flush` and `sweep`; `make` is called once in each process, when it is first needed."""
    app = celery_app("inner", settings.broker)
    app.conf.update(
        task_queues=[Queue(WORK, no_declare=True)],  # type: ignore[no-untyped-call]
        task_time_limit=HARD_LIMIT,
        # Seconds until a task whose process was killed is given back.
        worker_lost_wait=1,
        beat_schedule={
            SWEEP: {
                "task": SWEEP,
                "schedule": SWEEP_SECONDS,
                "options": {"queue": WORK, "declare": [], "expires": SWEEP_SECONDS},
            }
        },
    )
    # A connection or an open repository doesn't survive the fork of Celery's pool.
    centre = functools.cache(functools.partial(make, settings))
    tell_sweep = _Teller()

    @app.task(name=FLUSH, shared=False)  # type: ignore[untyped-decorator] # Celery has no types
    def flush() -> None:
        try:
            outcome = _flush(centre())
        except PeermeshError as error:
            log.warning("flush stopped, %s: %s", error.reason, error)
            outcome = error.reason
        metrics.FLUSHES.labels(outcome).inc()

    @app.task(name=SWEEP, shared=False)  # type: ignore[untyped-decorator]
    def sweep() -> None:
        try:
            if centre().sweep(datetime.now(UTC)):
                ask_flush(app, centre().inbox)
            metrics.LAST_SWEEP.set_to_current_time()
            tell_sweep("")
        except PeermeshError as error:
            tell_sweep(f"sweep stopped, {error.reason}: {error}")

    return app


def run_worker(settings: Settings, *, beat: bool, make: Callable[[Settings], Centre]) -> int:
    """`peermesh worker`: work until SIGTERM or SIGINT; returns the exit code. `beat`: sweep every ten seconds.

    Raises:
        HumanNeeded: no repository is named.
    """
    if not settings.repo:
        raise HumanNeeded("BadSetting", "it isn't set", subject=REPO.name, remedy=f"It is {REPO.meaning}.")
    app = inner_app(settings, make)

    def serve(**_: object) -> None:
        metrics.serve(settings.metrics)

    def sweep_now(**_: object) -> None:
        app.send_task(SWEEP, queue=WORK, declare=[])

    # What is counted is counted in the process that runs the tasks.
    signals.worker_process_init.connect(serve, weak=False)
    signals.worker_ready.connect(sweep_now, weak=False)
    return run(app, pool="prefork", beat=beat)


_until_main_stands_still = tenacity.Retrying(
    retry=tenacity.retry_if_exception(lambda error: isinstance(error, Transient) and error.reason == "Stale"),
    wait=tenacity.wait_random_exponential(multiplier=0.25, max=2),
    stop=tenacity.stop_after_attempt(5),
    reraise=True,
)
"""Somebody else pushed meanwhile: look again and make it again."""


def _flush(centre: Centre) -> str:
    centre.inbox.take()
    with metrics.FLUSH_SECONDS.time():
        report = _until_main_stands_still(lambda: centre.flush(datetime.now(UTC)))
    log.info("%s", _told(report))
    return "idle" if report.idle else "done"


def _told(report: FlushReport) -> str:
    if report.idle:
        return f"nothing flushed: {report.idle}"
    moved = {"pushed": report.pushed, "merged": report.merged, "closed": report.closed}
    done = [f"{what} {', '.join(names)}" for what, names in moved.items() if names]
    trouble = [f"{subject}: {what}" for subject, what in report.said.items()]
    return "flushed: " + "; ".join([*(done or ["nothing to change"]), *trouble])


class _Teller:
    """Logs a trouble when it begins or changes, not each time it is met."""

    def __init__(self) -> None:
        self._told = ""

    def __call__(self, trouble: str) -> None:
        if trouble and trouble != self._told:
            log.warning("%s", trouble)
        self._told = trouble
