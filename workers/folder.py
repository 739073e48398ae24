"""A plain folder as a tree of files, and changes written into one.

Knows what of a folder belongs to the tree: every regular file, but nothing of Git's own. Of documents it knows where
the one lies that every mesh has.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from syncer.protocol.errors import Rejected
from workers.documents.paths import MESH
from workers.tree import Changes, FilesInMemory


def read_folder(folder: Path) -> FilesInMemory:
    """All files below `folder`.

    Raises:
        Rejected: no such folder, or a symbolic link in it: what it leads to isn't under review.
    """
    if not folder.is_dir():
        raise Rejected("NoFolder", "no such folder", subject=str(folder))
    return FilesInMemory({path.relative_to(folder).as_posix(): path.read_bytes() for path in _files(folder)})


def read_checkout(folder: Path) -> FilesInMemory:
    """All files of a mesh repository; somebody's home, named by mistake, isn't read.

    Raises:
        Rejected: as `no_mesh` and `read_folder`.
    """
    if not (folder / MESH).is_file():
        raise no_mesh(str(folder.resolve()))
    return read_folder(folder)


def no_mesh(where: str) -> Rejected:
    """What is said of a place that is no mesh repository."""
    what = f"this is no mesh repository, for {MESH} is missing"
    return Rejected("NoMesh", what, subject=where, remedy="`--repo` names one, and `peermesh init` begins one.")


def _files(folder: Path) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name == ".git":
            continue
        if entry.is_symlink():
            remedy = "Put a file in its place."
            raise Rejected("SymbolicLink", "a symbolic link in a mesh repository", subject=entry.path, remedy=remedy)
        if entry.is_dir():
            yield from _files(Path(entry.path))
        elif entry.is_file():
            yield Path(entry.path)


def write_folder(folder: Path, changes: Changes) -> None:
    """Write, and remove (None), files below `folder`, which is made if it isn't there; emptied folders go.

    Raises:
        Rejected: a path would lead through a symbolic link.
        ValueError: a path that leads out of the folder, or into `.git`.
    """
    for path, data in sorted(changes.items()):
        parts = path.split("/")
        if not {"", ".", "..", ".git"}.isdisjoint(parts):
            raise ValueError(f"{path!r} isn't a path within a mesh repository")
        target = folder.joinpath(*parts)
        _refuse_links(folder, target)
        if data is None:
            _remove(folder, target)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


def _refuse_links(folder: Path, target: Path) -> None:
    for step in (target, *target.parents):
        if step == folder:
            return
        if step.is_symlink():
            remedy = "Put a folder or a file in its place."
            raise Rejected("SymbolicLink", "a symbolic link in a mesh repository", subject=str(step), remedy=remedy)


def _remove(folder: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    for parent in target.parents:
        if parent == folder:
            return
        with suppress(FileNotFoundError):
            try:
                parent.rmdir()
            except OSError:
                return  # not empty
