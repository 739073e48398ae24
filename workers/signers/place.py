"""Where a signer finds its certificates and secrets, and how files with secrets are read.

Knows files and who may read them. Nothing of what stands in them gets into a message.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from syncer.protocol.cacerts_rules import issued
from syncer.protocol.certificates import Certificate, name_text, read_certificates
from syncer.protocol.errors import HumanNeeded, Rejected
from syncer.protocol.secret import Secret

_LARGEST: Final = 64 << 10
"""Bytes of a file with a key or a passphrase."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the environment names. `issuers`: PEM, the certificate of the key first, then those between it and the root
    (of a root that signs itself: the root alone).

    `key` and `passphrase`: an encrypted key and its passphrase. `module`, `token`, `label`, `pin`: the library of a
    hardware token, the labels of token and key, and the file with the PIN.
    """

    issuers: Path | None
    key: Path | None = None
    passphrase: Path | None = None
    module: Path | None = None
    token: str = ""
    label: str = ""
    pin: Path | None = None


def read_issuers(file: Path | None) -> tuple[Certificate, ...]:
    """The certificates that a signer signs with.

    Raises:
        HumanNeeded: `NoIssuers`: there are none; `NotCertificates`; `WrongIssuers`: one didn't issue the one before.
    """
    if file is None:
        raise HumanNeeded(
            "NoIssuers", "no file of issuers is named", remedy="Name one in PEERMESH_SIGNER_ISSUERS_FILE."
        )
    try:
        found = read_certificates(file.read_text(encoding="ascii"), subject=str(file))
    except OSError as error:
        raise HumanNeeded("NoIssuers", f"it can't be read: {error.strerror}", subject=str(file)) from error
    except UnicodeDecodeError:
        raise HumanNeeded("NotCertificates", "it isn't PEM", subject=str(file)) from None
    except Rejected as error:
        raise HumanNeeded("NotCertificates", error.what, subject=str(file), remedy=error.remedy) from None
    for below, above in pairwise(found):
        if not issued(below, above):
            what = f"{name_text(above.subject)} didn't issue {name_text(below.subject)}"
            remedy = "Write the certificate of the key first, then its issuer, and so on; not the root."
            raise HumanNeeded("WrongIssuers", what, subject=str(file), remedy=remedy)
    return found


def read_secret(file: Path | None, *, what: str, setting: str) -> Secret:
    """The text of a file that nobody else may read; a line break at its end isn't part of it.

    Raises:
        HumanNeeded: `NoSecret`: it isn't named, can't be read, or is empty; `OpenToOthers`.
    """
    remedy = f"Name a file with the {what} in {setting}."
    if file is None:
        raise HumanNeeded("NoSecret", f"no file with the {what} is named", remedy=remedy)
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise HumanNeeded(
            "NoSecret", f"it can't be read: {error.strerror}", subject=str(file), remedy=remedy
        ) from error
    with os.fdopen(descriptor, "rb") as opened:
        _private(os.fstat(descriptor), file)
        data = opened.read(_LARGEST + 1)
    text = _text(data)
    if not text:
        raise HumanNeeded("NoSecret", f"there is no {what} in it", subject=str(file), remedy=remedy)
    return Secret(text)


def _private(status: os.stat_result, file: Path) -> None:
    """As ssh has it: of a file of ours nobody else's business; a mounted one that isn't ours our group may read."""
    ours = status.st_uid == os.geteuid()
    others = stat.S_IRWXO | (stat.S_IRWXG if ours else stat.S_IWGRP)
    if status.st_mode & others:
        what = f"others than its owner may use it (mode {stat.S_IMODE(status.st_mode):04o})"
        raise HumanNeeded("OpenToOthers", what, subject=str(file), remedy=f"`chmod 600 {file}`")


def _text(data: bytes) -> str:
    """Empty for what can't be a passphrase or PEM."""
    if len(data) > _LARGEST:
        return ""
    try:
        return data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        return ""
