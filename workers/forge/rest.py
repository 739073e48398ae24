"""The REST API of a forge over HTTP: one call at a time, and what it means when a call isn't answered.

Knows HTTP, credentials and politeness: writes stand a second apart, and when the forge asks for a pause nothing is sent
before it is over. Knows no path of any forge and no proposal.

What a forge says about the thing that was asked for (not found, already there, not allowed to merge) is an `Answer`
for the caller to judge; what would be the same for every call is raised.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol
from urllib.parse import urlencode

import urllib3

from syncer.protocol.errors import HumanNeeded, PeermeshError, Rejected, Transient
from syncer.protocol.printable import one_line
from workers.outside import Credentials

Method = Literal["GET", "POST", "PATCH", "PUT", "DELETE"]

PAGE: Final = 50
"""What Gitea gives at most on one page (`[api] MAX_RESPONSE_ITEMS`)."""
_PAGES: Final = 100
_APART_SECONDS: Final = 1.0
"""Between two writes, as GitHub recommends to robots."""
_PATIENCE_SECONDS: Final = 5.0
"""The longest pause that is waited for; what takes longer is for the next flush."""
_TIMEOUT: Final = urllib3.Timeout(connect=5.0, read=30.0)
_LARGEST: Final = 32 << 20
"""Fifty pull requests with texts of 60,000 characters are 3 MB."""
_SETTINGS: Final = (
    "Put a token of the robot into the file that PEERMESH_FORGE_TOKEN_FILE names, and the user that it belongs to into"
    " PEERMESH_FORGE_USER."
)
_SCOPES: Final = (
    "Give the robot's user the permission to write to this repository, and its token (PEERMESH_FORGE_TOKEN_FILE) the"
    " scopes write:repository, write:issue and read:user."
)
_LOCATION: Final = "Mend spec.approval.forge in mesh/mesh.yaml on main."


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`value`: the decoded body, None if it isn't JSON; `message`: why it was refused; `more`: there is a next page."""

    status: int
    value: Any = None
    message: str = ""
    more: bool = False

    @property
    def done(self) -> bool:
        """Whether the forge did what it was asked."""
        return 200 <= self.status < 300


class Rest(Protocol):
    """The calls of one forge. Raises Transient (it is away or asks for a pause), HumanNeeded (it doesn't let us in)."""

    def call(
        self, method: Method, path: str, *, query: Mapping[str, str | int] | None = None, body: Any = None
    ) -> Answer: ...


class HttpRest:
    """`Rest` at `url` (with the path of the API); `credentials` are asked for before every call, so a file may change.

    `apart`: seconds between two writes. `sleep` and `clock` (seconds, monotonic) are those of the machine.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        apart: float = _APART_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url.rstrip("/")
        self._credentials = credentials
        self._apart = apart
        self._sleep = sleep
        self._clock = clock
        self._http = urllib3.PoolManager(retries=False, timeout=_TIMEOUT)
        self._turn = threading.Lock()
        self._next_write = 0.0
        self._paused_until = 0.0

    def call(
        self, method: Method, path: str, *, query: Mapping[str, str | int] | None = None, body: Any = None
    ) -> Answer:
        url = f"{self._url}{path}" + (f"?{urlencode(query)}" if query else "")
        with self._turn:
            answer = self._polite(method, url, body)
        if (error := _error_of_all(answer, f"{method} {url}")) is not None:
            raise error
        return answer

    def _polite(self, method: Method, url: str, body: Any) -> Answer:
        """Wait for our turn, and ask once more after a short pause that the forge asked for."""
        for _ in range(2):
            self._wait_for(self._paused_until, url)
            if method != "GET":
                self._wait_for(self._next_write, url)
                self._next_write = self._clock() + self._apart
            answer, pause = self._asked(method, url, body)
            if pause is None:
                break
            self._paused_until = self._clock() + pause
        return answer

    def _wait_for(self, moment: float, url: str) -> None:
        seconds = moment - self._clock()
        if seconds > max(_PATIENCE_SECONDS, self._apart):
            raise Transient("ForgeLimit", f"the forge asks to be left alone for {seconds:.0f} seconds", subject=url)
        if seconds > 0:
            self._sleep(seconds)

    def _asked(self, method: Method, url: str, body: Any) -> tuple[Answer, float | None]:
        """The answer, and for how many seconds the forge wants to be left alone."""
        user, token = self._credentials()
        basic = base64.b64encode(f"{user}:{token.reveal()}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Accept": "application/json", "User-Agent": "peermesh"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        try:
            response = self._http.request(
                method, url, body=data, headers=headers, redirect=False, preload_content=False
            )
            try:
                raw = response.read(_LARGEST + 1)
            finally:
                response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise _not_answered(error, url) from error
        text = raw.decode(errors="replace").replace(token.reveal() or "\0", "***")
        answer = _answer(response.status, text, response.headers.get("Link", ""))
        if response.status in {429, 503} and (after := response.headers.get("Retry-After", "")).isdecimal():
            return answer, float(after)
        return answer, None


def pages(rest: Rest, path: str, query: Mapping[str, str | int], *, most: int = _PAGES) -> Iterator[Any]:
    """The items of a list, page after page; `most`: after so many pages it is enough."""
    for page in range(1, most + 1):
        answer = rest.call("GET", path, query={**query, "limit": PAGE, "page": page})
        if not answer.done:
            raise refused(answer, path)
        yield from answer.value or ()
        if not answer.more:
            return


def refused(answer: Answer, subject: str) -> PeermeshError:
    """The error of an answer that the caller has no use for."""
    if answer.status == 404:
        return HumanNeeded(
            "NoForgeRepository",
            f"the forge knows nothing of this ({answer.message or 404}), or doesn't show it to the token's user",
            subject=subject,
            remedy=f"{_LOCATION} {_SCOPES}",
        )
    return Rejected("ForgeRefuses", f"the forge refuses with {answer.status}: {answer.message}", subject=subject)


def _error_of_all(answer: Answer, subject: str) -> PeermeshError | None:
    """What would be the same for every call; None: the caller judges."""
    said = f" ({answer.message})" if answer.message else ""
    reading = subject.startswith("GET ")
    error: PeermeshError | None = None
    match answer.status:
        case 401:
            what = f"the forge doesn't accept the token{said}"
            error = HumanNeeded("ForgeCredentials", what, subject=subject, remedy=_SETTINGS)
        case 403:
            error = HumanNeeded("ForgeForbidden", f"the token may not do this{said}", subject=subject, remedy=_SCOPES)
        case 429:
            error = Transient("ForgeLimit", f"the forge asks for fewer calls{said}", subject=subject)
        case status if status in {502, 503, 504} or (status == 500 and reading):
            error = Transient("ForgeError", f"the forge failed with {status}{said}", subject=subject)
        case status if 300 <= status < 400:
            what = "the forge answers with the address of another place, where the token isn't sent"
            error = HumanNeeded("ForgeMoved", what, subject=subject, remedy=_LOCATION)
        case 200 if reading and answer.value is None:
            what = "what answers there isn't the API of a forge"
            error = HumanNeeded("NotAForge", what, subject=subject, remedy=_LOCATION)
    return error


def _answer(status: int, text: str, link: str) -> Answer:
    try:
        value = json.loads(text) if text else None
    except (ValueError, RecursionError):
        value = None
    said = value.get("message", "") if isinstance(value, dict) else "" if status < 300 else text
    return Answer(status=status, value=value, message=one_line(str(said)), more='rel="next"' in link)


def _not_answered(error: urllib3.exceptions.HTTPError, url: str) -> PeermeshError:
    if isinstance(error, urllib3.exceptions.SSLError):
        return HumanNeeded(
            "ForgeCertificate",
            f"the certificate of the forge isn't trusted ({one_line(str(error))})",
            subject=url,
            remedy="Let the environment variable SSL_CERT_FILE name the certificates to trust.",
        )
    return Transient("ForgeAway", f"the forge doesn't answer ({type(error).__name__})", subject=url)
