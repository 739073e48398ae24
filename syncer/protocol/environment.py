"""Variables of the environment: what each means, and how its text becomes a value.

Knows names and forms, no particular variable, and reads no environment: that is for the settings of each process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from syncer.protocol.errors import HumanNeeded
from syncer.protocol.names import is_label, is_subdomain

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One variable of the environment, for the documentation and for messages.

    One without a default must be set where it is used, unless its meaning says what happens if it isn't.
    """

    name: str
    meaning: str
    default: str = ""

    @property
    def required(self) -> bool:
        return not self.default and "not set: " not in self.meaning


class Values:
    """Variables of an environment, parsed one by one."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def said(self, setting: Setting) -> str:
        """What somebody set; empty: nobody did."""
        return self._environment.get(setting.name, "").strip()

    def read(self, setting: Setting, parse: Callable[[str], _T]) -> _T:
        """What it is, by default if need be."""
        text = self.said(setting) or setting.default
        if not text and setting.required:
            raise bad_setting(setting, "it isn't set")
        try:
            return parse(text)
        except ValueError as error:
            raise bad_setting(setting, str(error)) from error

    def optional(self, setting: Setting, parse: Callable[[str], _T]) -> _T | None:
        """What it is; None: nobody set it, and there is no default."""
        return self.read(setting, parse) if self.said(setting) or setting.default else None

    def apart(self, one: Setting, *others: Setting) -> None:
        """Refuse `one` beside any of the others: the one that isn't followed would be a surprise."""
        beside = [other.name for other in others if self.said(one) and self.said(other)]
        if beside:
            raise bad_setting(one, f"{beside[0]} is set, too, and only one of them can be followed")


def bad_setting(setting: Setting, what: str) -> HumanNeeded:
    """The error that names the variable."""
    return HumanNeeded("BadSetting", what, subject=setting.name, remedy=f"What it is: {setting.meaning}.")


def label(text: str) -> str:
    """A DNS label. Raises ValueError."""
    if not is_label(text):
        raise ValueError(f"{text[:80]!r} isn't a name of a-z, 0-9 and -")
    return text


def subdomain(text: str) -> str:
    """A DNS name. Raises ValueError."""
    if not is_subdomain(text):
        raise ValueError(f"{text[:80]!r} isn't a DNS name")
    return text


def address(text: str) -> tuple[str, int]:
    """`host:port`. Raises ValueError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ValueError(f"{text[:80]!r} isn't host:port")
    return host, int(port)


def port(text: str) -> int:
    """A number of a port. Raises ValueError."""
    if not text.isdecimal() or not 0 < int(text) < 1 << 16:
        raise ValueError(f"{text[:80]!r} isn't a port")
    return int(text)


def seconds(text: str) -> float:
    """A positive number. Raises ValueError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < math.inf:
        raise ValueError(f"{text[:80]!r} isn't a number of seconds")
    return seconds
