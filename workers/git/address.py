"""Where a repository is and who asks: a URL without secrets, and the credentials beside it.

Knows the forms of URL that git takes. Opens nothing.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from syncer.protocol.secret import Secret

_SCP_LIKE = re.compile(r"[^/]+:")
"""`git@host:path`: ssh without a scheme (git-clone(1), GIT URLS)."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """`url` may be shown and logged; `user` and `password` reach git through its environment only."""

    url: str
    user: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))

    def settings(self) -> tuple[tuple[str, str], ...]:
        """Configuration of git that sends the credentials to this server and to no other."""
        if not self.user:
            return ()
        parts = urlsplit(self.url)
        server = f"{parts.scheme}://{parts.netloc}/"
        if not self.password:
            return ((f"credential.{server}.username", self.user),)
        # No helper is asked: it would offer somebody else's password when these credentials are refused.
        return ((f"http.{server}.extraHeader", f"Authorization: Basic {self._basic()}"), ("credential.helper", ""))

    def scrubbed(self, text: str) -> str:
        """What git said, without the password in any form that a server may send back."""
        if self.password:
            for secret in (self._basic(), self.password.reveal()):
                text = text.replace(secret, "***")
        return text

    def _basic(self) -> str:
        return base64.b64encode(f"{self.user}:{self.password.reveal()}".encode()).decode()


def parse_address(location: str, credentials: tuple[str, Secret] | None = None) -> Address:
    """The address of a URL, or of a folder (as `file://`, because a clone of a bare path ignores `--depth`).

    `credentials` (user, password) win over those in the URL; only http and https have use for either.
    """
    parts = urlsplit(location)
    if parts.scheme in {"http", "https"}:
        user, password = unquote(parts.username or ""), Secret(unquote(parts.password or ""))
        user, password = credentials or (user, password)
        return Address(url=_without_userinfo(parts), user=user, password=password)
    if "://" in location:
        return Address(url=_without_password(parts))
    if _SCP_LIKE.match(location) and not Path(location).exists():
        return Address(url=location)
    return Address(url=Path(location).absolute().as_uri())


def _without_userinfo(parts: SplitResult) -> str:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _without_password(parts: SplitResult) -> str:
    """For ssh the user is part of the address; a password in it would be ignored, and shown."""
    if parts.password is None:
        return parts.geturl()
    return parts._replace(netloc=f"{parts.username}@{parts.netloc.rpartition('@')[2]}").geturl()
