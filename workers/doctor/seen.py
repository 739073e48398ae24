"""What is seen of a cluster, and of its gateway from here, before anybody judges it.

Knows shapes only. A field that couldn't be looked at is a `NotSeen`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from syncer.protocol.names import ServiceKey
from syncer.protocol.observation import GatewayAddress, Observation
from workers.doctor import NotSeen
from workers.documents.kinds import Cluster
from workers.outside import Refusal
from workers.reach import Reach
from workers.tree import Tree


@dataclass(frozen=True, kw_only=True, order=True)
class Right:
    """Something that a service account may do; without `namespace` in all of them, with `name` to one object."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {resource}{f' {self.name}' if self.name else ''}{where}"


@dataclass(frozen=True, kw_only=True)
class Rights:
    """Of the syncer: how many it needs, those of them that it lacks, and those that it has and shouldn't."""

    needed: int
    missing: tuple[Right, ...]
    excess: tuple[Right, ...]


@dataclass(frozen=True, kw_only=True)
class Replicas:
    """A Deployment: replicas wanted and ready, and what Kubernetes says of those that aren't."""

    wanted: int
    ready: int
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Inside:
    """What a person's kubeconfig shows in a cluster.

    `namespaces`: those that are there of the ones that must be; `apis`: API groups that it serves; `syncer`, `key`:
    None if it isn't there; `key`: the public half, empty if the Secret holds none; `settings`: how Istio is set up, as
    its syncer would say it; `roots` of its mesh, in PEM; `clock`: how many seconds the API server is ahead of us.
    """

    settings: Mapping[str, str] | NotSeen
    roots: str | NotSeen
    namespaces: frozenset[str] | NotSeen
    apis: frozenset[str] | NotSeen
    rights: Rights | NotSeen
    syncer: Replicas | NotSeen | None
    key: str | NotSeen | None
    clock: float | NotSeen


Outcome = Literal["connected", "shown", "closed", "alert", "other", "refused", "silent", "nowhere"]


@dataclass(frozen=True, kw_only=True)
class Handshake:
    """What one try to reach a gateway from here ended with; asked for `sni`, or (empty) only for a connection.

    `connected`: TCP works, no SNI was asked for; `shown`: a certificate was; `closed`: connected, then closed without a
    word; `alert`: answered with an alert of TLS; `other`: bytes that aren't TLS; `refused`, `silent`, `nowhere`: no
    connection (nothing listens; nothing answers; no such name or no way). `trusted`: whether the roots of the mesh
    signed it; None: they aren't known. `local`: the address that we asked from.
    """

    address: GatewayAddress
    outcome: Outcome
    sni: str = ""
    detail: str = ""
    local: str = ""
    identities: tuple[str, ...] = ()
    issuer: str = ""
    ends: datetime | None = None
    trusted: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The exported service that a gateway is asked for: who must answer, and what must not be answered.

    `sni` is empty if nobody may call anything through this gateway; `identities`: SPIFFE URIs, one of which its
    certificate must hold; `made_up`: the SNI of a service that doesn't exist.
    """

    key: ServiceKey | None = None
    sni: str = ""
    identities: tuple[str, ...] = ()
    made_up: str = ""


@dataclass(frozen=True, kw_only=True)
class ClusterSeen:
    """Everything that was seen of one cluster.

    `settings` is None if nobody says how it is set up; `settings_from` who does. `redis`: whether Redis answered, so
    that an `observation` that is None is none. `handshakes` is None if the gateway wasn't asked.
    """

    cluster: Cluster
    tree: Tree
    reach: Reach
    now: datetime
    kubectl: str = "kubectl"
    settings: Mapping[str, str] | None = None
    settings_from: str = ""
    redis: bool = False
    observation: Observation | None = None
    refusal: Refusal | None = None
    inside: Inside | NotSeen | None = None
    asked: Asked = Asked()
    handshakes: tuple[Handshake, ...] | None = None

    @property
    def name(self) -> str:
        """The cluster's name."""
        return self.cluster.name

    def called_by(self) -> frozenset[str]:
        """Other clusters that can call something here, as main has it."""
        return frozenset(
            consumer
            for host in self.reach.values()
            for consumer, way in host.ways.items()
            if consumer != self.name and any(provider.cluster == self.name for provider in way.providers)
        )

    def calls(self) -> int:
        """How many hosts of the mesh it can call."""
        return sum(bool(host.ways[self.name].ports) for host in self.reach.values() if self.name in host.ways)
