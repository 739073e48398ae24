"""Steps of trust as proposals: what the machine of `workers.pki` decides, on what the plan has merged before.

Knows what open branches remember, so that whatever was lost or is asked anew leaves an open proposal alone as long as
it fits. Knows no reach, no Git, and decides nothing about trust itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from syncer.protocol.request import SignRequest
from workers.documents import paths
from workers.documents.trust import CertificateRequest, Intermediate
from workers.documents.writing import write
from workers.learn import Memory
from workers.pki.step import Next, Seen, Step, next_step
from workers.pki.wanted import wanted
from workers.proposal import Part, Words
from workers.series import Series
from workers.tree import BlobId, RejectedFacts, Tree, blob_id

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ALL: Final = "*"


@dataclass(frozen=True, kw_only=True)
class Stepped:
    """`next`: what the machine said; `untouched`: open branches of which nothing can be said now; `rejected`: refused
    documents that still are wanted.
    """

    next: Next = field(default_factory=Next)
    untouched: frozenset[str] = frozenset()
    rejected: RejectedFacts = frozenset()


def add_steps(series: Series, memory: Memory, seen: Seen | None, now: datetime | None) -> Stepped:
    """Propose what may be done now; `seen` None: nobody looked, so that what is open stays."""
    tree = series.base.tree
    opened = frozenset(name for name in memory.branches if name.startswith(paths.TRUST_BRANCHES))
    if seen is None or now is None or paths.AUTHORITY_PART in series.frozen:
        return Stepped(untouched=opened)
    if tree.mesh.spec.trust is None:
        return Stepped()
    newest, seen = seen.requests, remembered(tree, seen, memory, now)
    said = next_step(tree, seen, now)
    steps, untouched = _with_rollover(tree, said, seen, memory, now)
    untouched |= _waiting_for_lists(tree, steps, seen)
    waiting, rejected = dict(said.waiting), set[tuple[str, BlobId | None]]()
    for name in newest:
        if newest[name] is not seen.requests[name]:
            _wait(waiting, name, _ANOTHER_KEY.format(branch=paths.request_branch(name)))
    for step in steps:
        if refused := _refused(step, memory):
            rejected |= refused
            _wait(waiting, _subject(step), _REFUSED.format(", ".join(sorted(path for path, _ in refused))))
        else:
            series.add(Part(branch=step.branch, facts=step.facts, words=_words(step)))
    said = replace(said, steps=steps, waiting=waiting)
    return Stepped(next=said, untouched=untouched & opened, rejected=frozenset(rejected))


def _words(step: Step) -> Words:
    back = tuple(said for said in step.sentences if said.startswith(_BACK))
    said = tuple(sentence for sentence in step.sentences if sentence not in back)
    return Words(classes=step.classes, title=step.title, sentences=said, back=back)


_BACK: Final = "To take it back"
_ANOTHER_KEY: Final = (
    "it asks with another key now than {branch} is for. If its agent has lost the first one, or nobody knows that"
    " request, `peermesh reject {branch}` lets the new one take its place."
)
_REFUSED: Final = "people refused or took back what would come next ({}). `peermesh proposals reopen` forgets that."


def remembered(tree: Tree, seen: Seen, memory: Memory, now: datetime) -> Seen:
    """What was seen, with what open proposals say where nothing newer takes its place.

    First come stays: a request for another key doesn't take the place of one that people may be looking at.
    """
    requests, signed = dict(seen.requests), dict(seen.signed)
    for name in tree.clusters:
        asked = _open(memory, paths.request_branch(name), paths.request_path(name))
        if isinstance(asked, CertificateRequest) and _stays(tree, name, asked, requests.get(name), now):
            requests[name] = _request_of(tree, name, asked)
        made = _open(memory, paths.certificate_branch(name), paths.intermediate_path(name))
        if isinstance(made, Intermediate):
            signed.setdefault(name, made)
    return replace(seen, requests=requests, signed=signed)


def _open(memory: Memory, branch: str, path: str) -> object:
    return memory.branches.get(branch, {}).get(path)


def _stays(tree: Tree, name: str, asked: CertificateRequest, newest: SignRequest | None, now: datetime) -> bool:
    spec = asked.spec
    if not spec.csr or not wanted(tree, name, now).fits(spec.reason):
        return False
    return newest is None or (newest.rotation == spec.rotation and newest.csr != spec.csr)


def _waiting_for_lists(tree: Tree, steps: Sequence[Step], seen: Seen) -> frozenset[str]:
    """Certificates of which nothing can be said while a cluster isn't known at all: has it the lists that they need?"""
    trust = tree.mesh.spec.trust
    if trust is None or not trust.crls or all(name in seen.observed for name in _counted(tree)):
        return frozenset()
    return frozenset(map(paths.certificate_branch, tree.clusters)) - {step.branch for step in steps}


def _request_of(tree: Tree, name: str, asked: CertificateRequest) -> SignRequest:
    spec = asked.spec
    return SignRequest(
        mesh=tree.mesh.metadata.name,
        cluster=name,
        sequence=1,
        requested_at=_LONG_AGO,
        rotation=spec.rotation,
        reason=spec.reason,
        csr=spec.csr,
        crl=spec.crl,
    )


def _with_rollover(
    tree: Tree, said: Next, seen: Seen, memory: Memory, now: datetime
) -> tuple[tuple[Step, ...], frozenset[str]]:
    """The steps, and whether an open step of the rollover stays as it is.

    It was opened when everything had lasted long enough. When that memory was lost it needn't last again: it stays for
    as long as the same step would follow. While a cluster isn't known at all, nothing is said of it.
    """
    opened = memory.branches.get(paths.ROLLOVER_BRANCH)
    if not opened or any(step.branch == paths.ROLLOVER_BRANCH for step in said.steps):
        return said.steps, frozenset()
    if any(name not in seen.observed for name in _counted(tree)):
        return said.steps, frozenset({paths.ROLLOVER_BRANCH})
    lasting = replace(seen, since=dict.fromkeys(said.conditions, _LONG_AGO))
    again = [step for step in next_step(tree, lasting, now).steps if step.branch == paths.ROLLOVER_BRANCH]
    return (*said.steps, *(step for step in again if step.facts == opened)), frozenset()


def is_under_way(tree: Tree) -> bool:
    """Whether some cluster isn't yet where people want all of them: then news of trust is waited for."""
    trust, pki = tree.mesh.spec.trust, tree.facts.pki
    if trust is None:
        return False
    signing = {name: document.spec.root for name, document in pki.intermediates.items()}
    there = ((trust.root,), trust.root, trust.root)
    return any((step.bundle, step.signer, signing.get(name)) != there for name, step in pki.steps.items())


def _counted(tree: Tree) -> Iterator[str]:
    trust = tree.mesh.spec.trust
    excluded = trust.exclude if trust is not None else ()
    return (name for name, cluster in tree.clusters.items() if cluster.spec.trust is not None and name not in excluded)


def _refused(step: Step, memory: Memory) -> RejectedFacts:
    facts = ((path, None if new is None else blob_id(write(new))) for path, new in step.facts.items())
    return memory.rejected.intersection(facts)


def _subject(step: Step) -> str:
    """The cluster that a step is about, or all."""
    return next((where.cluster for path in step.facts if (where := paths.place(path)) and where.cluster), _ALL)


def _wait(waiting: dict[str, str], subject: str, why: str) -> None:
    waiting[subject] = f"{waiting[subject]} {why}" if subject in waiting else why


def said_of(waiting: Mapping[str, str]) -> dict[str, str]:
    """What people should know of trust that no proposal says, by subject."""
    return {("trust" if name == _ALL else f"{name}: trust"): why for name, why in waiting.items()}
