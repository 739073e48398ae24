"""What one cluster says: its state becomes an observation.

Knows the mesh's names and where the gateway is, nothing of keys, queues or clocks. The same state gives the same bytes,
in whatever order it was read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Final

from msgspec import UNSET

from syncer.cluster import ClusterState
from syncer.cluster.objects import Metadata
from syncer.cluster.resources import ISTIO_SYSTEM
from syncer.foreign import MeshHosts, foreign
from syncer.gateway import GatewayPlace, observed_gateway
from syncer.istio import istio_settings
from syncer.protocol.errors import Rejected
from syncer.protocol.labels import DIGEST
from syncer.protocol.observation import Observation
from syncer.protocol.offer import GATEWAY, Offer, Refused
from syncer.sources import SOURCES
from syncer.trust import NOTHING, Sample, observed_trust
from syncer.units import units

VERSION: Final = version("peermesh")


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which cluster of which mesh is looked at, and what of it: all that `observe` needs to be told."""

    mesh: str
    cluster: str
    gateway: GatewayPlace = field(default_factory=GatewayPlace)
    hosts: MeshHosts = field(default_factory=MeshHosts)
    istio_namespace: str = ISTIO_SYSTEM


def observe(
    state: ClusterState, scope: Scope, *, sequence: int, observed_at: datetime, sample: Sample = NOTHING
) -> Observation:
    """The observation of a complete state. Where Istio isn't (all) there, nothing is said of what its objects show.

    `sequence` and `observed_at` (with a time zone) are those of the moment when the state was read. `sample`: what
    handshakes showed until then.
    """
    readable = [name for name, source in SOURCES.items() if source.readable(state)]
    said = [result for name in readable for result in SOURCES[name].exports(state, name)]
    gateway, untold = observed_gateway(state, scope.gateway, cluster=scope.cluster)
    if not state.istio:
        untold = (_no_istio(scope),)
    return Observation(
        mesh=scope.mesh,
        cluster=scope.cluster,
        sequence=sequence,
        observed_at=observed_at,
        sources=tuple(sorted(readable)),
        offers=tuple(
            sorted((one for one in said if isinstance(one, Offer)), key=lambda o: (o.namespace, o.service, o.source))
        ),
        gateway=gateway if state.istio else UNSET,
        foreign=foreign(state, scope.hosts, scope.gateway) if state.istio else UNSET,
        refused=tuple(sorted({*(one for one in said if isinstance(one, Refused)), *untold}, key=_in_order)),
        applied=dict(sorted(_applied(state))) if state.istio else UNSET,
        settings=dict(sorted(_settings(state, scope))),
        trust=observed_trust(state, scope.istio_namespace, sample),
    )


def next_sequence(last: int, now: datetime) -> int:
    """The number of a new observation: microseconds since 1970, but always more than the last one."""
    return max(last + 1, (now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))


def _no_istio(scope: Scope) -> Refused:
    what = (
        "the cluster doesn't serve all kinds of networking.istio.io, so it isn't known what is applied and what clashes"
    )
    why = Rejected("NoIstio", what, remedy="Install Istio's CRDs: `istioctl install`, or the Helm chart istio/base.")
    place = scope.gateway.namespace
    return Refused(namespace=place, service=GATEWAY, source=GATEWAY, reason=why.reason, message=str(why))


def _settings(state: ClusterState, scope: Scope) -> Iterator[tuple[str, str]]:
    """What can be known; a key whose value can't is left out."""
    yield "syncer.version", VERSION
    if state.kubernetes_version:
        yield "kubernetes.version", state.kubernetes_version
    yield from istio_settings(state, scope.istio_namespace)
    yield from units(state, scope.cluster)


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
