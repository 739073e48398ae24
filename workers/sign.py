"""Sign: what people approved, once for each rotation of a cluster, and hand in what came of it.

Reads main, decides by `workers.pki.approved` and the row of `DELIVERIES`, signs, writes it down, hands it in: in this
order, so that no certificate is known to anybody before the journal has it. Knows no forge, and of branches only the
one that brings a certificate back which the journal lost.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from syncer.protocol.cacerts_rules import issued
from syncer.protocol.certificates import key_fingerprint, name_text, read_certificate
from syncer.protocol.errors import HumanNeeded, PeermeshError, Rejected
from syncer.protocol.request import subject_of
from workers.deliveries import DELIVERIES
from workers.documents import paths
from workers.documents.kinds import Document
from workers.documents.reading import Invalid, read
from workers.documents.trust import Intermediate
from workers.documents.writing import write
from workers.outside import CommitId, Inbox, Journal, Remote, Repository, Signed, Signer
from workers.pki.approved import Approved, Brought, Issuing, approved, faults, intermediate, issuing
from workers.pki.issue import issue
from workers.tree import BlobChange, BlobId, Files, Problem, Tree, read_tree

AGAIN: Final = timedelta(minutes=5)
"""After which a certificate that main still lacks is handed in again: Redis may have been lost."""


@dataclass(frozen=True, kw_only=True)
class SignReport:
    """What one look came to: clusters whose certificate was signed, or handed in (again); and troubles, by cluster.

    `away`: why the signer couldn't sign now, whether or not something waits for it.
    """

    signed: tuple[str, ...] = ()
    handed: tuple[str, ...] = ()
    troubles: Mapping[str, PeermeshError] = field(default_factory=dict)
    away: PeermeshError | None = None


class Signing:
    """What one signer does, look by look; for one thread of one process. `serial`: where serial numbers come from."""

    def __init__(
        self,
        repository: Repository,
        signer: Signer,
        journal: Journal,
        inbox: Inbox,
        *,
        serial: Callable[[], int] = x509.random_serial_number,
    ) -> None:
        self._repository = repository
        self._signer = signer
        self._journal = journal
        self._inbox = inbox
        self._serial = serial
        self._known: dict[BlobId, Document] = {}
        self._handed: dict[str, tuple[bytes, datetime]] = {}
        self._spoilt: dict[str, tuple[CommitId, Rejected]] = {}
        """By cluster: main, and why a signature was in vain then. It isn't tried again before main moves."""

    @property
    def name(self) -> str:
        """Whose key signs."""
        return name_text(self._signer.issuers[0].subject)

    @property
    def ends(self) -> datetime:
        """When nothing can be signed with it any more."""
        return min(issuer.not_valid_after_utc for issuer in self._signer.issuers)

    def look(self, now: datetime) -> SignReport:
        """Sign what waits on main, and hand in what main lacks.

        Raises:
            Transient: the repository is away.
            HumanNeeded: there is no such root on main, or the documents of `mesh/` can't be read.
        """
        remote = self._repository.fetch()
        tree, unread = self._tree(remote)
        if tree.mesh.spec.trust is None:
            return SignReport(away=self._away())
        under = issuing(tree.facts.pki, self._signer.issuers)
        signed, handed, troubles = [], [], {}
        for cluster in sorted({*tree.facts.pki.requests, *unread}):
            try:
                if cluster in unread:
                    raise HumanNeeded("BadDocuments", str(unread[cluster]), subject=f"the request of {cluster}")
                asked = approved(tree, cluster, under)
                if asked is None:
                    self._handed.pop(cluster, None)
                    continue
                entry = self._found(tree, remote, asked, under)
                if entry is None:
                    entry = self._sign(tree, asked, under, now, remote.main)
                    signed.append(cluster)
                if self._hand_in(entry, now):
                    handed.append(cluster)
            except PeermeshError as error:
                troubles[cluster] = error
        return SignReport(signed=tuple(signed), handed=tuple(handed), troubles=troubles, away=self._away())

    def _away(self) -> PeermeshError | None:
        try:
            self._signer.check()
        except PeermeshError as error:
            return error
        return None

    def _tree(self, remote: Remote) -> tuple[Tree, Mapping[str, Problem]]:
        """The documents of main; and what can't be read there, by the cluster whose request it is about."""
        tree, problems = read_tree(_Orders(remote.files), self._known)
        if tree is None:
            what = str(problems[0]) if problems else f"there is no {paths.MESH}"
            raise HumanNeeded("BadDocuments", what, subject="main", remedy="`peermesh check` shows all of it.")
        found = {problem.path: problem for problem in problems}
        asking = [name for name in tree.clusters if remote.files.blob(paths.request_path(name))]
        about = [(name, path) for name in asking for path in _about(name) if path in found]
        # What merely disagrees with another document stands in the tree, and is refused by its own name later.
        unread = [(name, path) for name, path in about if tree.facts.pki.get(path) is None and remote.files.blob(path)]
        return tree, {name: found[path] for name, path in unread}

    def _found(self, tree: Tree, remote: Remote, asked: Approved, under: Issuing) -> Signed | None:
        """What was signed for this rotation before, as the journal has it, or else the branch that proposes it."""
        cluster, said = asked.cluster, asked.request
        entry = self._journal.find(cluster, said.rotation)
        if entry is None:
            document = _proposed(tree, remote, asked, under)
            if document is not None:
                entry = _entry(asked, document)
                self._journal.keep(entry)
        elif (entry.root, entry.key_fingerprint) != (said.root, said.key_fingerprint):
            what = f"rotation {said.rotation} was signed before, for another key or root, and is signed once"
            free = next(n for n in itertools.count(said.rotation + 1) if self._journal.find(cluster, n) is None)
            remedy = f"Order rotation {free} in spec.trust.rotate of {paths.MESH}: those before it were signed, too."
            if free == said.rotation + 1:
                remedy = f"`peermesh ca request-rotation {cluster}` orders the next."
            raise HumanNeeded("SignedBefore", what, subject=f"the request of {cluster}", remedy=remedy)
        return entry

    def _sign(self, tree: Tree, asked: Approved, under: Issuing, now: datetime, main: CommitId) -> Signed:
        at, known = self._spoilt.get(asked.cluster, (None, None))
        if known is not None and at == main:
            raise known
        brought = DELIVERIES[asked.trust.delivery](asked, now)
        certificate = issue(
            asked.template,
            brought.key,
            under.issuers[0],
            self._signer.key,
            now=now,
            serial=self._serial(),
            above=(*under.issuers[1:], under.certificate),
        )
        document = intermediate(tree, asked, under, brought, certificate)
        for fault in faults(document, under.certificate, trust_domain=asked.template.trust_domain, now=now):
            why = Rejected(fault.rule, fault.what, subject=fault.certificate, remedy=fault.remedy)
            self._spoilt[asked.cluster] = main, why
            raise why
        entry = _entry(asked, document)
        self._journal.keep(entry)
        return entry

    def _hand_in(self, entry: Signed, now: datetime) -> bool:
        document, at = self._handed.get(entry.cluster, (b"", now))
        if document == entry.document and now < at + AGAIN:
            return False
        self._inbox.keep_certificate(entry.cluster, entry.document)
        self._handed[entry.cluster] = entry.document, now
        return True


def _about(cluster: str) -> tuple[str, ...]:
    """What can't be read of these isn't as good as absent: it may say that this was signed before."""
    request, sealing = paths.request_path(cluster), paths.sealing_path(cluster)
    return request, paths.intermediate_path(cluster), sealing, paths.TRUST


def _entry(asked: Approved, document: Intermediate) -> Signed:
    return Signed(
        cluster=asked.cluster,
        rotation=asked.request.rotation,
        root=asked.request.root,
        key_fingerprint=asked.request.key_fingerprint,
        document=write(document),
    )


def _proposed(tree: Tree, remote: Remote, asked: Approved, under: Issuing) -> Intermediate | None:
    """What the open branch says was signed for this request, if this signer's key did sign it; else None."""
    branch = remote.branches.get(paths.certificate_branch(asked.cluster))
    path = paths.intermediate_path(asked.cluster)
    if branch is None or branch.foreign or branch.files.blob(path) is None:
        return None
    try:
        document = read(path, branch.files.read(path))
        assert isinstance(document, Intermediate)
        said = document.spec
        certificate = read_certificate(said.certificate, subject=path)
    except (Invalid, Rejected):
        return None
    if not issued(certificate, under.issuers[0]) or certificate.subject != _subject(asked):
        return None
    key = certificate.public_key()
    if asked.trust.delivery == "sealed-secrets":
        brought = Brought(key=key, crl=said.crl, sealed=said.sealed)
    else:
        brought = Brought(key=key, crl=asked.request.crl)
    known = bool(brought.sealed) or key_fingerprint(key) == asked.request.key_fingerprint
    return intermediate(tree, asked, under, brought, certificate) if known else None


def _subject(asked: Approved) -> x509.Name:
    said = asked.template
    return subject_of(mesh=said.mesh, cluster=said.cluster, rotation=said.rotation)


class _Orders:
    """The files of main that matter here. A fact that can't be read is no trouble of a signer's."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def blob(self, path: str) -> BlobId | None:
        return self._files.blob(path)

    def read(self, path: str) -> bytes:
        return self._files.read(path)

    def under(self, prefix: str) -> Iterator[tuple[str, BlobId]]:
        return iter(()) if prefix == paths.FACTS else self._files.under(prefix)

    def since(self, older: Files, prefix: str) -> BlobChange | None:
        return self._files.since(older, prefix)
