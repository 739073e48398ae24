"""Receive: whether an observation or a request that a cluster sent is kept. All that the border decides.

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
from syncer.protocol.request import SIGN_REQUEST_PURPOSE
from syncer.protocol.request import unpack as unpack_request
from syncer.protocol.signature import OBSERVATION, verify
from workers.outside import BorderKeys, Inbox, Kept

MAX_AGE: Final = timedelta(minutes=15)
"""Three heartbeats: what is older was held back or replayed."""
MAX_AHEAD: Final = timedelta(minutes=5)
"""How far a cluster's clock may be ahead of ours."""
APART: Final = timedelta(seconds=10)
"""Between two requests of a cluster; by their numbers, which are times, so that nothing is counted here."""

_encoder = msgspec.json.Encoder(order="deterministic")


def receive(inbox: Inbox, cluster: str, packed: bytes, signature: bytes, now: datetime) -> bool:
    """Keep what `cluster` sent if it is to be trusted and new; returns whether `flush` has something to look at.

    Raises:
        Rejected: too large, no known cluster, not signed by it, not readable, of another mesh, from another time.
        Superseded: a newer one, or the same one, was kept before.
    """
    known = _known(inbox, cluster, packed)
    verify(known.keys[cluster], OBSERVATION, known.mesh, cluster, packed, signature)
    observation = unpack(packed)
    _check_sender(observation.mesh, observation.cluster, known.mesh, cluster)
    _check_time(observation.observed_at, observation.sequence, cluster, now)
    kept = Kept(sequence=observation.sequence, packed=packed, signature=signature)
    if not inbox.keep(cluster, kept, content=content_digest(observation)):
        raise Superseded("NotNewer", f"observation {observation.sequence} is not newer than the last", subject=cluster)
    return cluster in inbox.marked()


def receive_request(inbox: Inbox, cluster: str, packed: bytes, signature: bytes, now: datetime) -> bool:
    """The same for a request for an intermediate, which the cluster's CA agent signs. What it asks for isn't judged.

    Raises:
        Rejected: as for an observation; or it comes too soon after the last one.
        Superseded: a newer one, or the same one, was kept before.
    """
    known = _known(inbox, cluster, packed)
    keys = known.agents.get(cluster, ())
    if not keys:
        raise Rejected(
            "NoAgentKey",
            "no public key of its CA agent is known",
            subject=cluster,
            remedy=f"`peermesh ca manage {cluster} --agent-key KEY` proposes the key that the agent logs at its start.",
        )
    verify(keys, SIGN_REQUEST_PURPOSE, known.mesh, cluster, packed, signature)
    request = unpack_request(packed)
    _check_sender(request.mesh, request.cluster, known.mesh, cluster)
    _check_time(request.requested_at, request.sequence, cluster, now)
    before = inbox.requests().get(cluster)
    if before is not None and 0 < request.sequence - before.sequence < APART // _MICROSECOND:
        what = f"a request less than {APART.seconds} seconds after the last one"
        raise Rejected("TooOften", what, subject=cluster, remedy="The agent sends the same one again in five minutes.")
    kept = Kept(sequence=request.sequence, packed=packed, signature=signature)
    content = hashlib.sha256(f"{request.rotation} {request.reason} {request.csr}".encode()).hexdigest()
    if not inbox.keep_request(cluster, kept, content=content):
        raise Superseded("NotNewer", f"request {request.sequence} is not newer than the last", subject=cluster)
    return cluster in inbox.marked()


def _known(inbox: Inbox, cluster: str, packed: bytes) -> BorderKeys:
    """What is trusted, if the cluster is known and what it sent isn't too large to be looked at."""
    if len(packed) > MAX_PACKED:
        raise Rejected("TooLarge", f"{len(packed)} bytes; at most {MAX_PACKED} are accepted")
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
    return known


def content_digest(observation: Observation) -> str:
    """Equal for two observations that plan the same."""
    return hashlib.sha256(_encoder.encode(observation.content())).hexdigest()


def _check_sender(said_mesh: str, said_cluster: str, mesh: str, cluster: str) -> None:
    if (said_mesh, said_cluster) != (mesh, cluster):
        raise Rejected(
            "WrongCluster",
            f"it speaks for {said_cluster[:63]!r} of mesh {said_mesh[:63]!r}",
            subject=cluster,
            remedy=f"Set its mesh to {mesh} and its cluster to {cluster}.",
        )


def _check_time(said_at: datetime, sequence: int, cluster: str, now: datetime) -> None:
    ahead = said_at - now
    if ahead < -MAX_AGE:
        raise Rejected(
            "TooOld",
            f"said {_minutes(-ahead)} minutes ago; at most {_minutes(MAX_AGE)} are accepted",
            subject=cluster,
            remedy="If it lasts, the clock of that cluster is slow.",
        )
    # The number is max(last + 1, microseconds since 1970); one far ahead would keep out all that follow.
    if ahead > MAX_AHEAD or sequence > (now + MAX_AHEAD - _EPOCH) // _MICROSECOND:
        raise Rejected(
            "ClockAhead",
            f"said at {said_at.isoformat()} as number {sequence}; "
            f"at most {_minutes(MAX_AHEAD)} minutes ahead are accepted",
            subject=cluster,
            remedy="Mend the clock of that cluster, then restart what runs there.",
        )


_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _minutes(duration: timedelta) -> int:
    return duration // timedelta(minutes=1)
