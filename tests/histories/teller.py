"""Tells a history: one event after the other, and what the machine says after each.

    ("people order root=b", "rollover: Trust root b in east, too"),
    ("people approve rollover", "east: its agent hasn't written it yet"),

An event is a sentence (`tests.histories.events`). What is expected after it, parts separated by `; `:

- `request-west [request]`, `certificate-west [renewal]`, `rollover: TITLE`: exactly these are proposed, nothing else.
- `west: TEXT`: what it waits for, or why it is refused, holds this text; `*` is the whole mesh.
- `west is PHASE`: its phase.

Certificates are real. A cluster does what is on main when it is told that it `applies`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import structs

from syncer.protocol.certificates import fingerprint
from syncer.protocol.request import SignRequest
from syncer.protocol.trust import ObservedAgent, ObservedBundle, ObservedIssuer, ObservedProxy, ObservedTrust
from tests.pki import mesh_of_slips as trees
from tests.pki.authority import NOW, Authority, Mesh
from workers.documents.paths import path_of
from workers.documents.strict import Name
from workers.documents.trust import Intermediate, Root, RootSpec
from workers.pki.papers import PAPERS
from workers.pki.step import Next, Seen, Step, next_step

ROOTS: Final = ("a", "b", "c", "old")
MADE: Final = Mesh()


@dataclass
class There:
    """A cluster as it is: what its namespaces show, what its istiods sign with, what its proxies have."""

    shown: dict[str, frozenset[str]]
    issuers: dict[str, str]
    """Fingerprint of the issuer by pod of istiod."""
    proxies: dict[str, ObservedProxy]
    silent: bool = False
    agent: ObservedAgent = field(default_factory=ObservedAgent)
    istio: str = "1.31.0"
    self_signed: bool = False


class Teller:
    """The world of one history, with two clusters at first, both under root a."""

    def __init__(self) -> None:
        self.now = NOW + timedelta(hours=1)
        self.mesh = Mesh()
        self.mesh._made.update(MADE._made)
        self.clusters: dict[str, There] = {}
        self.observed: dict[str, tuple[ObservedTrust, datetime]] = {}
        self.requests: dict[str, SignRequest] = {}
        self.signed: dict[str, Intermediate] = {}
        self.since: Mapping[str, datetime] = {}
        self.main = trees.tree(roots=[self.root(name) for name in ROOTS])
        self.next = Next()

    def plan(self) -> None:
        """What the machine says now, and since when what holds."""
        for name, there in self.clusters.items():
            if not there.silent:
                self.observed[name] = (self.look(there), self.now)
        seen = Seen(
            observed={name: trust for name, (trust, _) in self.observed.items()},
            observed_at={name: at for name, (_, at) in self.observed.items()},
            requests=self.requests,
            signed=self.signed,
            since=self.since,
        )
        self.next = next_step(self.main, seen, self.now)
        self.since = {name: self.since.get(name, self.now) for name in self.next.conditions}

    def said(self, expected: str) -> str:
        """What the machine says, in the words of what is expected of it."""
        parts = [part for part in expected.split("; ") if part]
        proposed = sorted(named(step) for step in self.next.steps)
        told = [part for part in parts if not is_proposal(part)]
        return "; ".join([*proposed, *(self._about(part) for part in told)])

    def _about(self, part: str) -> str:
        if (phase := re.fullmatch(r"([a-z]+) is (.*)", part)) is not None:
            return f"{phase[1]} is {self.next.phases[phase[1]].name}"
        name, _, text = part.partition(": ")
        waits = self.next.waiting.get(name, "")
        if text == "nothing" and not waits:
            return part
        return part if text and text in waits else f"{name}: {waits}"

    # --- what there is

    def root(self, name: str) -> Root:
        made = self.mesh.root(name)
        crossed = {by: self.mesh.cross(name, by=by).pem for by in ("a", "b") if name not in {by, "old"}}
        return Root(
            metadata=Name(name=name),
            spec=RootSpec(certificate=made.pem, cross_signed=crossed, imported=name == "old"),
        )

    def issued(self, name: str, rotation: int, under: str) -> Authority:
        self.mesh.now = self.now
        return self.mesh.intermediate(name, rotation, under=self.mesh.root(under))

    def look(self, there: There) -> ObservedTrust:
        shown: dict[frozenset[str], list[str]] = {}
        for namespace, roots in there.shown.items():
            shown.setdefault(roots, []).append(namespace)
        bundles = (
            ObservedBundle(
                roots=tuple(sorted(self.fingerprint(root) for root in roots)), namespaces=len(found), example=found[0]
            )
            for roots, found in shown.items()
        )
        return ObservedTrust(
            bundles=tuple(sorted(bundles)),
            issuers=tuple(ObservedIssuer(pod=pod, issuer=issuer) for pod, issuer in there.issuers.items()),
            proxies=tuple(structs.replace(proxy, seen=self.now) for proxy in there.proxies.values()),
            sampled_at=self.now,
            agent=there.agent,
            istio=there.istio,
            self_signed=there.self_signed,
        )

    def fingerprint(self, root: str) -> str:
        return fingerprint(self.mesh.root(root).certificate)

    def subjects(self, roots: frozenset[str]) -> tuple[str, ...]:
        return tuple(sorted(self.mesh.root(root).certificate.subject.rfc4514_string() for root in roots))

    def issuer(self, name: str) -> str:
        """Fingerprint of what the cluster signs with, by main."""
        standing = self.main.facts.pki.intermediates.get(name)
        if standing is None:
            return self.fingerprint("old")
        return PAPERS.certificates(standing.spec.certificate)[0].fingerprint

    def put(self, *documents: Any) -> None:
        """Documents come to main."""
        changes = {path_of(document): document for document in documents}
        self.main = self.main.with_facts(self.main.facts.with_changes(changes))


def named(step: Step) -> str:
    branch = step.branch.removeprefix("peermesh/trust/")
    return f"rollover: {step.title}" if branch == "rollover" else f"{branch} [{','.join(step.classes)}]"


def is_proposal(part: str) -> bool:
    return part.startswith(("rollover: ", "request-", "certificate-"))
