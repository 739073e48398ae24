"""What a person names with `--repo`: a folder, a bare repository or a URL, and who they are.

Knows where the mesh repository behind each is. A copy that is made on the way lives as long as the `with` block.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from syncer.protocol.errors import Rejected
from workers.folder import no_mesh, read_checkout
from workers.git.address import Address
from workers.git.command import git
from workers.git.repository import GitRepository
from workers.tree import Files

_SECONDS = 10.0


@contextmanager
def open_files(location: str) -> Iterator[Files]:
    """The files of a folder as they lie there (committed or not), or of main of a bare repository or a URL.

    Raises:
        Rejected: a folder that is no mesh repository.
    """
    if is_folder(location):
        yield read_checkout(Path(location))
    else:
        with open_repository(location, author=("peermesh", "peermesh@localhost")) as repository:
            yield repository.fetch().files


@contextmanager
def open_repository(location: str, *, author: tuple[str, str]) -> Iterator[GitRepository]:
    """The repository behind a location with a copy of its own, for a person: `author` may change what people may.

    Raises:
        Rejected: a folder that git knows nothing of.
    """
    if is_folder(location) and not _asked(Path(location), "rev-parse", "--git-dir"):
        raise no_mesh(str(Path(location).resolve()))
    with tempfile.TemporaryDirectory(prefix="peermesh-") as folder:
        yield GitRepository(remote_of(location), copy=Path(folder) / "copy", author=author, people=True, seconds=300.0)


def remote_of(location: str) -> str:
    """Where the robot's branches are: of a work tree its remote `origin`, if it has one, else the location itself."""
    if not is_folder(location):
        return location
    folder = Path(location)
    origin = _asked(folder, "config", "--get", "remote.origin.url")
    if not origin:
        return location
    near = folder / origin
    return str(near) if "://" not in origin and near.exists() else origin


def identity(folder: Path | None = None) -> tuple[str, str]:
    """Name and e-mail of the person, as git knows them (in `folder`, if it is a repository).

    Raises:
        Rejected: git doesn't know.
    """
    found = [_asked(folder, "config", "--get", f"user.{what}") for what in ("name", "email")]
    if not all(found):
        raise Rejected(
            "NoIdentity",
            "git doesn't know who you are, and this is signed with your name",
            remedy='`git config --global user.name "…"` and `git config --global user.email …`',
        )
    return found[0], found[1]


def _asked(folder: Path | None, *args: str) -> str:
    at = ("-C", str(folder)) if folder is not None and folder.is_dir() else ()
    return git(*at, *args, address=Address(url=""), seconds=_SECONDS).stdout.strip()


def is_folder(location: str) -> bool:
    """Whether files lie there, as in a checkout; no for a bare repository and for a URL."""
    folder = Path(location)
    return folder.is_dir() and not all((folder / name).exists() for name in ("HEAD", "objects", "refs"))
