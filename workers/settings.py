"""The settings of the centre: the only place that reads its environment.

Knows names, meanings and defaults, and refuses what can't be meant. Opens no connection and no file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from syncer.protocol.errors import HumanNeeded
from syncer.protocol.secret import Secret


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One variable of the environment, for the documentation and for messages."""

    name: str
    meaning: str
    default: str = ""


BROKER: Final = Setting(
    name="PEERMESH_BROKER_URL",
    meaning="Redis in Celery's form (`redis://`, `rediss://`, `redis+socket://`), with the user of `peermesh worker`",
    default="redis://127.0.0.1:6379/0",
)
BORDER_BROKER: Final = Setting(
    name="PEERMESH_BORDER_BROKER_URL",
    meaning="the same Redis with the user of `peermesh receive`; not set: `PEERMESH_BROKER_URL`",
)
REPO: Final = Setting(name="PEERMESH_REPO", meaning="the mesh repository: a URL, or the path of a bare repository")
COPY: Final = Setting(
    name="PEERMESH_COPY",
    meaning="folder of the disposable copy of the repository; not set: one below `$XDG_CACHE_HOME/peermesh`",
)
AUTHOR_NAME: Final = Setting(name="PEERMESH_AUTHOR_NAME", meaning="author of the robot's commits", default="peermesh")
AUTHOR_EMAIL: Final = Setting(
    name="PEERMESH_AUTHOR_EMAIL", meaning="its e-mail address", default="peermesh@localhost.invalid"
)
GIT_USER: Final = Setting(name="PEERMESH_GIT_USER", meaning="user name for the repository over http")
GIT_PASSWORD_FILE: Final = Setting(
    name="PEERMESH_GIT_PASSWORD_FILE", meaning="file with the password or token; read whenever it is needed"
)
METRICS: Final = Setting(
    name="PEERMESH_METRICS", meaning="`host:port` on which metrics are served for Prometheus; not set: they aren't"
)

SETTINGS: Final = (
    BROKER,
    BORDER_BROKER,
    REPO,
    COPY,
    AUTHOR_NAME,
    AUTHOR_EMAIL,
    GIT_USER,
    GIT_PASSWORD_FILE,
    METRICS,
)
_SCHEMES: Final = ("redis://", "rediss://", "redis+socket://")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the processes of the centre are told; prints without secrets."""

    broker: Secret
    border_broker: Secret
    repo: str = field(repr=False)  # may hold credentials
    copy: Path
    author_name: str
    author_email: str
    git_user: str
    git_password_file: Path | None
    metrics: tuple[str, int] | None


def settings_from_environment() -> Settings:
    """The settings of this process. Raises HumanNeeded, naming the variable."""
    return read_settings(os.environ)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings that these variables say; one that is empty is as good as not set.

    Raises:
        HumanNeeded: a value that can't be meant.
    """

    def value(setting: Setting) -> str:
        return environment.get(setting.name, "").strip() or setting.default

    repo, password_file = value(REPO), value(GIT_PASSWORD_FILE)
    broker = _broker(BROKER, value(BROKER))
    return Settings(
        broker=broker,
        border_broker=_broker(BORDER_BROKER, value(BORDER_BROKER)) if value(BORDER_BROKER) else broker,
        repo=repo,
        copy=Path(value(COPY)) if value(COPY) else _cache(environment, repo),
        author_name=value(AUTHOR_NAME),
        author_email=value(AUTHOR_EMAIL),
        git_user=value(GIT_USER),
        git_password_file=Path(password_file) if password_file else None,
        metrics=_address(METRICS, value(METRICS)),
    )


def _broker(setting: Setting, url: str) -> Secret:
    if not url.startswith(_SCHEMES):
        # Not the value itself: it may hold a password.
        raise HumanNeeded("BadSetting", f"it doesn't start with {', '.join(_SCHEMES)}", subject=setting.name)
    return Secret(url)


def _address(setting: Setting, text: str) -> tuple[str, int] | None:
    host, colon, port = text.rpartition(":")
    if not text:
        return None
    if not colon or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise HumanNeeded("BadSetting", f"{text!r} isn't host:port", subject=setting.name)
    return host.strip("[]") or "127.0.0.1", int(port)


def _cache(environment: Mapping[str, str], repo: str) -> Path:
    """A folder of its own for each repository, so that two of them never share a copy."""
    home = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME") or "~").expanduser() / ".cache")
    return Path(home) / "peermesh" / hashlib.sha256(repo.encode()).hexdigest()[:16]
