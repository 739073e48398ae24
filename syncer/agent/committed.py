"""What Git says that this cluster shall have: the ConfigMap that Flux or Argo CD applies, as a value.

Pure. Knows the entries of the ConfigMap; whether it is good to follow it is decided elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from syncer.agent.names import COMMITTED
from syncer.protocol.cacerts import CHAIN, CRL, ROOTS, SIGNER
from syncer.protocol.cacerts_rules import KEY_TYPES
from syncer.protocol.errors import Rejected
from syncer.protocol.request import REASONS

_REMEDY: Final = "`peermesh check` finds what differs; else apply clusters/<cluster>/ca/ again."
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, kw_only=True)
class Committed:
    """`certificate` and `chain` are empty while the cluster has no intermediate of ours: then only `roots` count.

    `rotation`: of that certificate, 0: none. `wanted`: the rotation that the cluster shall have, for `reason`.
    `renew_after`: when the agent asks for the next one by itself.
    """

    mesh: str
    cluster: str
    trust_domain: str
    roots: str
    certificate: str = ""
    chain: str = ""
    crl: str = ""
    rotation: int = 0
    wanted: int = 0
    reason: str = "renewal"
    renew_after: datetime | None = None
    key_type: str = "P-256"

    @property
    def digest(self) -> str:
        """Of what would be installed: equal for two commits that want the same there."""
        parts = (self.certificate, self.chain, self.roots, self.crl)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def read_committed(data: Mapping[str, str]) -> Committed:
    """The entries as a value; an entry that is empty is as good as none.

    Raises:
        Rejected: `BadCommit`: an entry is missing, or can't be meant.
    """
    said = {key: value for key, value in data.items() if value}
    rotation = _number(said, "rotation", 0)
    committed = Committed(
        mesh=_needed(said, "mesh"),
        cluster=_needed(said, "cluster"),
        trust_domain=_needed(said, "trustDomain"),
        roots=_needed(said, ROOTS),
        certificate=said.get(SIGNER, ""),
        chain=said.get(CHAIN, ""),
        crl=said.get(CRL, ""),
        rotation=rotation,
        wanted=_number(said, "wanted", rotation),
        reason=_one_of(said, "reason", REASONS, "renewal"),
        renew_after=_time(said, "renewAfter"),
        key_type=_one_of(said, "keyType", tuple(KEY_TYPES), "P-256"),
    )
    if bool(committed.certificate) != bool(committed.rotation) or bool(committed.certificate) != bool(committed.chain):
        raise _bad(SIGNER, f"it goes with {CHAIN} and a rotation, and not all three are there")
    return committed


def _needed(said: Mapping[str, str], key: str) -> str:
    if key not in said:
        raise _bad(key, "it isn't there")
    return said[key]


def _number(said: Mapping[str, str], key: str, default: int) -> int:
    text = said.get(key, str(default))
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        raise _bad(key, "it isn't a number")
    return int(text)


def _one_of(said: Mapping[str, str], key: str, known: tuple[str, ...], default: str) -> str:
    text = said.get(key, default)
    if text not in known:
        raise _bad(key, f"it isn't one of {', '.join(known)}")
    return text


def _time(said: Mapping[str, str], key: str) -> datetime | None:
    if key not in said:
        return None
    try:
        return datetime.strptime(said[key], _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise _bad(key, "it isn't a time like 2026-11-27T12:00:00Z") from None


def _bad(key: str, what: str) -> Rejected:
    return Rejected("BadCommit", f"{key}: {what}", subject=f"ConfigMap {COMMITTED}", remedy=_REMEDY)
