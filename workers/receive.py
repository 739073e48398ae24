"""Receive: whether an observation that a cluster sent is kept. All that the border decides.

Knows sizes, keys, signatures and clocks, in the order that lets hostile bytes cost least. Knows no Git and no queue;
inbox and time are arguments.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from syncer.protocol.errors import Rejected, Superseded
from syncer.protocol.names import is_label
from syncer.protocol.observation import MAX_PACKED, Observation, unpack
from syncer.protocol.signature import OBSERVATION, verify
from workers.outside import Inbox, Kept

MAX_AGE: Final = timedelta(minutes=15)
"""Three heartbeats: what is older was held back or replayed."""
MAX_AHEAD: Final = timedelta(minutes=5)
"""How far a cluster's clock may be ahead of ours."""

_encoder = msgspec.json.Encoder(order="deterministic")


def receive(inbox: Inbox, cluster: str, packed: bytes, signature: bytes, now: datetime) -> bool:
    """Keep what `cluster` sent if it is to be trusted and new; returns whether `flush` has something to look at.

    Raises:
        Rejected: too large, no known cluster, not signed by it, not readable, of another mesh, from another time.
        Superseded: a newer one, or the same one, was kept before.
    """
    if len(packed) > MAX_PACKED:
        raise Rejected("TooLarge", f"an observation of {len(packed)} bytes; at most {MAX_PACKED} are accepted")
    if not is_label(cluster):
        raise Rejected("BadName", f"a cluster can't be called {cluster[:63]!r}")
    known = inbox.border_keys()
    if known is None or cluster not in known.keys:
        raise Rejected(
            "UnknownCluster",
            "main has no such cluster",
            subject=cluster,
            remedy=f"`peermesh cluster add {cluster} …` writes its file; once that is on main the border knows it.",
        )
    verify(known.keys[cluster], OBSERVATION, known.mesh, cluster, packed, signature)
    observation = unpack(packed)
    _check(observation, known.mesh, cluster, now)
    kept = Kept(sequence=observation.sequence, packed=packed, signature=signature)
    if not inbox.keep(cluster, kept, content=content_digest(observation)):
        raise Superseded("NotNewer", f"observation {observation.sequence} is not newer than the last", subject=cluster)
    return cluster in inbox.marked()


def content_digest(observation: Observation) -> str:
    """Equal for two observations that plan the same."""
    return hashlib.sha256(_encoder.encode(observation.content())).hexdigest()


def _check(observation: Observation, mesh: str, cluster: str, now: datetime) -> None:
    if (observation.mesh, observation.cluster) != (mesh, cluster):
        raise Rejected(
            "WrongCluster",
            f"it speaks for {observation.cluster[:63]!r} of mesh {observation.mesh[:63]!r}",
            subject=cluster,
            remedy=f"Set the syncer's mesh to {mesh} and its cluster to {cluster}.",
        )
    ahead = observation.observed_at - now
    if ahead < -MAX_AGE:
        raise Rejected(
            "TooOld",
            f"observed {_minutes(-ahead)} minutes ago; at most {_minutes(MAX_AGE)} are accepted",
            subject=cluster,
            remedy="If it lasts, the clock of that cluster is slow.",
        )
    # The number is max(last + 1, microseconds since 1970); one far ahead would keep out all that follow.
    if ahead > MAX_AHEAD or observation.sequence > (now + MAX_AHEAD - _EPOCH) // timedelta(microseconds=1):
        raise Rejected(
            "ClockAhead",
            f"observed at {observation.observed_at.isoformat()} as number {observation.sequence}; "
            f"at most {_minutes(MAX_AHEAD)} minutes ahead are accepted",
            subject=cluster,
            remedy="Mend the clock of that cluster, then restart its syncer.",
        )


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _minutes(duration: timedelta) -> int:
    return duration // timedelta(minutes=1)
