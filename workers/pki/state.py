"""How far each cluster is, and what was seen of it, in names of roots: what gates and rules look at.

Knows how documents and observations become these values: a fingerprint or a subject becomes the name of a root, or
stays what it is. Decides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from msgspec import structs

from syncer.protocol.request import SignRequest
from syncer.protocol.trust import ObservedAgent, ObservedLag, ObservedProxy, ObservedTrust
from workers.documents.trust import Intermediate, MeshTrust, duration_of
from workers.pki.papers import Paper, Papers, first, readable
from workers.pki.past import called
from workers.pki.wanted import Wanted, is_adopted, settings_of, wanted
from workers.tree import Tree

FRESH: Final = timedelta(minutes=15)
"""How old an observation may be and still open a gate; what is older says nothing (a border refuses it, too)."""
UNKNOWN: Final = "?"
"""Instead of the name of a root, where the issuer isn't one that stands in the tree."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """All that was observed or handed in, verified; by cluster.

    `requests`: the newest of each cluster that a key on main verifies. `signed`: what the signer handed in. `since`:
    since when each condition that `Next.conditions` named holds without a break. `earlier`: intermediates that main had
    before, as far as anybody looked: they give a name to what is seen, and open nothing.
    """

    observed: Mapping[str, ObservedTrust] = field(default_factory=dict)
    observed_at: Mapping[str, datetime] = field(default_factory=dict)
    requests: Mapping[str, SignRequest] = field(default_factory=dict)
    signed: Mapping[str, Intermediate] = field(default_factory=dict)
    since: Mapping[str, datetime] = field(default_factory=dict)
    earlier: Mapping[str, tuple[Intermediate, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Proxy:
    """What a handshake with one workload showed: its leaf is `under` a root, it `trusts` roots. `issuer`: its name."""

    name: str
    under: str
    trusts: frozenset[str]
    live: bool
    started: datetime | None
    seen: datetime
    error: str
    issuer: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """The roots that some namespaces show."""

    roots: frozenset[str]
    example: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Istiod:
    """A replica of istiod signs `under` a root; `newest`: with the intermediate that stands in the tree.

    `issuer`: what it signs with, for people.
    """

    pod: str
    under: str
    newest: bool
    error: str
    issuer: str


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What was seen of a cluster. `blind`: why it can't be relied upon; empty: it can.

    `begins`: blind because its syncer was just started and hasn't made handshakes yet; all else of it is heard.
    `unread`: namespaces with workloads that show no roots. `lag`: workloads that don't follow live, asked or not.
    `read`: makes the proxies, of which there may be a thousand, when somebody asks for them.
    """

    blind: str
    begins: bool = False
    shown: tuple[Shown, ...] = ()
    unread: int = 0
    lag: ObservedLag | None = None
    istiods: tuple[Istiod, ...] = ()
    agent: ObservedAgent | None = None
    istio: str = ""
    self_signed: bool = False
    read: Callable[[], tuple[Proxy, ...]] = field(default=tuple, compare=False, repr=False)

    @cached_property
    def proxies(self) -> tuple[Proxy, ...]:
        """Workloads that were asked."""
        return self.read()


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A cluster whose certificates are managed.

    `counts`: nobody has excluded it. `bundle` and `signer` as `pki/trust.yaml` says, empty before. `root` and
    `rotation` are those of its intermediate (empty, 0: it has none). `adopted`: roots under which it may still sign
    with what it had before. `uses`: all roots that its leaves are under by what stands in the tree, or will be by what
    is approved there. `ended`: its intermediate has expired, and every leaf under it. `crossed`: its chain holds a
    cross certificate. `written`: fingerprints of the bundle that is written for it.
    """

    name: str
    counts: bool
    bundle: frozenset[str]
    signer: str
    root: str
    rotation: int
    adopted: frozenset[str]
    ended: bool
    crossed: bool
    wanted: Wanted
    uses: frozenset[str]
    sight: Sight
    written: frozenset[str]

    @property
    def is_born(self) -> bool:
        """Whether it signs with anything that the others know."""
        return bool(self.root or self.adopted)

    @property
    def is_live(self) -> bool:
        """Whether anything of it is valid: else it loses nothing, and nobody needs to wait for what it trusts."""
        return self.is_born and not self.ended


@dataclass(frozen=True, kw_only=True)
class State:
    """All clusters, in the order in which they take steps, and what people ordered.

    `soak`: how long a gate must have been open. `lifetime`: the longest of a workload's certificate. `left_alone`:
    clusters that people imported and nobody looks after yet.
    """

    trust: MeshTrust
    members: tuple[Member, ...]
    now: datetime
    since: Mapping[str, datetime]
    imported: frozenset[str]
    soak: timedelta
    lifetime: timedelta
    left_alone: tuple[str, ...]

    @property
    def counted(self) -> tuple[Member, ...]:
        """Clusters that others wait for."""
        return tuple(member for member in self.members if member.counts)

    @property
    def live(self) -> tuple[Member, ...]:
        """Those of them of which something is valid: what they trust is waited for."""
        return tuple(member for member in self.counted if member.is_live)

    @property
    def is_emergency(self) -> bool:
        """A root must go at once: nothing soaks."""
        return bool(self.trust.compromised)

    def lasted(self, condition: str) -> timedelta | None:
        """For how long a condition has held without a break; None: it wasn't seen to hold before."""
        since = self.since.get(condition)
        return None if since is None else self.now - since


def state_of(tree: Tree, trust: MeshTrust, seen: Seen, now: datetime, papers: Papers) -> State:
    """The values of a tree and of what was seen."""
    names = _Names(tree, papers)
    managed = [name for name in tree.clusters if settings_of(tree, name) is not None]
    ahead = [name for name in trust.canary if name in managed]
    order = (*dict.fromkeys(ahead), *(name for name in sorted(managed) if name not in ahead))
    return State(
        trust=trust,
        members=tuple(_member(tree, trust, name, seen, now, names) for name in order),
        now=now,
        since=seen.since,
        imported=frozenset(name for name, root in tree.facts.pki.roots.items() if root.spec.imported),
        soak=timedelta() if trust.compromised else duration_of(trust.soak),
        lifetime=duration_of(trust.workload_lifetime),
        left_alone=tuple(
            name for name in sorted(tree.clusters) if name not in managed and is_adopted(tree.facts.pki, name)
        ),
    )


class _Names:
    """Names of roots by fingerprint, subject and key."""

    def __init__(self, tree: Tree, papers: Papers) -> None:
        self.papers = papers
        found = ((name, first(papers, root.spec.certificate)) for name, root in tree.facts.pki.roots.items())
        self.roots: Mapping[str, Paper] = {name: paper for name, paper in found if paper is not None}
        self.by_fingerprint = {paper.fingerprint: name for name, paper in self.roots.items()}
        # More than one only where they are imported (`workers.pki.orders`): nothing waits for those to be trusted, so
        # whoever trusts one of them may count as trusting all.
        self.by_subject: dict[str, frozenset[str]] = {}
        for name, paper in self.roots.items():
            self.by_subject[paper.subject] = self.by_subject.get(paper.subject, frozenset()) | {name}
        self.keys = frozenset(paper.key for paper in self.roots.values())


def _member(tree: Tree, trust: MeshTrust, name: str, seen: Seen, now: datetime, names: _Names) -> Member:
    pki = tree.facts.pki
    step, standing = pki.steps.get(name), pki.intermediates.get(name)
    bundle = frozenset(step.bundle) if step else frozenset[str]()
    imported = frozenset(root for root in bundle if root in pki.roots and pki.roots[root].spec.imported)
    signer = first(names.papers, standing.spec.certificate) if standing else None
    next_one = wanted(tree, name, now, papers=names.papers)
    sight = _sight(name, seen, now, _Issuers(names, signer, standing, seen.earlier.get(name, ())))
    adopted = frozenset[str]() if standing else imported | _had_before(bundle, sight)
    under = {standing.spec.root} if standing else set[str]()
    return Member(
        name=name,
        counts=name not in trust.exclude,
        bundle=bundle,
        signer=step.signer if step else "",
        root=standing.spec.root if standing else "",
        rotation=standing.spec.rotation if standing else 0,
        adopted=adopted,
        ended=signer is not None and signer.ends <= now,
        crossed=standing is not None and is_crossed(standing, names.keys, names.papers),
        wanted=next_one,
        uses=adopted | under | ({next_one.root} if next_one.approved else set()),
        sight=sight,
        written=frozenset(names.roots[root].fingerprint for root in bundle if root in names.roots),
    )


def _had_before(bundle: frozenset[str], sight: Sight) -> frozenset[str]:
    """Roots under which a cluster that got nothing from here works already, as its namespaces show."""
    return bundle & frozenset(root for shown in sight.shown for root in shown.roots)


def is_crossed(standing: Intermediate, keys: Iterable[str], papers: Papers) -> bool:
    """Whether its chain holds a certificate for the key of a root: another root vouches for that one."""
    return any(paper.key in keys for paper in readable(papers, standing.spec.chain))


class _Issuers:
    """Under which root something stands, by the fingerprint (or key identifier) of its issuer."""

    def __init__(
        self, names: _Names, signer: Paper | None, standing: Intermediate | None, earlier: Iterable[Intermediate]
    ) -> None:
        self.names = names
        self.signer = signer
        self.root = standing.spec.root if standing else UNKNOWN
        self._earlier = [
            (paper, called(before))
            for before in earlier
            if (paper := first(names.papers, before.spec.certificate)) is not None
        ]

    def under(self, issuer: str, identifier: str = "") -> str:
        if self.is_newest(issuer) or (not issuer and self.signer and identifier == self.signer.identifier != ""):
            return self.root
        return self.names.by_fingerprint.get(issuer, UNKNOWN)

    def called(self, issuer: str, identifier: str = "") -> str:
        """The issuer for people: what main has, or what it had before."""
        if (under := self.under(issuer, identifier)) != UNKNOWN:
            return f"root {under}"
        for paper, name in self._earlier:
            if issuer == paper.fingerprint or (not issuer and identifier == paper.identifier != ""):
                return f"{name}, which main has replaced"
        return "an issuer that isn't known"

    def is_newest(self, issuer: str) -> bool:
        return self.signer is not None and issuer == self.signer.fingerprint


def _sight(name: str, seen: Seen, now: datetime, issuers: _Issuers) -> Sight:
    observed, at = seen.observed.get(name), seen.observed_at.get(name)
    if observed is None or at is None:
        return Sight(blind="nothing was heard of its trust yet")
    sampled = observed.sampled_at
    by_fingerprint = issuers.names.by_fingerprint
    return Sight(
        blind=_blind(observed, at, now),
        begins=now - at <= FRESH and sampled is None,
        shown=tuple(
            Shown(
                roots=frozenset(by_fingerprint.get(root, root) for root in bundle.roots), example=plain(bundle.example)
            )
            for bundle in observed.bundles
        ),
        unread=observed.unread,
        lag=observed.lag and structs.replace(observed.lag, example=plain(observed.lag.example)),
        istiods=tuple(
            Istiod(
                pod=plain(found.pod),
                under=issuers.under(found.issuer),
                newest=issuers.is_newest(found.issuer),
                error=plain(found.error),
                issuer=issuers.called(found.issuer),
            )
            for found in observed.issuers
        ),
        read=lambda: tuple(_proxy(found, sampled or at, issuers) for found in observed.proxies),
        agent=observed.agent and structs.replace(observed.agent, trouble=_sentence(observed.agent.trouble)),
        istio=plain(observed.istio),
        self_signed=observed.self_signed is True,
    )


def _blind(observed: ObservedTrust, at: datetime, now: datetime) -> str:
    if now - at > FRESH:
        return f"it was last heard of {minutes(now - at)} ago"
    if observed.sampled_at is None:
        return "its syncer has made no handshakes"
    if now - observed.sampled_at > FRESH:
        return f"its syncer's last handshakes are {minutes(now - observed.sampled_at)} old"
    return ""


def _proxy(found: ObservedProxy, sampled: datetime, issuers: _Issuers) -> Proxy:
    by_subject = issuers.names.by_subject
    return Proxy(
        name=plain(f"{found.namespace}/{found.pod}"),
        under=issuers.under(found.issuer, found.authority),
        trusts=frozenset(name for subject in found.trusts for name in by_subject.get(subject, {subject})),
        live=found.live is True,
        started=found.started,
        seen=found.seen or sampled,
        error=plain(found.error),
        issuer=issuers.called(found.issuer, found.authority),
    )


def plain(text: str, *, most: int = 160) -> str:
    """A cluster's words on one line that can't be read as Markdown, at most so many characters."""
    return _UNSAFE.sub("?", text[:most])


def _sentence(trouble: str) -> str:
    """What an agent says, to be followed by a full stop. Why it put a change back takes 200 characters."""
    return plain(trouble, most=300).rstrip(".")


_UNSAFE: Final = re.compile(r"[^\w .,:;/=()-]", re.ASCII)


def minutes(time: timedelta) -> str:
    """A span for people, in its largest unit."""
    seconds = int(time.total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (seconds >= size and unit == "min"):
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
