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

from syncer.protocol.broker import broker_url
from syncer.protocol.environment import Setting, Values, address
from syncer.protocol.secret import Secret
from workers.signers import SIGNERS, Place

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
    name="PEERMESH_GIT_PASSWORD_FILE",
    meaning="file with the password or token, read whenever it is needed; not set: git's credential helpers are asked",
)
GIT_CA_FILE: Final = Setting(
    name="PEERMESH_GIT_CA_FILE",
    meaning="file of the certificates (PEM) that the repository's https is trusted by; not set: those of the system",
)
GIT_SSH_KEY_FILE: Final = Setting(
    name="PEERMESH_GIT_SSH_KEY_FILE",
    meaning="file of the private key for a repository over ssh; then no agent and no settings of ssh are used",
)
GIT_KNOWN_HOSTS_FILE: Final = Setting(
    name="PEERMESH_GIT_KNOWN_HOSTS_FILE",
    meaning="file of the only host keys that are accepted over ssh (known_hosts); not set: those that ssh knows",
)
FORGE_USER: Final = Setting(
    name="PEERMESH_FORGE_USER", meaning="user of the robot at the forge that main names; not set: `PEERMESH_GIT_USER`"
)
FORGE_TOKEN_FILE: Final = Setting(
    name="PEERMESH_FORGE_TOKEN_FILE",
    meaning="file with the robot's token there, read whenever it is needed; not set: `PEERMESH_GIT_PASSWORD_FILE`",
)
PUSHES: Final = Setting(
    name="PEERMESH_PUSHES_PER_MINUTE",
    meaning="how often the repository is pushed to; GitHub recommends its robots no more than 6",
    default="6",
)
WEBHOOK_LISTEN: Final = Setting(
    name="PEERMESH_WEBHOOK_LISTEN", meaning="`host:port` on which `peermesh webhook` is told that something happened"
)
WEBHOOK_SECRET_FILE: Final = Setting(
    name="PEERMESH_WEBHOOK_SECRET_FILE",
    meaning="file with the secret that the forge signs its webhooks with, read at each of them",
)
POKE_FILE: Final = Setting(
    name="PEERMESH_POKE_FILE",
    meaning="file of lines `URL SECRET`: Flux's Receivers (type `generic-hmac`) that are told when main moved",
)
SIGNER: Final = Setting(
    name="PEERMESH_SIGNER",
    meaning="what the key of `peermesh signer` lies in: `key-file` or `pkcs11`",
    default="key-file",
)
SIGNER_ISSUERS_FILE: Final = Setting(
    name="PEERMESH_SIGNER_ISSUERS_FILE",
    meaning="file of the certificates (PEM) it signs with: that of its key, then those up to the root; or the root",
)
SIGNER_JOURNAL: Final = Setting(
    name="PEERMESH_SIGNER_JOURNAL",
    meaning="folder in which it writes down what it signed, before anybody gets it; to be kept",
)
SIGNER_KEY_FILE: Final = Setting(
    name="PEERMESH_SIGNER_KEY_FILE", meaning="`key-file`: file of the key, as encrypted PKCS #8 (PEM)"
)
SIGNER_PASSPHRASE_FILE: Final = Setting(
    name="PEERMESH_SIGNER_PASSPHRASE_FILE", meaning="`key-file`: file with the passphrase of the key"
)
SIGNER_MODULE: Final = Setting(name="PEERMESH_SIGNER_MODULE", meaning="`pkcs11`: library of the token")
SIGNER_TOKEN: Final = Setting(name="PEERMESH_SIGNER_TOKEN", meaning="`pkcs11`: label of the token")
SIGNER_KEY_LABEL: Final = Setting(name="PEERMESH_SIGNER_KEY_LABEL", meaning="`pkcs11`: label of the key in it")
SIGNER_PIN_FILE: Final = Setting(
    name="PEERMESH_SIGNER_PIN_FILE", meaning="`pkcs11`: file with the PIN; one that was refused isn't tried again"
)
METRICS: Final = Setting(
    name="PEERMESH_METRICS",
    meaning="`host:port` on which `/metrics`, `/healthz` and `/readyz` are served; not set: they aren't",
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
    GIT_CA_FILE,
    GIT_SSH_KEY_FILE,
    GIT_KNOWN_HOSTS_FILE,
    FORGE_USER,
    FORGE_TOKEN_FILE,
    PUSHES,
    WEBHOOK_LISTEN,
    WEBHOOK_SECRET_FILE,
    POKE_FILE,
    SIGNER,
    SIGNER_ISSUERS_FILE,
    SIGNER_JOURNAL,
    SIGNER_KEY_FILE,
    SIGNER_PASSPHRASE_FILE,
    SIGNER_MODULE,
    SIGNER_TOKEN,
    SIGNER_KEY_LABEL,
    SIGNER_PIN_FILE,
    METRICS,
)


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
    git_ca_file: Path | None
    git_ssh_key_file: Path | None
    git_known_hosts_file: Path | None
    forge_user: str
    forge_token_file: Path | None
    pushes: int
    webhook_listen: tuple[str, int] | None
    webhook_secret_file: Path | None
    poke_file: Path | None
    signer: str
    signer_place: Place
    signer_journal: Path | None
    metrics: tuple[str, int] | None


def settings_from_environment() -> Settings:
    """The settings of this process. Raises HumanNeeded, naming the variable."""
    return read_settings(os.environ)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings that these variables say; one that is empty is as good as not set.

    Raises:
        HumanNeeded: a value that can't be meant.
    """
    values = Values(environment)
    value, said = values.read, values.said

    def file(setting: Setting) -> Path | None:
        return values.optional(setting, Path)

    repo = said(REPO)
    broker = value(BROKER, broker_url)
    return Settings(
        broker=broker,
        border_broker=values.optional(BORDER_BROKER, broker_url) or broker,
        repo=repo,
        copy=file(COPY) or _cache(environment, repo),
        author_name=value(AUTHOR_NAME, str),
        author_email=value(AUTHOR_EMAIL, str),
        git_user=said(GIT_USER),
        git_password_file=file(GIT_PASSWORD_FILE),
        git_ca_file=file(GIT_CA_FILE),
        git_ssh_key_file=file(GIT_SSH_KEY_FILE),
        git_known_hosts_file=file(GIT_KNOWN_HOSTS_FILE),
        forge_user=said(FORGE_USER),
        forge_token_file=file(FORGE_TOKEN_FILE),
        pushes=value(PUSHES, _pushes),
        webhook_listen=values.optional(WEBHOOK_LISTEN, address),
        webhook_secret_file=file(WEBHOOK_SECRET_FILE),
        poke_file=file(POKE_FILE),
        signer=value(SIGNER, _signer),
        signer_place=Place(
            issuers=file(SIGNER_ISSUERS_FILE),
            key=file(SIGNER_KEY_FILE),
            passphrase=file(SIGNER_PASSPHRASE_FILE),
            module=file(SIGNER_MODULE),
            token=said(SIGNER_TOKEN),
            label=said(SIGNER_KEY_LABEL),
            pin=file(SIGNER_PIN_FILE),
        ),
        signer_journal=file(SIGNER_JOURNAL),
        metrics=values.optional(METRICS, address),
    )


def _signer(text: str) -> str:
    if text not in SIGNERS:
        raise ValueError(f"{text[:80]!r} is none of {', '.join(SIGNERS)}")
    return text


def _pushes(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 6000:
        raise ValueError(f"{text[:80]!r} isn't a number from 1 to 6000")
    return int(text)


def _cache(environment: Mapping[str, str], repo: str) -> Path:
    """A folder of its own for each repository, so that two of them never share a copy."""
    home = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME") or "~").expanduser() / ".cache")
    return Path(home) / "peermesh" / hashlib.sha256(repo.encode()).hexdigest()[:16]
