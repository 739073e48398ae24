"""Status: how the mesh stands: clusters, open proposals, what is refused, paused, or wrong.

Pure: from main, what one fetch saw, and what Redis has, if it was asked. Knows no texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from syncer.protocol.observation import GatewayAddress
from workers.documents.kinds import Cluster
from workers.outside import Branch, Refusal, Remote
from workers.reach import Reach, gateway_addresses
from workers.tree import BlobChange, RejectedFacts, Tree, change_digest

_TRAILERS = re.compile(r"\n(?:Peermesh-[A-Za-z-]+: .*\n?)+\Z")
_CLASSES = re.compile(r"^Peermesh-Classes: (.+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class OpenProposal:
    """A proposal as its branch shows it. `foreign`: somebody else changed it; `merges`: main didn't change the same."""

    branch: str
    title: str
    body: str
    classes: tuple[str, ...]
    digest: str
    change: BlobChange
    foreign: bool
    merges: bool


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What Redis has: when the newest observations were made, what was refused since, what the last flush told."""

    observed_at: Mapping[str, datetime] = field(default_factory=dict)
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    said: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ClusterStatus:
    """`exports`: what it exports; `calls`: hosts of the mesh that it can call; `keys`: how many of its syncer count."""

    name: str
    exports: int
    calls: int
    addresses: tuple[GatewayAddress, ...]
    keys: int
    observed_at: datetime | None
    refusal: Refusal | None


@dataclass(frozen=True, kw_only=True)
class Status:
    """`heard`: None if Redis wasn't asked."""

    mesh: str
    paused: str | None
    clusters: tuple[ClusterStatus, ...]
    proposals: tuple[OpenProposal, ...]
    rejected: RejectedFacts
    heard: Heard | None


def proposals_of(remote: Remote) -> tuple[OpenProposal, ...]:
    """The open proposals, by branch."""
    return tuple(_proposal(branch) for _, branch in sorted(remote.branches.items()))


def status(tree: Tree, reach: Reach, remote: Remote, heard: Heard | None) -> Status:
    """How the mesh stands."""
    return Status(
        mesh=tree.mesh.metadata.name,
        paused=remote.paused,
        clusters=tuple(_cluster(tree, reach, cluster, heard or Heard()) for cluster in tree.clusters.values()),
        proposals=proposals_of(remote),
        rejected=remote.rejected | remote.taken_back,
        heard=heard,
    )


def _cluster(tree: Tree, reach: Reach, cluster: Cluster, heard: Heard) -> ClusterStatus:
    name = cluster.name
    return ClusterStatus(
        name=name,
        exports=sum(name in exports for exports in tree.facts.exports.values()),
        calls=sum(bool(host.ways[name].ports) for host in reach.values()),
        addresses=gateway_addresses(tree, cluster),
        keys=len(cluster.spec.syncer.public_keys),
        observed_at=heard.observed_at.get(name),
        refusal=heard.refusals.get(name),
    )


def _proposal(branch: Branch) -> OpenProposal:
    title, _, rest = branch.message.partition("\n\n")
    classes = _CLASSES.search(branch.message)
    return OpenProposal(
        branch=branch.name,
        title=title,
        body=_TRAILERS.sub("\n", rest).strip("\n"),
        classes=tuple(classes[1].split(", ")) if classes else (),
        digest=change_digest(branch.change),
        change=branch.change,
        foreign=branch.foreign,
        merges=branch.merges,
    )
