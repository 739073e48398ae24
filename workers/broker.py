"""How the two Celery apps of the centre are configured and run.

Knows Celery's settings and why they are so, the log, and how a flush is asked for. Knows no task.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import ssl
import sys
import threading
import warnings
from typing import Any, Final

from celery import Celery, signals
from celery.apps.worker import Worker
from celery.platforms import SecurityWarning
from kombu.exceptions import OperationalError

from syncer.protocol.errors import PeermeshError, Transient
from syncer.protocol.message import KEY_PREFIX
from syncer.protocol.printable import printable
from syncer.protocol.secret import Secret
from workers.beat import Scheduler
from workers.channel import SCHEME, Admit
from workers.inbox import RedisInbox

FLUSH: Final = "flush"
SWEEP: Final = "sweep"
ROTATE: Final = "rotate"
WORK: Final = "work"
"""The queue of the inner app."""
POOL_SECONDS = 30
"""How long the first process of a pool may take to start."""
VISIBILITY: Final = 600
"""Seconds after which a message that nobody acknowledged is delivered again; longer than any task."""

log = logging.getLogger("peermesh")


def celery_app(name: str, broker: Secret, admit: Admit = lambda _, raw: raw) -> Celery:
    """A Celery app on Redis: JSON only, no results, no remote control, one message at a time, acknowledged when done.

    `name` keeps what it holds apart from other apps; `admit` sees all that it consumes first.
    """
    app = Celery(name, set_as_current=False, fixups=[])
    url = broker.reveal().replace("rediss:", "redis:", 1).replace("redis", SCHEME, 1)
    app.conf.update(
        # All three: Celery prefers variables of the environment to `broker_url` alone.
        broker_url=url,
        broker_read_url=url,
        broker_write_url=url,
        broker_use_ssl={"ssl_cert_reqs": ssl.CERT_REQUIRED} if broker.reveal().startswith("rediss:") else None,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        broker_transport_options={
            "global_keyprefix": KEY_PREFIX,
            "visibility_timeout": VISIBILITY,
            "unacked_key": f"{name}.unacked",
            "unacked_index_key": f"{name}.unacked_index",
            "unacked_mutex_key": f"{name}.unacked_mutex",
            # One key per queue: messages with a priority would stand in others.
            "priority_steps": [0],
            "admit": admit,
        },
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # No queue but those that are named.
        task_default_queue="",
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
    )
    return app


def ask_flush(app: Celery, inbox: RedisInbox) -> None:
    """Send for a flush unless one is on its way. A message that gets lost is made up by the next sweep."""
    try:
        if inbox.ask():
            # `declare=[]`: declaring would need more rights than sending does.
            app.send_task(FLUSH, queue=WORK, declare=[])
    except (PeermeshError, OperationalError) as error:
        log.warning("a flush could not be sent for: %s", error)


def run(app: Celery, broker: Secret, *, pool: str, beat: bool = False) -> int:
    """Work until SIGTERM or SIGINT; returns the exit code of the process.

    Raises:
        HumanNeeded: Redis won't ever let us in.
    """
    log_to_stderr()
    _check(broker)
    # As long as somebody listens to this, Celery leaves the log as it is.
    signals.setup_logging.connect(log_to_stderr)
    failed = _end_without_pool() if pool == "prefork" else threading.Event()
    worker = _Worker(
        app=app,
        hostname=f"{app.main}@%h",
        pool=pool,
        concurrency=1,
        beat=beat,
        scheduler=Scheduler,
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    return 1 if failed.is_set() else int(worker.exitcode or 0)


def _check(broker: Secret) -> None:
    """What only a person can mend is said now: Celery would go on trying, and say something else."""
    inbox = RedisInbox(broker)
    try:
        inbox.check()
    except Transient as error:
        log.warning("waits for Redis: %s", error)
    finally:
        inbox.close()


def _end_without_pool() -> threading.Event:
    """End the worker, and say so by the event, if no process of its pool lives long enough to work.

    Celery starts another one for ever (seen with Celery 5.7), and looks healthy.
    """
    ours, theirs = os.pipe()
    failed = threading.Event()

    def watch() -> None:
        if not select.select([ours], [], [], POOL_SECONDS)[0]:
            log.error("no process of the pool could start within %d s, so this worker ends", POOL_SECONDS)
            failed.set()
            os.kill(os.getpid(), signal.SIGTERM)

    def watch_beside(**_: object) -> None:
        threading.Thread(target=watch, name="pool", daemon=True).start()

    signals.worker_process_init.connect(lambda **_: os.write(theirs, b"."), weak=False)
    signals.worker_init.connect(watch_beside, weak=False)
    return failed


class _Worker(Worker):  # type: ignore[misc] # Celery has no types
    def install_platform_tweaks(self, worker: Any) -> None:
        super().install_platform_tweaks(worker)
        # Ctrl-C is no failure; Celery's own handler would exit with 1.
        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))


class _OneLine(logging.Formatter):
    """One event, one line, and a traceback below it, indented: nothing that a cluster sent begins a line."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 # logging's name
        return printable(" ".join(super().formatMessage(record).split()))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return "\n".join(f"    {printable(line)}" for line in super().formatException(ei).splitlines())


def log_to_stderr(**_: object) -> None:
    """Log what matters, one line for each event."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    log.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    # It warns root of pickle, which isn't accepted.
    warnings.filterwarnings("ignore", category=SecurityWarning)
