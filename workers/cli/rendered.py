"""`clusters/` of a folder against what its `mesh/` and `facts/` render to.

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
from workers.tree import Changes, Files, Tree, blob_id, read_tree


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
