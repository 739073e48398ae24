"""Status: how the mesh stands: clusters, open proposals, what is refused, paused, or wrong.

Pure: from main, what one fetch saw, and what Redis has, if it was asked. Knows no texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from syncer.protocol.observation import GatewayAddress, Observation
from workers.applied import Applied, applied, committed
from workers.documents.kinds import Cluster, Forge
from workers.outside import Branch, Refusal, Remote
from workers.reach import Reach, gateway_addresses
from workers.tree import BlobChange, RejectedFacts, Tree, change_digest, mesh_of

_TRAILERS = re.compile(r"\n(?:Peermesh-[A-Za-z-]+: .*\n?)+\Z")
_CLASSES = re.compile(r"^Peermesh-Classes: (.+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class OpenProposal:
    """A proposal as its branch shows it. `foreign`: somebody else changed it; `merges`: main didn't change the same;
    `url`: where it is reviewed, empty if the branch is all there is.
    """

    branch: str
    title: str
    body: str
    classes: tuple[str, ...]
    digest: str
    change: BlobChange
    foreign: bool
    merges: bool
    url: str


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What Redis has: the newest observations, what was refused since, what the last flush told."""

    observations: Mapping[str, Observation] = field(default_factory=dict)
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    said: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ClusterStatus:
    """`exports`: what it exports; `calls`: hosts of the mesh that it can call; `keys`: how many of its syncer count.

    `applied`: how it stands to what main commits for it; None if Redis wasn't asked.
    """

    name: str
    exports: int
    calls: int
    addresses: tuple[GatewayAddress, ...]
    keys: int
    observed_at: datetime | None
    refusal: Refusal | None
    applied: Applied | None


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
    mesh = mesh_of(remote.files)
    forge = mesh.spec.approval.forge if mesh else Forge()
    return tuple(_proposal(branch, forge.page(name)) for name, branch in sorted(remote.branches.items()))


def status(tree: Tree, reach: Reach, remote: Remote, heard: Heard | None) -> Status:
    """How the mesh stands."""
    # Every rendered file is read for it: not where there is nothing to compare with.
    stands = _applied(tree, remote, heard) if heard else {}
    return Status(
        mesh=tree.mesh.metadata.name,
        paused=remote.paused,
        clusters=tuple(
            _cluster(tree, reach, cluster, heard or Heard(), stands.get(name))
            for name, cluster in tree.clusters.items()
        ),
        proposals=proposals_of(remote),
        rejected=remote.rejected | remote.taken_back,
        heard=heard,
    )


def _applied(tree: Tree, remote: Remote, heard: Heard) -> Mapping[str, Applied]:
    wanted = committed(remote.files, {})
    return {
        name: applied(wanted.get(name, {}), heard.observations.get(name), remote.main_time) for name in tree.clusters
    }


def _cluster(tree: Tree, reach: Reach, cluster: Cluster, heard: Heard, stands: Applied | None) -> ClusterStatus:
    name = cluster.name
    newest = heard.observations.get(name)
    return ClusterStatus(
        name=name,
        exports=sum(name in exports for exports in tree.facts.exports.values()),
        calls=sum(bool(host.ways[name].ports) for host in reach.values()),
        addresses=gateway_addresses(tree, cluster),
        keys=len(cluster.spec.syncer.public_keys),
        observed_at=newest.observed_at if newest else None,
        refusal=heard.refusals.get(name),
        applied=stands,
    )


def _proposal(branch: Branch, url: str) -> OpenProposal:
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
        url=url,
    )
