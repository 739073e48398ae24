"""The files of a commit, read where and when they are asked for.

Knows which files to bring together. Knows no documents.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from workers.git.copy import Damaged
from workers.git.objects import Objects, TreeId
from workers.tree import BlobChange, BlobId, Files


class TreeFiles:
    """`workers.tree.Files` of a commit. Raises Transient where the copy is damaged.

    `together`: paths of which all are wanted where one is. A file that isn't here yet is brought with them, or else
    with all that is missing in its uppermost folder, so that reading makes few requests.
    """

    def __init__(self, objects: Objects, root: TreeId, together: Collection[str] = ()) -> None:
        self.root = root
        self.together = together
        self.objects = objects

    def blob(self, path: str) -> BlobId | None:
        with self.objects.copy.mended():
            entry = self.objects.find(self.root, path)
        return entry.blob if entry else None

    def read(self, path: str) -> bytes:
        with self.objects.copy.mended():
            entry = self.objects.find(self.root, path)
            if entry is None or entry.blob is None:
                raise KeyError(path)
            if entry.is_submodule:
                return b"Subproject commit %s\n" % entry.blob.encode()  # as git shows it in a diff
            return self._content(path, entry.blob)

    def under(self, prefix: str) -> Iterator[tuple[str, BlobId]]:
        with self.objects.copy.mended():
            for path, entry in self.objects.walk(self.root, prefix.rstrip("/")):
                yield path, BlobId(entry.id.hex())

    def since(self, older: Files, prefix: str) -> BlobChange | None:
        if not isinstance(older, TreeFiles) or older.objects is not self.objects:
            return None
        try:
            return self.objects.changes(older.root, self.root, prefix.rstrip("/"))
        except Damaged:
            return None  # the copy was made again, without the older tree

    def _content(self, path: str, blob: BlobId) -> bytes:
        data = self.objects.read(blob)
        if data is None:
            top, slash, _ = path.partition("/")
            if path in self.together:
                wanted = self.objects.blobs(self.root, self.together)
            else:
                wanted = self.objects.blobs_under(self.root, top) if slash else iter([blob])
            self.objects.bring(wanted)
            data = self.objects.read(blob)
        if data is None:
            raise Damaged(f"file {blob} didn't come")
        return data
