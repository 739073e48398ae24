"""The inner app: the process that writes. Three tasks over three use-cases, and the clock that asks for two of them.

Knows when a flush is tried again and what is logged of it. The tasks work with a `Centre`, made once per process.
"""

from __future__ import annotations

import functools
import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import tenacity
from celery import Celery, signals
from kombu.entity import Queue

from syncer.protocol.environment import bad_setting
from syncer.protocol.errors import PeermeshError, Transient
from workers import metrics
from workers.broker import FLUSH, ROTATE, SWEEP, WORK, ask_flush, celery_app, log, run
from workers.figures import Figures
from workers.flush import FlushReport
from workers.inbox import RedisInbox
from workers.outside import Inbox
from workers.rotate import Turn
from workers.settings import REPO, Settings

HARD_LIMIT: Final = 120
"""Seconds a task may take before its process is killed."""
SWEEP_SECONDS: Final = 10
"""How often the remote is looked at; also the delay after which a lost message is made up."""
ROTATE_SECONDS: Final = 300
"""How often certificates are looked at."""
_LONGEST: Final = 10
"""Seconds that a flush waits for quiet, at most."""
_THOROUGH: Final = 100
"""Of so many rests with something to freeze one looks through everything."""


def _schedule() -> dict[str, object]:
    """What beat asks for. A message that nobody took before the next one comes is worth nothing."""
    return {
        name: {"task": name, "schedule": seconds, "options": {"queue": WORK, "declare": [], "expires": seconds}}
        for name, seconds in ((SWEEP, SWEEP_SECONDS), (ROTATE, ROTATE_SECONDS))
    }


@dataclass(frozen=True, kw_only=True)
class Centre:
    """What the tasks work with: the inbox, and the use-cases with their adapters plugged in.

    `figures`: what the last sweep found.
    """

    inbox: RedisInbox
    flush: Callable[[datetime], FlushReport]
    sweep: Callable[[datetime], bool]
    figures: Callable[[datetime], Figures] = lambda _: Figures()
    rotate: Callable[[datetime], Turn] = lambda _: Turn()


def inner_app(settings: Settings, make: Callable[[Settings], Centre]) -> Celery:
    """The app with its three tasks; `make` is called once in each process, when it is first needed."""
    app = celery_app("inner", settings.broker)
    app.conf.update(
        task_queues=[Queue(WORK, no_declare=True)],  # type: ignore[no-untyped-call]
        task_time_limit=HARD_LIMIT,
        # Seconds until a task whose process was killed is given back.
        worker_lost_wait=1,
        beat_schedule=_schedule(),
    )
    # A connection or an open repository doesn't survive the fork of Celery's pool.
    centre = functools.cache(functools.partial(make, settings))
    tell_sweep, tell_rotate, tidy = _Teller(), _Teller(), _Tidy()

    @app.task(name=FLUSH, shared=False)  # type: ignore[untyped-decorator] # Celery has no types
    def flush() -> None:
        metrics.HEALTH.tried = time.monotonic()
        try:
            outcome, merged = _flush(centre())
            if merged:
                app.send_task(SWEEP, queue=WORK, declare=[])  # which tells reconcilers that main moved
        except PeermeshError as error:
            log.warning("flush stopped, %s: %s", error.reason, error)
            outcome = error.reason
        metrics.FLUSHES.labels(outcome).inc()
        tidy.flushed()

    @app.task(name=SWEEP, shared=False)  # type: ignore[untyped-decorator]
    def sweep() -> None:
        metrics.HEALTH.tried = time.monotonic()
        try:
            waits = centre().sweep(datetime.now(UTC))
            if waits:
                ask_flush(app, centre().inbox)
            metrics.FIGURES.show(centre().figures(datetime.now(UTC)))
            metrics.LAST_SWEEP.set_to_current_time()
            metrics.HEALTH.done = time.monotonic()
            tell_sweep("")
            if not waits:
                tidy.rest()
        except PeermeshError as error:
            tell_sweep(f"sweep stopped, {error.reason}: {error}")

    @app.task(name=ROTATE, shared=False)  # type: ignore[untyped-decorator]
    def rotate() -> None:
        tell_rotate(_rotate(app, centre))

    return app


def _rotate(app: Celery, centre: Callable[[], Centre]) -> str:
    """One turn; returns what stopped it."""
    try:
        turn = centre().rotate(datetime.now(UTC))
        if turn.reasons:
            ask_flush(app, centre().inbox)
    except PeermeshError as error:
        return f"rotate stopped, {error.reason}: {error}"
    metrics.TRUST.show(turn.figures)
    metrics.LAST_ROTATE.set_to_current_time()
    return ""


def run_worker(settings: Settings, *, beat: bool, make: Callable[[Settings], Centre]) -> int:
    """`peermesh worker`: work until SIGTERM or SIGINT; returns the exit code.

    `beat`: sweep every ten seconds, and look at certificates every five minutes.

    Raises:
        HumanNeeded: no repository is named, or something else must be mended first.
    """
    if not settings.repo:
        raise bad_setting(REPO, "it isn't set")
    metrics.check(settings.metrics)
    app = inner_app(settings, make)

    def serve(**_: object) -> None:
        metrics.serve(settings.metrics, RedisInbox(settings.broker).answers)

    def look_now(**_: object) -> None:
        for task in (SWEEP, ROTATE):
            app.send_task(task, queue=WORK, declare=[])

    # What is counted is counted in the process that runs the tasks.
    signals.worker_process_init.connect(serve, weak=False)
    signals.worker_ready.connect(look_now, weak=False)
    return run(app, settings.broker, pool="prefork", beat=beat)


_until_main_stands_still = tenacity.Retrying(
    retry=tenacity.retry_if_exception(lambda error: isinstance(error, Transient) and error.reason == "Stale"),
    wait=tenacity.wait_random_exponential(multiplier=0.25, max=2),
    stop=tenacity.stop_after_attempt(5),
    reraise=True,
)
"""Somebody else pushed meanwhile: look again and make it again."""


def until_quiet(inbox: Inbox, sleep: Callable[[float], None] = time.sleep) -> None:
    """Soon after a push wait until nothing more arrives: what all clusters say at once is two pushes then, not ten.

    A repository that nobody has pushed to for a while isn't kept waiting.
    """
    whole = inbox.budget()
    if whole is None or whole <= datetime.now(UTC):
        return
    marked: Mapping[str, int] | None = None
    for _ in range(_LONGEST):
        before, marked = marked, inbox.marked()
        if marked == before:
            return
        sleep(1)


def _flush(centre: Centre) -> tuple[str, bool]:
    """What came of it, and whether something was merged."""
    until_quiet(centre.inbox)
    centre.inbox.take()
    with metrics.FLUSH_SECONDS.time():
        report = _until_main_stands_still(lambda: centre.flush(datetime.now(UTC)))
    metrics.count_refused(report.refused)
    log.info("%s", _told(report))
    return "idle" if report.idle else "done", bool(report.merged)


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


class _Tidy:
    """Keeps the garbage collector off what a worker knows, while nobody waits.

    Looking through that of 100 clusters × 1,000 services takes 0.7 s, and would come in the middle of a flush; what
    is frozen isn't looked through, and a flush leaves little else. A cycle that is frozen stays: so all is looked
    through now and then.
    """

    def __init__(self) -> None:
        self._rests = 0
        self._due = False

    def flushed(self) -> None:
        """There is something new to be frozen."""
        self._due = True

    def rest(self) -> None:
        """Nothing waits."""
        if not self._due:
            return
        if self._rests % _THOROUGH == 0:
            gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._rests += 1
        self._due = False
