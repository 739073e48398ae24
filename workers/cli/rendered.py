"""`clusters/` of a tree against what its `mesh/`, `facts/` and `pki/` render to; and trees with a change put in.

Pure: files in, changes out.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from typing import Final

from workers.documents import paths
from workers.documents.reading import Invalid
from workers.reach import reach
from workers.render import render
from workers.tree import BlobChange, BlobId, Changes, Files, Tree, blob_id, compared, read_tree


class FilesWith:
    """`Files` of a tree with changes put in; nothing else is read for it."""

    def __init__(self, files: Files, changes: Changes) -> None:
        self._files = files
        self._changes = dict(sorted(changes.items()))

    def blob(self, path: str) -> BlobId | None:
        """As `Files`."""
        if path not in self._changes:
            return self._files.blob(path)
        data = self._changes[path]
        return None if data is None else blob_id(data)

    def read(self, path: str) -> bytes:
        """As `Files`."""
        if path not in self._changes:
            return self._files.read(path)
        data = self._changes[path]
        if data is None:
            raise KeyError(path)
        return data

    def under(self, prefix: str) -> Iterator[tuple[str, BlobId]]:
        """As `Files`."""
        blobs = {path: blob for path, blob in self._files.under(prefix) if path not in self._changes}
        written = ((path, data) for path, data in self._changes.items() if path.startswith(prefix))
        blobs |= {path: blob_id(data) for path, data in written if data is not None}
        return iter(sorted(blobs.items()))

    def since(self, older: Files, prefix: str) -> BlobChange:
        """As `Files`."""
        return compared(older, self, prefix)


def valid_tree(files: Files) -> Tree:
    """The documents of a tree.

    Raises:
        Invalid: anything is wrong with them, all of it.
    """
    tree, problems = read_tree(files)
    if tree is None or problems:
        raise Invalid(problems)
    return tree


def rendering_changes(files: Files) -> Changes:
    """What must be written and removed so that `clusters/` is the rendering, by path.

    Raises:
        Invalid: the documents aren't valid.
    """
    tree = valid_tree(files)
    wanted = {path: file.data for path, file in render(tree, reach(tree)).items() if file is not None}
    standing = {path: blob for path, blob in files.under(paths.RENDERED) if paths.is_rendered(path)}
    changes: dict[str, bytes | None] = dict.fromkeys(standing.keys() - wanted.keys())
    changes |= {path: data for path, data in wanted.items() if standing.get(path) != blob_id(data)}
    return dict(sorted(changes.items()))


_NOWHERE: Final = "/dev/null"


def diff_lines(files: Files, changes: Changes) -> Iterator[str]:
    """Changes as a unified diff, the way `git diff` names files."""
    for path, data in changes.items():
        old = None if files.blob(path) is None else files.read(path)
        yield from unified_diff(
            _lines(old),
            _lines(data),
            _NOWHERE if old is None else f"a/{path}",
            _NOWHERE if data is None else f"b/{path}",
            lineterm="",
        )


def _lines(data: bytes | None) -> list[str]:
    return [] if data is None else data.decode(errors="replace").splitlines()
