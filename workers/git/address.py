"""Where a repository is and how it is reached: a URL without secrets, and what opens it beside it.

Knows the forms of URL that git takes, and how git and ssh are told whom to be and whom to trust. Opens nothing but the
files that it is told of.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from syncer.protocol.errors import HumanNeeded
from syncer.protocol.secret import Secret

_SCP_LIKE = re.compile(r"[^/]+:")
"""`git@host:path`: ssh without a scheme (git-clone(1), GIT URLS)."""
_SSH: Final = (
    *("-F", "none"),  # nobody's settings: no proxy command, no other identity
    *("-o", "BatchMode=yes"),  # nothing is ever asked
    *("-o", "StrictHostKeyChecking=yes"),
    *("-o", "UpdateHostKeys=no"),  # the file of known hosts is the site's
    *("-o", "ClearAllForwardings=yes"),
    *("-o", "ConnectTimeout=10"),
    *("-o", "ServerAliveInterval=5"),
    *("-o", "ServerAliveCountMax=4"),
)


@dataclass(frozen=True, kw_only=True)
class Access:
    """What a site sets for its repository beside the URL; what isn't set is up to git and ssh as the site has them.

    `password_file` is read whenever git is called, so that it may change; `ssh_key` and `known_hosts` are ssh's, and
    with either of them no other setting of ssh applies; `ca_file` has the certificates that https trusts.
    """

    user: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))
    password_file: Path | None = None
    ssh_key: Path | None = None
    known_hosts: Path | None = None
    ca_file: Path | None = None

    def opened(self) -> Access:
        """With the password as its file has it now.

        Raises:
            HumanNeeded: a file can't be read.
        """
        named = {"private key": self.ssh_key, "known hosts": self.known_hosts, "certificates": self.ca_file}
        for what, file in named.items():
            if file is not None:
                with _readable(file, what):
                    file.open("rb").close()  # ssh says less about it, and libcurl something else
        if self.password_file is None:
            return self
        with _readable(self.password_file, "password"):
            password = Secret(self.password_file.read_text().strip())
        return replace(self, password=password, password_file=None)

    def ssh_command(self) -> str:
        """How git calls ssh (a line for a shell, GIT_SSH_COMMAND of git(1)); empty: as the site has it."""
        if self.ssh_key is None and self.known_hosts is None:
            return ""
        words = ["ssh", *_SSH]
        if self.ssh_key is not None:
            # No agent is asked: it would offer somebody else's key, and hide that this one is wrong.
            words += ["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]
            words += ["-o", f"IdentityFile={_named(self.ssh_key)}"]
        if self.known_hosts is not None:
            words += ["-o", f"UserKnownHostsFile={_named(self.known_hosts)}", "-o", "GlobalKnownHostsFile=/dev/null"]
        return shlex.join(words)


@dataclass(frozen=True, kw_only=True)
class Address:
    """`url` may be shown and logged; what `access` holds reaches git through its environment only."""

    url: str
    access: Access = field(default_factory=Access)

    def opened(self) -> Address:
        """With every file of `access` looked at; raises as it does."""
        return replace(self, access=self.access.opened())

    def settings(self) -> Iterator[tuple[str, str]]:
        """Configuration of git that sends the credentials to this server and to no other."""
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not self.access.user:
            return
        server = f"{parts.scheme}://{parts.netloc}/"
        if not self.access.password:
            yield f"credential.{server}.username", self.access.user  # a helper of the site has the password
            return
        yield f"http.{server}.extraHeader", f"Authorization: Basic {self._basic()}"
        # No helper is asked: it would offer somebody else's password when these credentials are refused.
        yield "credential.helper", ""

    def environment(self) -> dict[str, str]:
        """Variables of git that win over the site's."""
        said = {"GIT_SSH_COMMAND": self.access.ssh_command()}
        said["GIT_SSL_CAINFO"] = "" if self.access.ca_file is None else str(self.access.ca_file)
        return {name: value for name, value in said.items() if value}

    def scrubbed(self, text: str) -> str:
        """What git said, without the password in any form that a server may send back."""
        if self.access.password:
            for secret in (self._basic(), self.access.password.reveal()):
                text = text.replace(secret, "***")
        return text

    def _basic(self) -> str:
        return base64.b64encode(f"{self.access.user}:{self.access.password.reveal()}".encode()).decode()


def parse_address(location: str, access: Access | None = None) -> Address:
    """The address of a URL, or of a folder (as `file://`, because a clone of a bare path ignores `--depth`).

    `access` wins over the credentials in the URL; user and password are of use for http and https only.

    Raises:
        HumanNeeded: there is a password, and nobody whose password it is.
    """
    access = access or Access()
    parts = urlsplit(location)
    if parts.scheme in {"http", "https"}:
        if not access.user:
            access = replace(access, user=unquote(parts.username or ""))
        if not access.password and access.password_file is None:
            access = replace(access, password=Secret(unquote(parts.password or "")))
        if not access.user and (access.password or access.password_file is not None):
            raise HumanNeeded(
                "NoUser",
                "there is a password for the repository, and no user",
                subject=_without_userinfo(parts),
                remedy="Set the user, too; with a token it is often any name, see your forge.",
            )
        return Address(url=_without_userinfo(parts), access=access)
    if "://" in location:
        return Address(url=_without_password(parts), access=access)
    if _SCP_LIKE.match(location) and not Path(location).exists():
        return Address(url=location, access=access)
    return Address(url=Path(location).absolute().as_uri(), access=access)


@contextmanager
def _readable(file: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it isn't text"
        raise HumanNeeded(
            "UnreadableFile",
            f"the file of the {what} for the repository can't be read: {why}",
            subject=str(file),
            remedy="Put it there, readable for this process, or change the setting that names it.",
        ) from error


def _named(file: Path) -> str:
    """As a setting of ssh names it: quoted, `%` begins a token (ssh_config(5))."""
    escaped = str(file).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _without_userinfo(parts: SplitResult) -> str:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _without_password(parts: SplitResult) -> str:
    """For ssh the user is part of the address; a password in it would be ignored, and shown."""
    if parts.password is None:
        return parts.geturl()
    return parts._replace(netloc=f"{parts.username}@{parts.netloc.rpartition('@')[2]}").geturl()
