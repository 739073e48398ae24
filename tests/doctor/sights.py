"""Clusters as they are seen, healthy but for what a test says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from syncer.protocol.observation import GatewayAddress, Observation, ObservedGateway
from syncer.protocol.signature import SigningKey
from tests.doctor.gateways import CATALOG, IDENTITY, NOBODY
from tests.meshes import cluster, export, facts, key, tree_of
from workers.doctor.seen import Asked, ClusterSeen, Handshake, Inside, Replicas, Rights
from workers.documents.trust import ClusterTrust
from workers.reach import reach

NOW = datetime(2026, 11, 27, 3, 0, tzinfo=UTC)
KEY = SigningKey.from_seed(bytes(32)).public
OTHER_KEY = SigningKey.from_seed(bytes([1] * 32)).public
ADDRESS = GatewayAddress(ip="203.0.113.10", port=15443)
SETTINGS = {
    "kubernetes.version": "v1.37.2",
    "istio.version": "1.31.0",
    "istio.trustDomain": "west.acme.example",
    "istio.trustDomains": "east.acme.example,north.acme.example,west.acme.example",
    "istio.mtls": "STRICT",
    "istio.dnsCapture": "true",
    "istio.multiroot": "true",
    "istio.followsRoots": "true",
    "istio.network": "west",
    "unit/gateway": "1c2b3a4 ready",
    "unit/imports": "1c2b3a4 ready",
}
WEST = cluster("west", keys=(KEY,), trust=ClusterTrust())
EXPORTS = (export("shop/catalog", "west"), export("shop/cart", "east"))
TREE = tree_of(WEST, cluster("east"), cluster("north"), facts("west", "203.0.113.10"), *EXPORTS)
QUIET = tree_of(WEST, cluster("east"), cluster("north"), facts("west", "203.0.113.10"))
"""Nothing is exported."""

SHOWN = Handshake(
    address=ADDRESS,
    outcome="shown",
    sni=CATALOG,
    local="198.51.100.7",
    identities=(IDENTITY,),
    issuer="CN=west",
    ends=NOW + timedelta(hours=12),
    trusted=True,
)
CLOSED = Handshake(address=ADDRESS, outcome="closed", sni=NOBODY, local="198.51.100.7")
INSIDE = Inside(
    settings=SETTINGS,
    roots="-----BEGIN CERTIFICATE-----",
    namespaces=frozenset({"peermesh-imports", "peermesh-system"}),
    apis=frozenset({"apps", "networking.istio.io", "multicluster.x-k8s.io"}),
    rights=Rights(needed=36, missing=(), excess=()),
    syncer=Replicas(wanted=2, ready=2),
    key=KEY,
    clock=0.4,
)


def observation(**said: Any) -> Observation:
    """What west said twelve seconds ago."""
    fields: dict[str, Any] = {
        "mesh": "acme",
        "cluster": "west",
        "sequence": 1,
        "observed_at": NOW - timedelta(seconds=12),
        "sources": ("label",),
        "offers": (),
        "gateway": ObservedGateway(addresses=(ADDRESS,)),
        "settings": SETTINGS,
    }
    return Observation(**{**fields, **said})


def healthy(tree: Any = TREE, **seen: Any) -> ClusterSeen:
    """West, of which everything was seen and nothing is wrong but what a test says."""
    base = ClusterSeen(
        cluster=tree.clusters["west"],
        tree=tree,
        reach=reach(tree),
        now=NOW,
        kubectl="kubectl --context west",
        settings=SETTINGS,
        settings_from="as the cluster is now",
        redis=True,
        observation=observation(),
        inside=INSIDE,
        asked=Asked(key=key("shop/catalog"), sni=CATALOG, identities=(IDENTITY,), made_up=NOBODY),
        handshakes=(SHOWN, CLOSED),
    )
    return replace(base, **seen)


def set_up(**settings: str | None) -> ClusterSeen:
    """West with other settings of Istio, their names without `istio.`; None: it can't be known."""
    changed = {**SETTINGS, **{f"istio.{name}": value for name, value in settings.items()}}
    return healthy(settings={name: value for name, value in changed.items() if value is not None})


def inside(*, unheard: bool = False, **seen: Any) -> ClusterSeen:
    """West with something else inside; `unheard`: and nobody else says how Istio is set up."""
    west = healthy(inside=replace(INSIDE, **seen))
    return replace(west, settings=None) if unheard else west
