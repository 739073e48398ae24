"""What time a server over http says it is: the header Date of whatever it answers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import urllib3

from workers.doctor import NotSeen

_SECONDS = 5.0


def ask_time(url: str) -> float | NotSeen:
    """How many seconds the server behind `url` is ahead of us; no credentials are sent."""
    before = time.time()
    try:
        answer = urllib3.request("HEAD", url, timeout=_SECONDS, retries=False, redirect=False)
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        return NotSeen(why=f"it doesn't answer ({type(error).__name__})")
    return ahead(answer.headers, before, time.time())


def ahead(headers: Mapping[str, str], before: float, after: float) -> float | NotSeen:
    """The same from an answer that was asked for at `before` and came at `after` (seconds since 1970)."""
    try:
        said = parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (ValueError, TypeError):
        return NotSeen(why="it doesn't say what time it is")
    # It says whole seconds: on average it was half a second later.
    return said + 0.5 - (before + after) / 2
