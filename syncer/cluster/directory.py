"""A cluster as a directory of manifests: for the demo, for tests and for sites without access to an API server.

Knows files, links and how a change is noticed. Reads all of them or nothing: a file that can't be read makes the whole
reading incomplete, because what would be missing could not be told from what was taken away.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import watchfiles

from syncer.cluster import ClusterState
from syncer.cluster.manifests import Manifest, manifests
from syncer.protocol.errors import HumanNeeded, Rejected

SUFFIXES: Final = (".yaml", ".yml", ".json")
MAX_BYTES: Final = 8 << 20
"""Bytes of one file; the largest manifests in use, bundles of CRDs, have about two million."""
_TICK: Final = 500
"""Milliseconds between two looks at whether the directory is still the same one."""


class DirectoryReader:
    """A `Reader`. `namespace` is for objects that name none."""

    def __init__(self, path: Path, namespace: str = "default") -> None:
        self._path = path
        self._namespace = namespace

    def read(self) -> ClusterState:
        return read(self._path, self._namespace)

    def refresh(self) -> None:
        """Nothing is kept between two readings."""

    def changes(self, stop: threading.Event) -> Iterator[None]:
        """Any change below the directory; also when it is removed and made again, or a link to it leads elsewhere."""
        while not stop.is_set():
            identity = _identity(self._path)
            if identity is None:
                stop.wait(_TICK / 1000)
                continue
            yield from self._changes_of(identity, stop)

    def _changes_of(self, identity: tuple[int, int], stop: threading.Event) -> Iterator[None]:
        """Changes until the directory isn't the same one any more; the first is that it is watched."""
        batches = watchfiles.watch(
            self._path,
            watch_filter=None,
            stop_event=stop,
            rust_timeout=_TICK,
            yield_on_timeout=True,
            raise_interrupt=False,
        )
        watching = False
        try:
            for batch in batches:
                if batch or not watching:
                    yield
                watching = True
                if _identity(self._path) != identity:
                    yield
                    return
        except FileNotFoundError:
            return
        except (OSError, RuntimeError) as error:
            raise HumanNeeded(
                "Unwatchable",
                f"changes can't be watched: {error}",
                subject=str(self._path),
                remedy="Raise fs.inotify.max_user_watches, or set WATCHFILES_FORCE_POLLING=1.",
            ) from error


def read(directory: Path, namespace: str = "default") -> ClusterState:
    """The state that the manifests below `directory` describe.

    Raises:
        Rejected: no directory, no manifest in it, a file that can't be read, the same object twice.
    """
    found: dict[tuple[str, str, str], Manifest] = {}
    state: dict[str, Any] = {}
    files = 0
    for path in _files(directory):
        files += 1
        for manifest in manifests(str(path), _content(path), namespace):
            first = found.setdefault((manifest.kind, manifest.namespace, manifest.name), manifest)
            if first is not manifest:
                what = f"{manifest.kind} {manifest.namespace}/{manifest.name} stands also in {first.where()}"
                raise Rejected("BadManifest", what, subject=manifest.where(), remedy="Keep one of the two.")
            state.setdefault(manifest.field, []).append(manifest.value)
    if not files:
        remedy = "If this cluster is to export nothing, leave one manifest in it, for example its Namespace."
        what = "no manifests, which isn't taken for `nothing`"
        raise Rejected("NoManifests", what, subject=str(directory), remedy=remedy)
    return ClusterState(**{field: tuple(values) for field, values in state.items()})  # type: ignore[arg-type]


def _files(directory: Path) -> Iterator[Path]:
    """Every manifest once, in order of its path.

    Links are followed, hidden names left out: a mounted ConfigMap is links into a hidden `..data`.
    """
    if not directory.is_dir():
        raise Rejected("NoManifests", "no such directory", subject=str(directory), remedy="Name one, or mount it.")
    seen = {_identity(directory)}

    def is_new(path: Path) -> bool:
        """Not hidden, and not reached by another way before. A link to nothing is new: reading it says so."""
        if path.name.startswith("."):
            return False
        identity = _identity(path)
        known = identity is not None and identity in seen
        seen.add(identity)
        return not known

    for folder, folders, names in os.walk(directory, followlinks=True, onerror=_raise):
        folders[:] = [name for name in sorted(folders) if is_new(Path(folder, name))]
        paths = (Path(folder, name) for name in sorted(names))
        yield from (path for path in paths if (path.suffix in SUFFIXES or _leads_nowhere(path)) and is_new(path))


def _leads_nowhere(path: Path) -> bool:
    """A link to a missing directory counts as a file for `os.walk`."""
    return path.is_symlink() and not path.exists()


def _content(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise Rejected("BadManifest", "not a file", subject=str(path), remedy="Remove it, or rename it.")
        if status.st_size > MAX_BYTES:
            what = f"{status.st_size} bytes; a manifest has at most {MAX_BYTES}"
            remedy = "Split it, or take out what isn't a manifest."
            raise Rejected("BadManifest", what, subject=str(path), remedy=remedy)
        return path.read_bytes()
    except OSError as error:
        _raise(error)


def _raise(error: OSError) -> NoReturn:
    remedy = "Make it readable, or remove it; a link must lead somewhere."
    what = f"can't be read: {error.strerror}"
    raise Rejected("BadManifest", what, subject=str(error.filename), remedy=remedy) from error


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of what a path leads to; None for nothing."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
