"""Waiting for a line of the log, instead of for a time."""

from __future__ import annotations

import logging
import threading

import pytest


def wait_until_logged(caplog: pytest.LogCaptureFixture, beginning: str, seconds: float = 60) -> None:
    """Return when a message of ours that begins so has been logged."""
    logged = threading.Event()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith(beginning):
                logged.set()

    listener = Listener()
    logging.getLogger("peermesh").addHandler(listener)
    try:
        said = any(message.startswith(beginning) for message in caplog.messages)
        assert said or logged.wait(seconds), f"{beginning!r} isn't among {caplog.messages}"
    finally:
        logging.getLogger("peermesh").removeHandler(listener)
