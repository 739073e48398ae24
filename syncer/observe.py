"""What one cluster says: its state becomes an observation.

Knows the mesh's names and where the gateway is, nothing of keys, queues or clocks. The same state gives the same bytes,
in whatever order it was read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from syncer.cluster import ClusterState
from syncer.cluster.objects import Metadata
from syncer.foreign import MeshHosts, foreign
from syncer.gateway import GatewayPlace, observed_gateway
from syncer.protocol.labels import DIGEST
from syncer.protocol.observation import Observation
from syncer.protocol.offer import Offer, Refused
from syncer.sources import SOURCES


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which cluster of which mesh is looked at, and what of it: all that `observe` needs to be told."""

    mesh: str
    cluster: str
    gateway: GatewayPlace = field(default_factory=GatewayPlace)
    hosts: MeshHosts = field(default_factory=MeshHosts)


def observe(state: ClusterState, scope: Scope, *, sequence: int, observed_at: datetime) -> Observation:
    """The observation of a complete state.

    `sequence` and `observed_at` (with a time zone) are those of the moment when the state was read.
    """
    readable = [name for name, source in SOURCES.items() if source.readable(state)]
    said = [result for name in readable for result in SOURCES[name].exports(state, name)]
    gateway, no_address = observed_gateway(state, scope.gateway, cluster=scope.cluster)
    return Observation(
        mesh=scope.mesh,
        cluster=scope.cluster,
        sequence=sequence,
        observed_at=observed_at,
        sources=tuple(sorted(readable)),
        offers=tuple(
            sorted((one for one in said if isinstance(one, Offer)), key=lambda o: (o.namespace, o.service, o.source))
        ),
        gateway=gateway,
        foreign=foreign(state, scope.hosts, scope.gateway),
        refused=tuple(sorted({*(one for one in said if isinstance(one, Refused)), *no_address}, key=_in_order)),
        applied=dict(sorted(_applied(state))),
    )


def next_sequence(last: int, now: datetime) -> int:
    """The number of a new observation: microseconds since 1970, but always more than the last one."""
    return max(last + 1, (now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))


def _in_order(refused: Refused) -> tuple[str, ...]:
    return (refused.namespace, refused.service, refused.source, refused.reason, refused.message)


def _applied(state: ClusterState) -> Iterator[tuple[str, str]]:
    """Digest by `<kind>/<namespace>/<name>` of every object that peermesh rendered."""
    rendered: tuple[tuple[str, Metadata], ...] = (
        *(("DestinationRule", rule.metadata) for rule in state.destination_rules),
        *(("Gateway", gateway.metadata) for gateway in state.gateways),
        *(("ServiceEntry", entry.metadata) for entry in state.service_entries),
        *(("VirtualService", virtual.metadata) for virtual in state.virtual_services),
    )
    for kind, metadata in rendered:
        if metadata.managed and DIGEST in metadata.annotations:
            yield f"{kind}/{metadata.namespace}/{metadata.name}", metadata.annotations[DIGEST]
