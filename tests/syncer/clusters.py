"""Clusters for tests: from a few lines of YAML to a state, by the real reader."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from syncer.cluster import ClusterState
from syncer.cluster.manifests import manifests
from syncer.observe import Scope, observe
from syncer.protocol.observation import Observation
from syncer.protocol.offer import Offer, Refused

TICKETING: Final = Path(__file__).parent / "ticketing"
"""A small application of three files, with its gateway."""
SCOPE: Final = Scope(mesh="acme", cluster="west")
NOW: Final = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def cluster(*texts: str, **fields: Any) -> ClusterState:
    """The state of a cluster with these manifests, in namespace `shop`."""
    found: dict[str, list[Any]] = {}
    for text in texts:
        for manifest in manifests("test.yaml", textwrap.dedent(text).encode(), "shop"):
            found.setdefault(manifest.field, []).append(manifest.value)
    return ClusterState(**{**{field: tuple(values) for field, values in found.items()}, **fields})


def observed(state: ClusterState, scope: Scope = SCOPE) -> Observation:
    return observe(state, scope, sequence=1, observed_at=NOW)


def said(*texts: str) -> tuple[tuple[Offer, ...], tuple[Refused, ...]]:
    """What such a cluster offers and refuses; the gateway, which isn't there, aside."""
    observation = observed(cluster(*texts))
    return observation.offers, tuple(refused for refused in observation.refused if refused.source != "gateway")


def service(*, metadata: str = "", spec: str = "ports: [{name: http, port: 80}]", selector: str = "{app: a}") -> str:
    """An exported Service `a`."""
    return textwrap.dedent(f"""\
        apiVersion: v1
        kind: Service
        metadata: {{name: a, labels: {{peermesh.io/export: "true"}}, {metadata}}}
        spec: {{selector: {selector}, {spec}}}
        """)


def deployment(*, name: str = "a", pod: str = "serviceAccountName: a", labels: str = "{app: a}") -> str:
    """What runs Service `a`."""
    return textwrap.dedent(f"""\
        apiVersion: apps/v1
        kind: Deployment
        metadata: {{name: {name}}}
        spec: {{template: {{metadata: {{labels: {labels}}}, spec: {{{pod}}}}}}}
        """)


def pod(*, name: str = "a-1", spec: str = "serviceAccountName: a", phase: str = "Running") -> str:
    """A pod of Service `a`."""
    return textwrap.dedent(f"""\
        apiVersion: v1
        kind: Pod
        metadata: {{name: {name}, labels: {{app: a}}}}
        spec: {{{spec}}}
        status: {{phase: {phase}}}
        """)
