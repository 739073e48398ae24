"""The tree: paths <-> documents <-> bytes, the same for a commit and for a plain folder.

Knows which documents make a mesh and which rules hold between them. Knows nothing of Git beyond the name of a blob,
opens no file, and doesn't know what follows from the documents (`reach`, `render`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NewType, Protocol

from syncer.protocol.names import ServiceKey
from workers.documents import paths
from workers.documents.kinds import Cluster, ClusterFacts, Export, Fact, Host, Mesh

BlobId = NewType("BlobId", str)

Changes = Mapping[str, bytes | None]
"""New content by path; None removes the file."""
FactChanges = Mapping[str, Fact | None]
"""New fact by path; None withdraws it."""


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


def apply(content: Mapping[str, bytes], changes: Changes) -> dict[str, bytes]:
    """The files after the changes."""
    merged = {**content, **changes}
    return {path: data for path, data in sorted(merged.items()) if data is not None}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is held to be so. Treated as immutable; `with_changes` shares what didn't change."""

    clusters: Mapping[str, ClusterFacts] = field(default_factory=dict)
    exports: Mapping[ServiceKey, Mapping[str, Export]] = field(default_factory=dict)
    """By service, then by exporting cluster; no empty inner mapping."""
    hosts: Mapping[ServiceKey, Host] = field(default_factory=dict)

    def get(self, path: str) -> Fact | None:
        """The fact that stands at a path of `facts/`."""
        where = paths.place(path)
        assert where is not None, path
        match where.kind:
            case "ClusterFacts":
                return self.clusters.get(where.cluster)
            case "Host":
                return self.hosts.get(_key(where))
            case _:
                return self.exports.get(_key(where), {}).get(where.cluster)

    def with_changes(self, changes: FactChanges) -> Facts:
        """These facts after some changed; those that didn't stay the same objects."""
        if not changes:
            return self
        clusters, exports, hosts = dict(self.clusters), dict(self.exports), dict(self.hosts)
        for path, fact in changes.items():
            where = paths.place(path)
            assert where is not None, path
            match where.kind:
                case "ClusterFacts":
                    _put(clusters, where.cluster, fact)
                case "Host":
                    _put(hosts, _key(where), fact)
                case _:
                    inner = dict(exports.get(_key(where), {}))
                    _put(inner, where.cluster, fact)
                    _put(exports, _key(where), dict(sorted(inner.items())) or None)
        return Facts(clusters=clusters, exports=exports, hosts=hosts)


def _put(mapping: dict[Any, Any], key: object, value: object) -> None:
    if value is None:
        mapping.pop(key, None)
    else:
        mapping[key] = value


def _key(where: paths.Place) -> ServiceKey:
    return ServiceKey(where.namespace, where.name)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The documents of a mesh: what people want, and the facts."""

    mesh: Mesh
    clusters: Mapping[str, Cluster]
    """By name, sorted."""
    facts: Facts = Facts()

    def with_facts(self, facts: Facts) -> Tree:
        return replace(self, facts=facts)


@dataclass(frozen=True, kw_only=True, order=True)
class Problem:
    """What is wrong with a file, where, and what to do; printed as one line."""

    path: str
    line: int
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.what}" + (f". {self.remedy}" if self.remedy else "")
