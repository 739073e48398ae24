"""What the agent keeps between two turns, and between two of its lives, in its own Secret.

Pure: entries of the Secret ↔ a value. Private keys are in it, in types that print as `***`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import msgspec

from syncer.agent.content import Content, decoded, encoded
from syncer.agent.names import AGENT_NAMESPACE, OWN_SECRET
from syncer.protocol.errors import HumanNeeded
from syncer.protocol.secret import Secret

_STATE: Final = "state"
_PENDING_KEY: Final = "pending-key.pem"
_PREVIOUS: Final = "previous"
ENTRIES: Final = (_STATE, _PENDING_KEY, _PREVIOUS)
"""What of the Secret is kept here; the key that signs requests is another entry."""


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A key that a certificate was asked for, or shall be. It stays when the certificate is installed."""

    rotation: int
    key: Secret
    csr: str
    crl: str


class Change(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A change of `cacerts` that istiod hasn't been seen to take.

    `commit`: digest of what Git says; `target`: digest of the content that follows. `since`: when it was begun.
    `blind`: no istiod answered then. `back`: why the previous content is being put back; empty: it isn't.
    """

    commit: str
    target: str
    since: datetime
    blind: bool = False
    back: str = ""


class Refused(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A commit that came to nothing, and why: it isn't tried again. `restored`: because istiod didn't take it; while
    one of these pods, `istiods`, is there.
    """

    commit: str
    why: str
    restored: bool = True
    istiods: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Kept:
    """`sequence`: of the last request. `previous`: what stood in `cacerts` before the last change of it.
    `highest`: the highest rotation that was in use; none below it is installed again.
    """

    sequence: int = 0
    highest: int = 0
    pending: Pending | None = None
    previous: Content | None = None
    change: Change | None = None
    refused: Refused | None = None


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    rotation: int
    csr: str
    crl: str


class _State(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    format: Literal[1] = 1
    sequence: int = 0
    highest: int = 0
    pending: _Asked | None = None
    change: Change | None = None
    refused: Refused | None = None


def entries_of(kept: Kept) -> Mapping[str, bytes]:
    """The entries of the Secret that say it."""
    pending = kept.pending
    state = _State(
        sequence=kept.sequence,
        highest=kept.highest,
        pending=_Asked(rotation=pending.rotation, csr=pending.csr, crl=pending.crl) if pending else None,
        change=kept.change,
        refused=kept.refused,
    )
    entries = {_STATE: msgspec.json.encode(state, order="deterministic")}
    if pending:
        entries[_PENDING_KEY] = pending.key.reveal().encode()
    if kept.previous:
        entries[_PREVIOUS] = encoded(kept.previous)
    return entries


def read_kept(entries: Mapping[str, bytes]) -> Kept:
    """What the entries say; nothing is kept where there are none.

    Raises:
        HumanNeeded: `BadAgentState`: they can't be read. What stands there isn't quoted.
    """
    if _STATE not in entries:
        return Kept()
    try:
        state = msgspec.json.decode(entries[_STATE], type=_State)
        return Kept(
            sequence=state.sequence,
            highest=state.highest,
            pending=_pending(state.pending, entries),
            previous=decoded(entries[_PREVIOUS]) if _PREVIOUS in entries else None,
            change=state.change,
            refused=state.refused,
        )
    except (ValueError, TypeError, KeyError, msgspec.MsgspecError):
        what = "what the agent keeps there can't be read"
        remedy = f"Restore it; or remove its entry `{_STATE}`: then order a new rotation, for a key may be lost."
        raise HumanNeeded(
            "BadAgentState", what, subject=f"Secret {AGENT_NAMESPACE}/{OWN_SECRET}", remedy=remedy
        ) from None


def _pending(asked: _Asked | None, entries: Mapping[str, bytes]) -> Pending | None:
    if asked is None:
        return None
    key = Secret(entries[_PENDING_KEY].decode())
    return Pending(rotation=asked.rotation, key=key, csr=asked.csr, crl=asked.crl)
