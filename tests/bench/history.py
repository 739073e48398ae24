"""A repository that has been used for years: ten thousand commits more, each a change of one service.

Every second one undoes the one before, so that the newest tree stays what it is. The newest change the import of
their service in all clusters, the others in a few: nobody fetches those but the baseline, which is the better for it.
Written by `git fast-import`, for a worker would take an hour; knows its stream (git-fast-import(1)).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pygit2

from tests.bench.world import World, git, making
from workers.documents import paths
from workers.git.copy import DEPTH

_COMMITS: Final = 10_000
_WIDE: Final = 2 * DEPTH
"""So many of the newest: more than a worker fetches."""
_FEW: Final = 3
_SPACING: Final = 3600
"""Seconds between two commits: ten thousand are a year."""


def commits_of(world: World) -> int:
    """How many there are, beside the few of the world."""
    return 200 if world.quick else _COMMITS


def aged(world: World) -> Path:
    """The mesh of the world with that history, as a bare repository of its own."""
    old, commits = world.folder / "aged.git", commits_of(world)
    git("clone", "--quiet", "--bare", str(world.remote), str(old), within=world.folder)
    for name in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        git("config", name, "true", within=old)
    with making(f"{commits:,} commits of history"):
        command = ["git", "-C", str(old), "fast-import", "--quiet"]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as importing:
            assert importing.stdin is not None
            importing.stdin.writelines(_stream(pygit2.Repository(str(old)), commits))
        if importing.returncode:
            raise RuntimeError("git fast-import failed")
    return old


def _stream(repo: pygit2.Repository, commits: int) -> Iterator[bytes]:
    main = repo.references[paths.MAIN].peel(pygit2.Commit)
    services = _services(main.tree)
    for number in range(commits):
        blobs = services[number // 2 % len(services)]
        marks = {blob: f":{place}" for place, blob in enumerate(blobs, 1)}
        changes = number % 2 == 0
        if changes:
            for blob, mark in marks.items():
                yield b"blob\nmark %s\n" % mark.encode() + _data(
                    repo[blob].peel(pygit2.Blob).data + b"# changed by %d\n" % number
                )
        when = main.commit_time + _SPACING * (number + 1)
        yield f"commit {paths.MAIN}\ncommitter peermesh <peermesh@localhost.invalid> {when} +0000\n".encode()
        yield _data(b"Change number %d\n" % number)
        if number == 0:
            yield f"from {main.id}\n".encode()
        lines = [
            f"M 100644 {marks[blob] if changes else blob} {place}\n"
            for blob, places in blobs.items()
            for place in places
        ]
        yield "".join(lines if number >= commits - _WIDE else lines[:_FEW]).encode()


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)


def _services(tree: pygit2.Tree) -> list[dict[str, list[str]]]:
    """The imports of every service in all clusters: paths by blob."""
    found: dict[str, dict[str, list[str]]] = {}
    clusters = tree["clusters"]
    for cluster in clusters:
        for namespace in cluster["imports"]:
            for file in namespace if isinstance(namespace, pygit2.Tree) else ():
                place = f"{namespace.name}/{file.name}"
                path = f"clusters/{cluster.name}/imports/{place}"
                found.setdefault(place, {}).setdefault(str(file.id), []).append(path)
    return [found[place] for place in sorted(found)]
