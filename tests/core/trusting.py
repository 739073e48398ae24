"""A main branch whose certificates are managed, with everything around it in memory: agents that ask, the signer,
syncers that see what is on main, workers that start anew each time, and people who approve.

Two clusters, east and west. The certificates are real, and so is the signer; what is seen of a cluster is what main
says, unless a test says otherwise.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from syncer.protocol.certificates import fingerprint, key_fingerprint, read_certificate
from syncer.protocol.observation import pack
from syncer.protocol.offer import Offer
from syncer.protocol.request import SIGN_REQUEST_PURPOSE, SignRequest, make_csr, read_csr
from syncer.protocol.request import pack as pack_request
from syncer.protocol.revocation import listers
from syncer.protocol.signature import OBSERVATION, SigningKey
from syncer.protocol.trust import ObservedAgent, ObservedBundle, ObservedIssuer, ObservedProxy, ObservedTrust
from tests import meshes
from tests.core.observations import says
from tests.core.worlds import files_of
from tests.pki.authority import DAY, NOW, Mesh, private_key
from tests.signer.site import CountingKey, MemorySigner
from tests.simulator.inbox import MemoryInbox
from tests.simulator.repository import MemoryRemote, MemoryRepository
from workers.check import check
from workers.documents import paths
from workers.documents.kinds import AutomaticClass, Cluster
from workers.documents.strict import Name
from workers.documents.trust import (
    Agent,
    CertificateRequest,
    CertificateRequestSpec,
    ClusterStep,
    ClusterTrust,
    Intermediate,
    IntermediateSpec,
    MeshTrust,
    PkiDocument,
    Root,
    RootSpec,
    Trust,
    TrustSpec,
)
from workers.documents.writing import write
from workers.flush import FlushReport, flush
from workers.forge.git import GitForge, approve
from workers.ground import blobs_of
from workers.journal import FolderJournal
from workers.outside import Branch, Inbox, Kept, Remote, Repository, Update
from workers.pki.lists import mesh_crls
from workers.reach import reach
from workers.render import render
from workers.sign import Signing
from workers.tree import Changes, FilesInMemory, Tree, apply, change_digest, read_tree

ROBOT, PERSON = ("peermesh", "peermesh@example.org"), ("A person", "person@example.org")
CLUSTERS = ("east", "west")
SYNCERS = {name: SigningKey.from_seed(name.ljust(32).encode()) for name in CLUSTERS}
AGENTS = {name: SigningKey.from_seed(f"{name}-agent".ljust(32).encode()) for name in CLUSTERS}
STEADY = ClusterStep(bundle=("a",), signer="a")
DUE = NOW + 50 * DAY
"""Past half of an intermediate's life, and the jitter."""
MADE = Mesh()
"""Made at `NOW`: roots a and b, intermediates of 90 days."""


def root(name: str = "a", *, crossed: Mapping[str, str] | None = None) -> Root:
    return Root(
        metadata=Name(name=name), spec=RootSpec(certificate=MADE.root(name).pem, cross_signed=dict(crossed or {}))
    )


def intermediate(cluster: str, rotation: int = 1, *, under: str = "a", **spec: Any) -> Intermediate:
    made = MADE.intermediate(cluster, rotation, under=MADE.root(under))
    return Intermediate(
        metadata=Name(name=cluster), spec=IntermediateSpec(rotation=rotation, root=under, certificate=made.pem, **spec)
    )


def steps(**clusters: ClusterStep) -> Trust:
    return Trust(metadata=Name(name="acme"), spec=TrustSpec(clusters=dict(sorted(clusters.items()))))


def managed(name: str, **trust: Any) -> Cluster:
    """A cluster whose syncer and agent are known."""
    agent = Agent(public_keys=(AGENTS[name].public,))
    return meshes.cluster(name, keys=(SYNCERS[name].public,), trust=ClusterTrust(agent=agent, **trust))


def begun() -> tuple[PkiDocument, ...]:
    """Both clusters have their first intermediate under root a."""
    return (root("a"), root("b"), steps(east=STEADY, west=STEADY), *(intermediate(name) for name in CLUSTERS))


def tree(*documents: PkiDocument, trust: MeshTrust | None = None, automatic: tuple[AutomaticClass, ...] = ()) -> Tree:
    """A tree with these documents of `pki/`; without any, both clusters have begun."""
    mesh = meshes.mesh(automatic=automatic, trust=trust or MeshTrust(root="a"))
    return meshes.tree_of(mesh, *map(managed, CLUSTERS), *(documents or begun()))


@functools.cache  # signatures differ each time
def request(
    cluster: str = "west", rotation: int = 2, *, reason: str = "renewal", key: str = "", proof: bool = True
) -> SignRequest:
    """What an agent asks for; `key`: instead of the one that belongs to this rotation."""
    current = private_key(f"{cluster}-{rotation - 1}") if proof and rotation > 1 else None
    asked = MADE.request(cluster, rotation, reason=reason, current=current)
    if key:
        csr = make_csr(private_key(key), mesh="acme", cluster=cluster, rotation=rotation)
        asked = replace(asked, csr=csr, proof="")
    return asked


class TrustSite:
    """Remote, inbox, signer and workers, and the clock that all of them read."""

    def __init__(self, folder: Path, *documents: PkiDocument, now: datetime = DUE, **of_tree: Any) -> None:
        self.now = now
        self.folder = folder
        self.people = self.begin(files_of(tree(*documents, **of_tree)).content)
        self.inbox = MemoryInbox()
        self.numbers = 0
        self.signers = {name: self._signer(name) for name in ("a", "b")}

    def begin(self, content: Mapping[str, bytes]) -> Repository:
        """The repository with this on main, for people."""
        self.remote = MemoryRemote(content, author=PERSON, when=self.now)
        return MemoryRepository(self.remote, author=PERSON)

    def robot(self) -> Repository:
        """The repository for a worker."""
        return MemoryRepository(self.remote, author=ROBOT, people=False)

    def _signer(self, name: str) -> MemorySigner:
        made = MADE.root(name)
        return MemorySigner(issuers=(made.certificate,), key=CountingKey(made.key))  # type: ignore[arg-type]

    # --- what main and branches say

    def fetched(self) -> Remote:
        return self.people.fetch()

    @property
    def main(self) -> Tree:
        found, problems = read_tree(self.fetched().files)
        assert found is not None, problems
        assert problems == ()
        return found

    def branch(self, name: str) -> Branch:
        return self.fetched().branches[name]

    def open(self) -> list[str]:
        return sorted(self.fetched().branches)

    # --- clusters

    def asks(self, asked: SignRequest, *, signer: SigningKey | None = None, cluster: str = "") -> None:
        """A request, as the border keeps it."""
        self.numbers += 1
        name = cluster or asked.cluster
        packed = pack_request(asked)
        signature = (signer or AGENTS[name]).sign(SIGN_REQUEST_PURPOSE, "acme", name, packed)
        kept = Kept(sequence=self.numbers, packed=packed, signature=signature)
        self.inbox.keep_request(name, kept, content=hashlib.sha256(asked.csr.encode()).hexdigest())

    def seen(self, name: str) -> ObservedTrust:
        """A cluster that holds what main says, as its syncer sees it."""
        pki = self.main.facts.pki
        bundle, standing = pki.steps[name].bundle, pki.intermediates[name]
        roots = [read_certificate(pki.roots[one].spec.certificate, subject=one) for one in bundle]
        issuer = fingerprint(read_certificate(standing.spec.certificate, subject=name))
        known = tuple(sorted(map(fingerprint, roots)))
        proxy = ObservedProxy(
            namespace="shop",
            pod="cart",
            issuer=issuer,
            trusts=tuple(sorted(one.subject.rfc4514_string() for one in roots)),
            live=True,
            started=NOW,
            seen=self.now,
        )
        return ObservedTrust(
            bundles=(ObservedBundle(roots=known, namespaces=1, example="shop"),),
            issuers=(ObservedIssuer(pod="istiod-0", issuer=issuer),),
            proxies=(proxy,),
            sampled_at=self.now,
            agent=ObservedAgent(rotation=standing.spec.rotation, roots=known, crls=self.lists()),
            istio="1.31.0",
        )

    def lists(self) -> tuple[str, ...]:
        """Whose CRLs main says that clusters shall have."""
        trust = self.main.mesh.spec.trust
        return listers(mesh_crls(self.main.facts.pki)) if trust is not None and trust.crls else ()

    def observes(self, *names: str, **changed: Any) -> None:
        """Heartbeats of these clusters; of all without names."""
        for name in names or CLUSTERS:
            self.numbers += 1
            said = replace(
                says(name, sequence=self.numbers, observed_at=self.now), trust=replace(self.seen(name), **changed)
            )
            packed = pack(said)
            signature = SYNCERS[name].sign(OBSERVATION, "acme", name, packed)
            self.inbox.keep(name, Kept(sequence=self.numbers, packed=packed, signature=signature), content="same")

    def observes_exports(self, name: str, *offers: Offer) -> None:
        """The heartbeat of a cluster that exports, and says nothing of trust."""
        self.numbers += 1
        packed = pack(says(name, *offers, sequence=self.numbers, observed_at=self.now))
        signature = SYNCERS[name].sign(OBSERVATION, "acme", name, packed)
        self.inbox.keep(name, Kept(sequence=self.numbers, packed=packed, signature=signature), content="exports")

    # --- workers and people

    def flushes(self, repository: Repository | None = None, inbox: Inbox | None = None) -> FlushReport:
        """A new worker each time: what it must know it finds in the inbox and in the repository."""
        self.inbox.mark("main")
        return flush(repository or self.robot(), GitForge, inbox or self.inbox, self.now)

    def signs(self, name: str = "a") -> tuple[str, ...]:
        """The signer of a root looks at main."""
        journal = FolderJournal(self.folder / name)
        return Signing(self.people, self.signers[name], journal, self.inbox).look(self.now).signed

    def approves(self, name: str) -> None:
        """A person merges a branch, if `check` lets it pass."""
        approve(self.people, name, change_digest(self.branch(name).change), check=check, when=self.now)

    def commits(self, changes: Changes, *, branch: str = "main", message: str = "by hand\n") -> None:
        """People change files on a branch, as they are."""
        remote = self.fetched()
        ref = f"refs/heads/{branch}"
        base = remote.refs[ref]
        commit = self.people.commit(parents=[base], changes=changes, message=message, when=self.now)
        self.people.push([Update(ref=ref, old=base, new=commit)])

    def puts(self, *documents: PkiDocument, removes: Iterable[str] = (), trust: MeshTrust | None = None) -> None:
        """People commit documents on main, with what follows from them."""
        changes = changes_of(*documents, removes=removes)
        if trust is not None:
            mesh = self.main.mesh
            changes[paths.MESH] = write(replace(mesh, spec=replace(mesh.spec, trust=trust)))
        self.commits(with_rendering(self.fetched().files, changes))

    def later(self, **time: float) -> None:
        self.now += timedelta(**time)


def changes_of(*documents: PkiDocument, removes: Iterable[str] = ()) -> dict[str, bytes | None]:
    return {**{paths.path_of(document): write(document) for document in documents}, **dict.fromkeys(removes)}


def with_rendering(files: Any, changes: Changes) -> dict[str, bytes | None]:
    """These changes with what `peermesh render` writes for them."""
    after = FilesInMemory(apply({path: files.read(path) for path, _ in files.under("")}, changes))
    found, _ = read_tree(after)
    assert found is not None
    rendered = render(found, reach(found))
    blobs = blobs_of(rendered)
    stands = {path: blob for path, blob in after.under(paths.RENDERED) if paths.is_rendered(path)}
    differing = (path for path in stands.keys() | blobs.keys() if stands.get(path) != blobs.get(path))
    return {**changes, **{path: file.data if (file := rendered.get(path)) else None for path in differing}}


def approved(asked: SignRequest, root_name: str = "a") -> CertificateRequest:
    """The document of a request."""
    key = key_fingerprint(read_csr(asked.csr, subject=asked.cluster).public_key())
    spec = CertificateRequestSpec(
        rotation=asked.rotation,
        reason=asked.reason,  # type: ignore[arg-type]
        root=root_name,
        key_fingerprint=key,
        csr=asked.csr,
    )
    return CertificateRequest(metadata=Name(name=asked.cluster), spec=spec)
