"""The tree: paths <-> documents <-> bytes, the same for a commit and for a plain folder.

Knows which documents make a mesh and which rules hold between them. Knows nothing of Git beyond the name of a blob,
opens no file, and doesn't know what follows from the documents (`reach`, `render`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NewType, Protocol

from syncer.protocol.names import ServiceKey
from workers.documents import paths, reading
from workers.documents.agreement import Disagreement, cluster_faults, host_faults, missing_clusters
from workers.documents.kinds import Cluster, ClusterFacts, Document, Export, Fact, Host, Mesh
from workers.documents.reading import Invalid, line_of, read
from workers.documents.shape import Fault
from workers.documents.trust import (
    CertificateRequest,
    ClusterStep,
    Intermediate,
    PkiDocument,
    Root,
    SealingCertificate,
    Trust,
)
from workers.documents.trust_agreement import trust_faults

BlobId = NewType("BlobId", str)
Problem = reading.Problem

Changes = Mapping[str, bytes | None]
"""New content by path; None removes the file."""
FactChanges = Mapping[str, Fact | None]
"""New fact by path; None withdraws it."""


BlobChange = Mapping[str, tuple[BlobId | None, BlobId | None]]
"""Old and new blob by path, sorted by path: a change, however it was committed."""
RejectedFacts = frozenset[tuple[str, BlobId | None]]
"""Facts (path, blob; None: that it is withdrawn) that people refused."""


def change_digest(change: BlobChange) -> str:
    """The identity of a change, 40 hexadecimal digits: what `show` prints and `approve` wants to see again."""
    lines = "".join(f"{path} {old or '-'} {new or '-'}\n" for path, (old, new) in sorted(change.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:40]


def blob_id(data: bytes) -> BlobId:
    """The name that Git gives to a file of these bytes (SHA-1 object format)."""
    return BlobId(hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest())


class Files(Protocol):
    """A tree of files: a commit, or a folder."""

    def blob(self, path: str) -> BlobId | None:
        """The blob at a path; None where there is no file."""
        ...

    def read(self, path: str) -> bytes:
        """The content. Raises KeyError where there is no file."""
        ...

    def under(self, prefix: str) -> Iterator[tuple[str, BlobId]]:
        """All files below a folder (`facts/`, or `` for all), sorted by path."""
        ...

    def since(self, older: Files, prefix: str) -> BlobChange | None:
        """What differs from an older tree below a folder; None: only reading both can tell."""
        ...


class FilesInMemory:
    """`Files` from a dict; what a plain folder is read into."""

    def __init__(self, content: Mapping[str, bytes]) -> None:
        self.content = dict(sorted(content.items()))

    def blob(self, path: str) -> BlobId | None:
        data = self.content.get(path)
        return None if data is None else blob_id(data)

    def read(self, path: str) -> bytes:
        return self.content[path]

    def under(self, prefix: str) -> Iterator[tuple[str, BlobId]]:
        return ((path, blob_id(data)) for path, data in self.content.items() if path.startswith(prefix))

    def since(self, older: Files, prefix: str) -> BlobChange:
        return compared(older, self, prefix)


def compared(old: Files, new: Files, prefix: str) -> BlobChange:
    """What differs between two trees below a folder, by reading both."""
    before, after = dict(old.under(prefix)), dict(new.under(prefix))
    pairs = ((path, (before.get(path), after.get(path))) for path in sorted(before.keys() | after.keys()))
    return {path: (was, now) for path, (was, now) in pairs if was != now}


def apply(content: Mapping[str, bytes], changes: Changes) -> dict[str, bytes]:
    """The files after the changes."""
    merged = {**content, **changes}
    return {path: data for path, data in sorted(merged.items()) if data is not None}


@dataclass(frozen=True, kw_only=True)
class Pki:
    """The public side of trust. Treated as immutable. By name of the root, else by cluster."""

    roots: Mapping[str, Root] = field(default_factory=dict)
    requests: Mapping[str, CertificateRequest] = field(default_factory=dict)
    intermediates: Mapping[str, Intermediate] = field(default_factory=dict)
    sealing: Mapping[str, SealingCertificate] = field(default_factory=dict)
    trust: Trust | None = None

    @property
    def steps(self) -> Mapping[str, ClusterStep]:
        """What each cluster shall trust and sign under."""
        return self.trust.spec.clusters if self.trust else {}

    def get(self, path: str) -> PkiDocument | None:
        """The document that stands at a path of `pki/`."""
        if path == paths.TRUST:
            return self.trust
        where = paths.place(path)
        assert where is not None, path
        by_name: Mapping[str, PkiDocument] = getattr(self, _FOLDERS[where.kind])
        return by_name.get(where.name)

    def with_changes(self, changes: Mapping[str, PkiDocument | None]) -> Pki:
        """This after some documents changed."""
        folders = {name: dict(getattr(self, name)) for name in _FOLDERS.values()}
        trust = self.trust
        for path, document in changes.items():
            where = paths.place(path)
            assert where is not None, path
            if path == paths.TRUST:
                assert document is None or isinstance(document, Trust)
                trust = document
            else:
                _put(folders[_FOLDERS[where.kind]], where.name, document)
        return Pki(trust=trust, **{name: dict(sorted(found.items())) for name, found in folders.items()})


_FOLDERS = {
    "Root": "roots", "CertificateRequest": "requests", "Intermediate": "intermediates", "SealingCertificate": "sealing"
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is held to be so. Treated as immutable; `with_changes` shares what didn't change."""

    clusters: Mapping[str, ClusterFacts] = field(default_factory=dict)
    exports: Mapping[ServiceKey, Mapping[str, Export]] = field(default_factory=dict)
    """By service, then by exporting cluster; no empty inner mapping."""
    hosts: Mapping[ServiceKey, Host] = field(default_factory=dict)
    pki: Pki = field(default_factory=Pki)

    def get(self, path: str) -> Fact | None:
        """The fact that stands at a path of `facts/` or `pki/`."""
        if path.startswith(paths.PKI):
            return self.pki.get(path)
        where = paths.place(path)
        assert where is not None, path
        match where.kind:
            case "ClusterFacts":
                return self.clusters.get(where.cluster)
            case "Host":
                return self.hosts.get(where.key)
            case _:
                return self.exports.get(where.key, {}).get(where.cluster)

    def with_changes(self, changes: FactChanges) -> Facts:
        """These facts after some changed; those that didn't stay the same objects."""
        if not changes:
            return self
        pki = {path: fact for path, fact in changes.items() if path.startswith(paths.PKI)}
        if len(pki) == len(changes):
            return replace(self, pki=self.pki.with_changes(pki))  # type: ignore[arg-type]
        clusters, exports, hosts = dict(self.clusters), dict(self.exports), dict(self.hosts)
        for path, fact in changes.items():
            if path in pki:
                continue
            where = paths.place(path)
            assert where is not None, path
            match where.kind:
                case "ClusterFacts":
                    _put(clusters, where.cluster, fact)
                case "Host":
                    _put(hosts, where.key, fact)
                case _:
                    inner = dict(exports.get(where.key, {}))
                    _put(inner, where.cluster, fact)
                    _put(exports, where.key, dict(sorted(inner.items())) or None)
        after = self.pki.with_changes(pki) if pki else self.pki  # type: ignore[arg-type]
        return Facts(clusters=clusters, exports=exports, hosts=hosts, pki=after)


def _put(mapping: dict[Any, Any], key: object, value: object) -> None:
    if value is None:
        mapping.pop(key, None)
    else:
        mapping[key] = value


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The documents of a mesh: what people want, and the facts."""

    mesh: Mesh
    clusters: Mapping[str, Cluster]
    """By name, sorted."""
    facts: Facts = Facts()

    def with_facts(self, facts: Facts) -> Tree:
        return replace(self, facts=facts)


def mesh_of(files: Files) -> Mesh | None:
    """The Mesh document alone; None where it can't be read, which `read_tree` tells."""
    if files.blob(paths.MESH) is None:
        return None
    try:
        found = read(paths.MESH, files.read(paths.MESH))
    except Invalid:
        return None
    return found if isinstance(found, Mesh) else None


def read_tree(files: Files, cache: dict[BlobId, Document] | None = None) -> tuple[Tree | None, tuple[Problem, ...]]:
    """All documents of `mesh/`, `facts/` and `pki/`, and what is wrong with them, sorted.

    Any problem in `mesh/`: no tree, because nothing may be planned on half a mesh; but orders of trust (`spec.trust`)
    that name what isn't there stop nothing but trust. A file of the robot's that can't be read is left out of the tree.
    `cache`: documents by blob from earlier trees; those read now are added.
    """
    cache = {} if cache is None else cache
    documents: dict[str, Document] = {}
    problems: list[Problem] = []
    for path, blob in (*files.under("mesh/"), *files.under(paths.FACTS), *files.under(paths.PKI)):
        if not path.endswith((".yaml", ".yml", ".json")):
            continue  # README.md, .gitkeep
        known = cache.get(blob)
        try:
            # Two paths may hold one blob; the document in it can stand at only one of them.
            if known is None or paths.path_of(known) != path:
                known = cache[blob] = read(path, files.read(path))
            documents[path] = known
        except Invalid as error:
            problems.extend(error.problems)
    stops = any(not problem.path.startswith(paths.ROBOTS) for problem in problems)
    tree, faults = _agreed(documents, {problem.path for problem in problems})
    problems.extend(_located(files, fault) for fault in faults)
    stops |= any(not path.startswith(paths.ROBOTS) and fault.where[:2] != _TRUST for path, fault in faults)
    return (None if stops else tree), tuple(sorted(problems))


_TRUST = ("spec", "trust")


def _agreed(documents: Mapping[str, Document], unread: set[str]) -> tuple[Tree | None, list[Disagreement]]:
    """The tree of the documents, and where they disagree. What can't be read isn't also told to be missing."""
    mesh = documents.get(paths.MESH)
    clusters = {document.name: document for document in documents.values() if isinstance(document, Cluster)}
    facts = _facts(documents.values())
    found = [*cluster_faults(clusters), *missing_clusters(clusters, facts.clusters, facts.exports)]
    tree = None
    if isinstance(mesh, Mesh):
        tree = Tree(mesh=mesh, clusters=dict(sorted(clusters.items())), facts=facts)
        found += host_faults(mesh, facts.exports, facts.hosts)
        if not any(path.startswith((paths.PKI, "mesh/")) for path in unread):
            found += trust_faults(mesh, tree.clusters, facts.pki)
    else:
        found.append(Disagreement(paths.MESH, Fault((), "missing", "`peermesh init` writes a mesh repository.")))
    return tree, [disagreement for disagreement in found if disagreement.path not in unread]


def _facts(documents: Iterable[Document]) -> Facts:
    """Sorted by name, which paths are not: `a-b/` comes before `a/`."""
    clusters: dict[str, ClusterFacts] = {}
    exports: dict[ServiceKey, dict[str, Export]] = {}
    hosts: dict[ServiceKey, Host] = {}
    pki: dict[str, PkiDocument] = {}
    for document in documents:
        match document:
            case ClusterFacts():
                clusters[document.metadata.name] = document
            case Export():
                exports.setdefault(document.key, {})[document.cluster] = document
            case Host():
                hosts[document.key] = document
            case Mesh() | Cluster():
                pass
            case _:
                pki[paths.path_of(document)] = document
    return Facts(
        clusters=dict(sorted(clusters.items())),
        exports={key: dict(sorted(by_cluster.items())) for key, by_cluster in sorted(exports.items())},
        hosts=dict(sorted(hosts.items())),
        pki=Pki().with_changes(pki),
    )


def _located(files: Files, disagreement: Disagreement) -> Problem:
    path, fault = disagreement
    line = line_of(files.read(path), fault.where) if files.blob(path) is not None else 0
    return Problem(path=path, line=line, what=fault.what, remedy=fault.remedy)
