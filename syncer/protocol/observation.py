"""An observation: the complete list of what one cluster exports, numbered.

Knows its bytes (JSON in gzip) and the bounds that keep hostile bytes from hurting. Knows no keys and no queue.
"""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from syncer.protocol.errors import Rejected
from syncer.protocol.offer import Offer, Refused
from syncer.protocol.packing import unpacked
from syncer.protocol.trust import ObservedTrust

FORMAT: Final = 1
MAX_PACKED: Final = 1 << 20
"""Bytes of a packed observation that the border accepts: 1 MiB holds about 20,000 offers."""
MAX_UNPACKED: Final = 16 << 20
"""Bytes it may unpack to; deflate reaches 1:1000, so without a bound 1 MiB would become 1 GiB."""


class GatewayAddress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, order=True):
    """Where peers reach an east-west gateway: either `ip` or `host`, and the port that leads to its 15443."""

    ip: str | None = None
    host: str | None = None
    port: int


class ObservedGateway(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The east-west gateway as its Service shows it. `addresses` is empty where none is known (yet)."""

    addresses: tuple[GatewayAddress, ...] = ()
    cluster_ip: str | None = msgspec.field(name="clusterIP", default=None)
    cluster_port: int | None = None
    wildcard: bool = False


class Foreign(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """An object of people's own for a host of the mesh (or, kind Gateway, for a host that peermesh would open)."""

    kind: str
    namespace: str
    name: str
    host: str


class Observation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `cluster` of `mesh` says now. Defaults are sent, so that `format` is.

    `sequence`: max(last + 1, microseconds since 1970), taken with `observed_at` when the content was read. `sources`:
    those that could be read; one that is missing here says nothing about its exports. `applied`: digest by
    `<kind>/<namespace>/<name>` of the managed objects in the cluster; `settings` and `trust`: for people and gates,
    never facts.
    """

    format: int = FORMAT
    mesh: str
    cluster: str
    sequence: int
    observed_at: datetime
    sources: tuple[str, ...]
    offers: tuple[Offer, ...]
    gateway: ObservedGateway | UnsetType = UNSET
    foreign: tuple[Foreign, ...] | UnsetType = UNSET
    refused: tuple[Refused, ...] = ()
    applied: dict[str, str] | UnsetType = UNSET
    settings: dict[str, str] | UnsetType = UNSET
    trust: ObservedTrust | UnsetType = UNSET

    def content(self) -> Observation:
        """The same without number, time, `applied`, `settings` and `trust`: what plans depend on."""
        return msgspec.structs.replace(
            self, sequence=0, observed_at=datetime.min.replace(tzinfo=UTC), applied=UNSET, settings=UNSET, trust=UNSET
        )


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Observation)


def pack(observation: Observation) -> bytes:
    """The bytes that are signed and sent; equal observations give equal bytes."""
    return gzip.compress(_encoder.encode(observation), mtime=0)


def unpack(packed: bytes) -> Observation:
    """Read what `pack` wrote.

    Raises:
        Rejected: too large packed or unpacked, not gzip, not JSON, another shape, an unknown format.
    """
    data = unpacked(packed, what="an observation", most_packed=MAX_PACKED, most=MAX_UNPACKED)
    try:
        observation = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected("BadObservation", f"an observation that can't be read: {error}") from error
    if observation.format != FORMAT:
        raise Rejected(
            "UnknownFormat",
            f"an observation of format {observation.format}; this program reads format {FORMAT}",
            remedy="Upgrade the workers before the syncers.",
        )
    if observation.observed_at.tzinfo is None:
        raise Rejected("BadObservation", "an observation whose observedAt has no time zone")
    return observation
