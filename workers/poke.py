"""Poke: tells reconcilers that main moved, so that what was approved is applied in seconds and not at their next turn.

Knows Receivers of Flux (type `generic-hmac`) and whatever else takes a signed POST. Carries no news but that there is
some: a lost poke costs an interval, a doubled one nothing, so that nothing here ever stops or delays a flush for long.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
import urllib3

from syncer.protocol.secret import Secret

SECONDS: Final = 10.0
"""For all of them together: by then reconcilers look by themselves."""
_ONE: Final = 5.0
"""Seconds for one of them."""
_AT_ONCE: Final = 16
_log = logging.getLogger("peermesh.poke")


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """Where a poke goes. The path is left out of messages: with Flux it is derived from the secret."""

    url: str
    secret: Secret

    @property
    def name(self) -> str:
        """Scheme, host and port."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"


def receivers(text: str) -> tuple[tuple[Receiver, ...], tuple[str, ...]]:
    """The lines `URL SECRET` of a file, and what is wrong with others; empty lines and `#` are for people."""
    found: list[Receiver] = []
    wrong: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or not _is_url(words[0]):
            # Not the line itself: it may hold a secret.
            wrong.append(f"line {number} isn't `URL SECRET` with a URL of http or https")
            continue
        found.append(Receiver(url=words[0], secret=Secret(words[1])))
    return tuple(found), tuple(wrong)


class Poker:
    """Pokes once for each commit of main that it is told of. `file`: read each time, so that secrets may change.

    `tell` is called with what went wrong, from another thread.
    """

    def __init__(self, file: Path, tell: Callable[[str], None] = _log.warning) -> None:
        self._file = file
        self._tell = tell
        self._last = ""
        self._pool = urllib3.PoolManager(num_pools=_AT_ONCE, retries=False)

    def moved(self, main: str) -> None:
        """`main`: the commit that main is at, as often as somebody looks. Returns at once, and never raises."""
        if main != self._last:
            self._last = main
            threading.Thread(target=self.poke, args=(main,), name="poke", daemon=True).start()

    def poke(self, main: str) -> None:
        """Tell all of them; bounded by `SECONDS`."""
        try:
            targets, wrong = receivers(self._file.read_text())
        except (OSError, UnicodeDecodeError) as error:
            self._tell(f"nobody is told that main moved: {self._file}: {getattr(error, 'strerror', None) or error}")
            return
        for what in (*(f"{self._file}: {problem}" for problem in wrong), *self._poke_all(targets, main)):
            self._tell(what)

    def _poke_all(self, targets: Sequence[Receiver], main: str) -> Iterator[str]:
        deadline = time.monotonic() + SECONDS
        body = msgspec.json.encode({"ref": "refs/heads/main", "after": main})
        workers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="poke")
        try:
            answers = workers.map(lambda target: self._poke(target, body, deadline), targets, timeout=SECONDS + _ONE)
            yield from filter(None, answers)
        except TimeoutError:
            yield "somebody whom it was told that main moved answers byte by byte: left behind"
        finally:
            workers.shutdown(wait=False, cancel_futures=True)

    def _poke(self, target: Receiver, body: bytes, deadline: float) -> str:
        """Empty, or what went wrong."""
        left = min(_ONE, deadline - time.monotonic())
        if left <= 0:
            return f"{target.name} wasn't told that main moved: others took all the time"
        signature = hmac.new(target.secret.reveal().encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Signature": f"sha256={signature}"}
        try:
            answer = self._pool.request(
                "POST",
                target.url,
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(total=left),
                redirect=False,
                preload_content=False,  # nothing in it matters, and it may be long
            )
            answer.close()
        except urllib3.exceptions.HTTPError as error:
            return f"{target.name} can't be told that main moved: {type(error).__name__}"
        if answer.status >= 300:
            return f"{target.name} doesn't take the poke: status {answer.status}"
        return ""


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
