"""Git's objects as values: trees as dicts, in which files are found, walked, compared and replaced.

Knows the bytes of objects and of a pack (gitformat-pack(5)). Knows no refs and no history. A tree that was read once is
kept: trees that two commits share are read once for both. What is written waits until all of it is stored as one pack:
as files of their own, 400 objects take half a second, and a busy flush makes 10,000.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from workers.git.copy import Copy, damage
from workers.outside import CommitId
from workers.tree import BlobChange, BlobId

TreeId = bytes

_ENTRY: Final = re.compile(rb"(\d+) ([^\0]+)\0(.{20})", re.DOTALL)
_FILE: Final = b"100644"
_PROGRAM: Final = b"100755"
_FOLDER: Final = b"40000"
_SUBMODULE: Final = b"160000"
_KINDS: Final = {"commit": 1, "tree": 2, "blob": 3}
"""Object types in a pack."""
_TREES_KEPT: Final = 20_000
"""A mesh of 100 clusters with 20 namespaces has about 2,300 trees; a commit brings at most 300 new ones."""


class Entry(NamedTuple):
    """What a name in a tree leads to."""

    mode: bytes
    id: bytes

    @property
    def tree(self) -> TreeId | None:
        """The folder that it leads to."""
        return self.id if self.mode == _FOLDER and self.id else None

    @property
    def blob(self) -> BlobId | None:
        """The file that it leads to; links count as files, and so do submodules (with the id of their commit)."""
        return None if self.mode == _FOLDER else BlobId(self.id.hex())

    @property
    def is_submodule(self) -> bool:
        """Whether there is no file behind it that could be read."""
        return self.mode == _SUBMODULE


@dataclass(kw_only=True)
class Edit:
    """What becomes of a name in a folder: of the file there, and of what is below it."""

    file: BlobId | None = None
    removes: bool = False
    inner: dict[str, Edit] = field(default_factory=dict)


def edits(blobs: Mapping[str, BlobId | None]) -> dict[str, Edit]:
    """Changed files by path (None: removed) as nested folders."""
    root = Edit()
    for path, blob in blobs.items():
        edit = root
        for name in path.split("/"):
            edit = edit.inner.setdefault(name, Edit())
        edit.file, edit.removes = blob, blob is None
    return root.inner


class Objects:
    """The objects of a copy. Raises Damaged where one can't be read or written."""

    def __init__(self, copy: Copy) -> None:
        self.copy = copy
        self.entries = lru_cache(maxsize=_TREES_KEPT)(self._entries)
        self._written: dict[str, tuple[str, bytes]] = {}

    def tree_of(self, commit: CommitId) -> TreeId:
        """The root of the tree of a commit."""
        return bytes.fromhex(self._read(commit).partition(b"\n")[0].removeprefix(b"tree ").decode())

    def find(self, root: TreeId, path: str) -> Entry | None:
        """What a path leads to."""
        folder, _, name = path.rpartition("/")
        tree = self._folder(root, folder)
        return None if tree is None else self.entries(tree).get(name.encode())

    def blobs(self, root: TreeId, paths: Iterable[str]) -> Iterator[BlobId]:
        """The files that these paths lead to, as far as there are any: no folder, no submodule."""
        for path in paths:
            entry = self.find(root, path)
            if entry and entry.blob and not entry.is_submodule:
                yield entry.blob

    def blobs_under(self, root: TreeId, folder: str) -> Iterator[BlobId]:
        """All files below a folder."""
        for _, entry in self.walk(root, folder):
            if not entry.is_submodule:
                yield BlobId(entry.id.hex())

    def walk(self, root: TreeId, folder: str) -> Iterator[tuple[str, Entry]]:
        """All below a folder (`` for all) that isn't a folder itself, sorted by path."""
        tree = self._folder(root, folder)
        if tree is not None:
            yield from self._walk(tree, f"{folder}/" if folder else "")

    def changes(self, old: TreeId, new: TreeId, folder: str = "") -> BlobChange:
        """What differs between two trees below a folder (`` for all); equal subtrees aren't read."""
        before, after = (self._folder(root, folder) for root in (old, new))
        found = dict(self._differences(before, after, f"{folder}/" if folder else ""))
        return dict(sorted(found.items()))

    def replaced(self, root: TreeId | None, blobs: Mapping[str, BlobId | None]) -> TreeId:
        """A tree with these files replaced, added or (None) removed; all else is carried over as it is.

        A file in the place of a folder that is needed goes, and the other way round.
        """
        return self._replaced(root, edits(blobs)) or bytes.fromhex(self._write("tree", b""))

    def commit(
        self, tree: TreeId, parents: Iterable[CommitId], message: str, *, author: tuple[str, str], when: datetime
    ) -> CommitId:
        """A commit; the same arguments give the same id. Both time stamps are `when`, in UTC."""
        assert when.tzinfo is not None, when
        name, email = ("".join(char for char in part if char not in "<>\n\0").strip() for part in author)
        who = f"{name} <{email}> {int(when.timestamp())} +0000"
        head = [f"tree {tree.hex()}", *(f"parent {parent}" for parent in parents), f"author {who}", f"committer {who}"]
        return CommitId(self._write("commit", "\n".join([*head, "", message]).encode()))

    def file(self, data: bytes) -> BlobId:
        """A file; its blob."""
        return BlobId(self._write("blob", data))

    def read(self, blob: BlobId) -> bytes | None:
        """The content of a file; None: it isn't here."""
        if blob in self._written:
            return self._written[blob][1]
        with damage():
            repo = self.copy.repo
            return bytes(repo.read(blob)[1]) if blob in repo.odb else None

    def bring(self, blobs: Iterable[BlobId]) -> None:
        """Bring those of these files that aren't here yet, in one request."""
        self.copy.bring(blob for blob in blobs if blob not in self._written)

    def store(self) -> None:
        """Put into the copy what was written since the last time."""
        if self._written:
            self.copy.unpack(_pack(self._written.values()))
            self._written.clear()

    def _write(self, kind: str, data: bytes) -> str:
        name = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)) + data, usedforsecurity=False).hexdigest()
        self._written[name] = (kind, data)
        return name

    def _read(self, name: str) -> bytes:
        if name in self._written:
            return self._written[name][1]
        with damage():
            return bytes(self.copy.repo.read(name)[1])

    def _entries(self, tree: TreeId) -> Mapping[bytes, Entry]:
        return {name: Entry(mode, target) for mode, name, target in _ENTRY.findall(self._read(tree.hex()))}

    def _folder(self, root: TreeId, folder: str) -> TreeId | None:
        tree: TreeId | None = root
        for name in folder.encode().split(b"/") if folder else ():
            entry = self.entries(tree).get(name) if tree is not None else None
            tree = entry.tree if entry else None
        return tree

    def _walk(self, tree: TreeId, prefix: str) -> Iterator[tuple[str, Entry]]:
        for name, entry in self.entries(tree).items():
            path = prefix + _text(name)
            if entry.mode == _FOLDER:
                yield from self._walk(entry.id, path + "/")
            else:
                yield path, entry

    def _differences(
        self, old: TreeId | None, new: TreeId | None, prefix: str
    ) -> Iterator[tuple[str, tuple[BlobId | None, BlobId | None]]]:
        before, after = (self.entries(tree) if tree else _NO_ENTRIES for tree in (old, new))
        for name in before.keys() | after.keys():
            was, now = before.get(name, _NOTHING), after.get(name, _NOTHING)
            if was == now:
                continue
            path = prefix + _text(name)
            if was.tree != now.tree:
                yield from self._differences(was.tree, now.tree, path + "/")
            if was.blob != now.blob:
                yield path, (was.blob, now.blob)

    def _replaced(self, tree: TreeId | None, changed: Mapping[str, Edit]) -> TreeId | None:
        entries = dict(self.entries(tree)) if tree else {}
        for name, edit in changed.items():
            old = entries.pop(name.encode(), _NOTHING)
            inner = self._replaced(old.tree, edit.inner) if edit.inner else old.tree
            if edit.file:
                new = Entry(_PROGRAM if old.mode == _PROGRAM else _FILE, bytes.fromhex(edit.file))
            elif inner:
                new = Entry(_FOLDER, inner)
            elif old.blob and not edit.removes:
                new = old
            else:
                continue
            entries[name.encode()] = new
        return bytes.fromhex(self._write("tree", _tree_bytes(entries))) if entries else None


_NOTHING: Final = Entry(_FOLDER, b"")
"""What a name that isn't there leads to: neither a file nor a tree."""
_NO_ENTRIES: Final[Mapping[bytes, Entry]] = {}


def _text(name: bytes) -> str:
    """Names that aren't UTF-8 are shown; no document can have one."""
    return name.decode(errors="backslashreplace")


def _tree_bytes(entries: Mapping[bytes, Entry]) -> bytes:
    """Sorted as if the names of folders ended in a slash, as git wants it."""
    ordered = sorted(entries.items(), key=lambda item: item[0] + b"/" if item[1].mode == _FOLDER else item[0])
    return b"".join(b"%s %s\0%s" % (entry.mode, name, entry.id) for name, entry in ordered)


def _pack(objects: Collection[tuple[str, bytes]]) -> bytes:
    """A pack of whole objects (gitformat-pack(5), pack-*.pack files)."""
    parts = [b"PACK", struct.pack(">II", 2, len(objects))]
    for kind, data in objects:
        parts += [_pack_head(_KINDS[kind], len(data)), zlib.compress(data, 1)]
    body = b"".join(parts)
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def _pack_head(kind: int, size: int) -> bytes:
    """Kind and size: four bits of the size beside the kind, then seven in each byte that has its highest bit set."""
    head = bytearray([kind << 4 | size & 15])
    size >>= 4
    while size:
        head[-1] |= 0x80
        head.append(size & 0x7F)
        size >>= 7
    return bytes(head)
