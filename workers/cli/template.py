"""A new mesh repository: `repo-template/` copied, named, and committed for the first time.

Knows where the template is in a wheel and in a checkout, and the calls of git that a first commit takes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import workers
from syncer.protocol.errors import Rejected
from syncer.protocol.names import is_label
from workers.cli.checkout import run_git

_NAME: Final = b"  name: mesh\n"
_PACKAGE: Final = Path(workers.__file__).parent


def new_repository(folder: Path, *, name: str | None) -> str:
    """The repository of a new mesh in `folder`, on branch main with one commit by whoever git says the caller is.

    Returns the name of the mesh.

    Raises:
        Rejected: the folder isn't empty, a name that is none, git doesn't know who commits.
    """
    mesh = _name(folder, name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Rejected(
            "NotEmpty",
            "not an empty folder",
            subject=str(folder),
            remedy="Name one that doesn't exist, or an empty one.",
        )
    run_git(Path.cwd(), "var", "GIT_COMMITTER_IDENT")
    write_template(folder, mesh)
    run_git(folder, "init", "--quiet", "--initial-branch=main")
    run_git(folder, "add", "--all")
    run_git(folder, "commit", "--quiet", "--message", f"Begin mesh {mesh}")
    return mesh


def write_template(folder: Path, mesh: str) -> None:
    """The files of a new mesh, in a folder that is made if it isn't there."""
    for path, data in _content(mesh).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _name(folder: Path, name: str | None) -> str:
    if name is None:
        last = folder.resolve().name.removesuffix(".git")
        return last if is_label(last) else "mesh"
    if not is_label(name):
        raise Rejected("BadName", f"{name!r} isn't a DNS label", remedy="Take lower-case letters, digits and hyphens.")
    return name


def _content(mesh: str) -> dict[str, bytes]:
    # hatch copies repo-template/ into the wheel under this name (pyproject.toml).
    packed = _PACKAGE / "_repo_template"
    source = packed if packed.is_dir() else _PACKAGE.parent / "repo-template"
    content = {
        path.relative_to(source).as_posix(): path.read_bytes() for path in sorted(source.rglob("*")) if path.is_file()
    }
    content["mesh/mesh.yaml"] = content["mesh/mesh.yaml"].replace(_NAME, b"  name: %s\n" % mesh.encode())
    return content
