"""A proposal: changed facts with their rendering, its class, and the text that people read.

Splits changed facts into proposals and names what each is. Knows reach before and after, and names that were checked.
Knows nothing of branches that stand, of commits or of forges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from syncer.protocol.offer import GATEWAY, Refused
from workers.conflict import age
from workers.difference import HostChange
from workers.documents import paths
from workers.documents.kinds import ClusterFacts, Export, Fact, Host, ProposalClass
from workers.reach import Reach, gateway_addresses
from workers.sentences import (
    blocked_sentences,
    bounded,
    cluster_sentences,
    conflict_sentences,
    host_sentences,
    refusal,
    section,
)
from workers.tree import BlobChange, Changes, FactChanges, Tree, change_digest


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """One reviewable change.

    `changes` are files against the tree that it was rendered on (main and what this plan merged before), `change` the
    same as blobs. `classes` is sorted; a proposal merges by itself only if all are listed as automatic.
    """

    branch: str
    classes: tuple[ProposalClass, ...]
    facts: FactChanges
    changes: Changes
    change: BlobChange
    title: str
    body: str

    @property
    def digest(self) -> str:
        """The identity of its change."""
        return change_digest(self.change)


@dataclass(frozen=True, kw_only=True)
class Words:
    """What is said of facts that change nobody's reach; `back`: how it is taken back."""

    classes: tuple[ProposalClass, ...]
    title: str
    sentences: tuple[str, ...]
    back: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Part:
    """Facts that are proposed together, on `branch`; with `words` nothing else is said of them."""

    branch: str
    facts: FactChanges
    held: bool = False
    words: Words | None = None


def split(changes: FactChanges, held: frozenset[str]) -> tuple[Part, ...]:
    """Changed facts by proposal, in the order in which they are made: clusters, exports by namespace, held losses."""
    by_branch: dict[str, dict[str, Fact | None]] = {}
    for path, fact in sorted(changes.items()):
        where = paths.place(path)
        assert where is not None, path
        if where.kind == "ClusterFacts":
            branch = paths.clusters_branch(where.cluster)
        else:
            branch = (paths.held_branch if path in held else paths.exports_branch)(where.namespace)
        by_branch.setdefault(branch, {})[path] = fact
    return tuple(
        Part(branch=branch, facts=facts, held=any(path in held for path in facts))
        for branch, facts in sorted(by_branch.items())
    )


FactClasses = Mapping[str, ProposalClass]
"""What each changed fact is, by path; Hosts only follow."""


def fact_classes(part: Part, base: Tree, after: Tree, changes: Iterable[HostChange]) -> FactClasses:
    """What each changed fact is, whether it is held or not.

    ClusterFacts: `cluster` for a first address, `address` if no (host, consumer) is gained or lost, else `change`.
    Exports: `export`, `provider`, `change` or `withdrawal`.
    """
    found: dict[str, ProposalClass] = {}
    for path, fact in part.facts.items():
        where = paths.place(path)
        assert where is not None, path
        if where.kind == "Export":
            found[path] = _export_class(path, fact, base, after)
        elif where.kind == "ClusterFacts":
            cluster = base.clusters[where.cluster]
            moved = any(way.gained or way.lost for change in changes for way in change.ways)
            first = not gateway_addresses(base, cluster) and bool(gateway_addresses(after, cluster))
            found[path] = "cluster" if first else "change" if moved else "address"
    return found


def classes(part: Part, facts: FactClasses) -> tuple[ProposalClass, ...]:
    """What a proposal is, sorted: `held` alone where the guard holds it, else all that its facts are."""
    if part.words is not None:
        return tuple(sorted(part.words.classes))
    if part.held:
        return ("held",)
    if part.branch == paths.RENDER_BRANCH:
        return ("follow-up",)
    return tuple(sorted(set(facts.values())))


def _export_class(path: str, fact: object, base: Tree, after: Tree) -> ProposalClass:
    where = paths.place(path)
    assert where is not None, path
    key = where.key
    if fact is None:
        return "withdrawal"
    if base.facts.get(path) is not None:
        return "change"
    host = base.facts.hosts.get(key)
    known_to_others = base.facts.exports.get(key) or (host is not None and where.cluster not in host.spec.providers)
    first = min(after.facts.exports[key].values(), key=age).cluster
    return "provider" if known_to_others or (host is None and where.cluster != first) else "export"


_VERBS: Final[Mapping[str, str]] = {
    "export": "export", "provider": "export", "change": "change", "withdrawal": "withdraw"
}  # fmt: skip


def title(part: Part, facts: FactClasses) -> str:
    """One line of at most 100 characters, from checked names only."""
    if part.words is not None:
        return part.words.title
    if part.branch == paths.RENDER_BRANCH:
        return "Give hosts that share an address one each" if part.facts else "Render clusters/ as mesh/ and facts/ say"
    subject = part.branch.rpartition("/")[2]
    prefix = f"{subject}: held: " if part.held else f"{subject}: "
    if part.branch.startswith(paths.clusters_branch("")):
        first = "cluster" in facts.values()
        return prefix + ("the first address of its gateway" if first else "change what is known of it")
    named = [
        f"{_VERBS[kind]} {where.name} from {where.cluster}"
        for path, kind in facts.items()
        if (where := paths.place(path)) is not None
    ]
    text = prefix + ", ".join(named)
    if len(text) <= 100:
        return text
    verbs = {_VERBS[kind] for kind in facts.values()}
    return f"{prefix}{verbs.pop()} {len(named)} services" if len(verbs) == 1 else f"{prefix}{len(named)} exports change"


def body(
    part: Part,
    facts: FactClasses,
    changes: tuple[HostChange, ...],
    after: Reach,
    *,
    refused: Iterable[tuple[str, Refused]] = (),
    notes: Iterable[str] = (),
) -> str:
    """The difference of reach in sentences; the first line says what needs the most care."""
    if part.words is not None:
        said = section("What changes", part.words.sentences) + section("How to take it back", part.words.back)
        return bounded(said.rstrip("\n") + "\n")
    sentences = [sentence for change in changes for sentence in host_sentences(change)]
    text = "".join(f"{line}\n\n" for line in _first_lines(part, facts, changes))
    text += section("Who can call what", sentences or _without_reach(part))
    for fact in part.facts.values():
        if isinstance(fact, ClusterFacts):
            text += section(f"What is known of {fact.metadata.name} then", cluster_sentences(fact))
    text += section("Conflicts", conflict_sentences(after, changes))
    text += section("Blocked", blocked_sentences(changes))
    text += section("Asked for, and not exported", [refusal(cluster, entry) for cluster, entry in refused])
    text += section("Notes", notes)
    text += section("How to take it back", [_way_back(part)])
    return bounded(text.rstrip("\n") + "\n")


def _first_lines(part: Part, facts: FactClasses, changes: Iterable[HostChange]) -> list[str]:
    answering = {
        (change.key, provider.cluster) for change in changes for way in change.ways for provider in way.new.providers
    }
    exported = {
        fact.key for path, fact in part.facts.items() if facts.get(path) == "export" and isinstance(fact, Export)
    }
    joining: dict[str, list[str]] = {}
    for path, fact in part.facts.items():
        if facts.get(path) == "provider" and isinstance(fact, Export):
            verb = "answers for a host" if (fact.key, fact.cluster) in answering else "exports a service"
            known = "that is new, too" if fact.key in exported else "that others know"
            joining.setdefault(f"{verb} {known}", []).append(f"{fact.cluster} for {fact.key}")
    lines = [f"**One more cluster {what}**: {', '.join(named)}." for what, named in joining.items()]
    if part.held:
        lines.append(
            "**Held**: more would be lost at once than `spec.guard` in `mesh/mesh.yaml` allows. Merge it if that is"
            " meant; else leave it open or reject it: it closes by itself when the clusters offer it again."
        )
    if "cluster" in facts.values():
        lines.append("**The first address of a cluster**: whatever it exports becomes reachable through this gateway.")
    return lines


def _without_reach(part: Part) -> list[str]:
    """What is said where reach stays the same; that of a follow-up changed with the commit that it follows."""
    if part.branch != paths.RENDER_BRANCH:
        return ["Nobody's calls change."]
    return [
        f"`{name}` has virtual address {address} ({fact.key}: one of its addresses was another host's, too)"
        for fact in part.facts.values()
        if isinstance(fact, Host)
        for name, address in fact.spec.addresses.items()
    ] or ["What `mesh/` and `facts/` on main say already: the files of this change hadn't followed."]


def _way_back(part: Part) -> str:
    if part.branch == paths.RENDER_BRANCH:
        return "Revert the commit on main that this follows from; the rendering follows again."
    return (
        f"Before merging: `peermesh reject {part.branch}`. After: revert the merge. Either way it isn't proposed again"
        " until what the cluster says differs; `peermesh proposals reopen` forgets that."
    )


def refusals_of(part: Part, refused: Iterable[tuple[str, Refused]]) -> list[tuple[str, Refused]]:
    """The refusals that a proposal tells: of its namespace; of its cluster those that are about the gateway."""
    subject = part.branch.rpartition("/")[2]
    if part.branch.startswith(paths.clusters_branch("")):
        return [(cluster, entry) for cluster, entry in refused if cluster == subject and entry.source == GATEWAY]
    return [(cluster, entry) for cluster, entry in refused if entry.namespace == subject and entry.source != GATEWAY]
