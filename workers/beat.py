"""Beat: the clock that asks for sweeps, in a process that the worker starts beside its pool.

Knows how Celery's beat sends, and that it must outlive a Redis that is away. Knows no schedule.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from celery import beat

log: Final = logging.getLogger("peermesh")


class Scheduler(beat.Scheduler):  # type: ignore[misc] # Celery has no types
    """In memory, and with a connection from the app's pool for every message.

    Celery's keeps one producer for ever: once its connection broke it sends nothing more, and says so with a traceback
    each time (seen with Celery 5.7). Its default one also writes a file.
    """

    producer = None
    _told = ""

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        del producer
        try:
            self.app.send_task(entry.task, **entry.options)
        except Exception as error:  # noqa: BLE001 # kombu raises more than connection errors; the next time it is tried again
            if self._told != str(error):
                self._told = str(error)
                log.warning("beat: %s can't be asked for, tried again: %s", entry.task, error)
        else:
            if self._told:
                self._told = ""
                log.info("beat: %s is asked for again", entry.task)
