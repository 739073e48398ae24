"""Golden cases: a mesh repository as it is given, and the files that follow from it.

A case is a folder in `golden/`: `given/` with `mesh/` and `facts/`, `expected/` with `clusters/`. Expected files are
written by hand, for reading, and compared by meaning; the digest, which no hand writes, is left out.
`make golden` rewrites those that mean something else than what is rendered; review the difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from syncer.protocol.labels import DIGEST
from workers.documents.writing import dump
from workers.reach import reach
from workers.render import render
from workers.tree import FilesInMemory, Tree, read_tree

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(folder.name for folder in GOLDEN.iterdir())

Objects = dict[str, list[Any]]
"""Objects by path of their file."""


def given(case: str) -> Tree:
    """The tree of a case; it must be read without a problem."""
    tree, problems = read_tree(FilesInMemory(_files(GOLDEN / case / "given")))
    assert tree is not None, problems
    assert problems == ()
    return tree


def expected(case: str) -> Objects:
    """What the files of a case mean."""
    return {path: list(yaml.safe_load_all(data)) for path, data in _files(GOLDEN / case / "expected").items()}


def rendered(tree: Tree) -> Objects:
    """All that is rendered, without digests."""
    files = render(tree, reach(tree))
    return {path: [_undigested(content) for content in file.objects] for path, file in files.items() if file}


def _files(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def _undigested(content: Mapping[str, Any]) -> dict[str, Any]:
    metadata = content["metadata"]
    annotations = {name: value for name, value in metadata["annotations"].items() if name != DIGEST}
    return {**content, "metadata": {**metadata, "annotations": annotations}}


def rewrite(case: str) -> None:
    """Make the expected files mean what is rendered; those that mean it already stay as they are written."""
    old, new = expected(case), rendered(given(case))
    for path in old.keys() | new.keys():
        if old.get(path) == new.get(path):
            continue
        file = GOLDEN / case / "expected" / path
        file.unlink(missing_ok=True)
        if path in new:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(dump(new[path]))
