"""Looks at everything that a person named, and has it judged: one report for each cluster, the forge, the centre."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from syncer.protocol.errors import Rejected
from workers.cli.doctor.clusters import Ways, look_at_cluster
from workers.cli.doctor.forges import look_at_forge, look_at_git
from workers.cli.doctor.redis import look_at_redis, look_at_turns
from workers.cli.opening import heard, readable_tree
from workers.doctor import Report, center, cluster, examine, forge, git_server
from workers.git.opening import open_files, remote_of
from workers.reach import reach
from workers.tree import Files

_AT_ONCE: Final = 8


class Looking:
    """A mesh repository, opened once."""

    def __init__(self, repo: str, redis_url: str | None, files: Files) -> None:
        self._repo = repo
        self._redis_url = redis_url
        self._files = files
        self._tree = readable_tree(files)
        self._reach = reach(self._tree)

    def cluster(self, name: str, ways: Ways) -> Report:
        """One cluster. Raises Rejected: main doesn't have it, or nobody may call the service of `ways` there."""
        self._known([name])
        return self._cluster(name, self._with_redis(ways))

    def clusters(self, ways: Ways) -> list[Report]:
        """Every cluster of the mesh, several at once. Raises Rejected: main doesn't have one that `ways` names."""
        self._known(ways.contexts)
        ways = self._with_redis(ways)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(lambda name: self._cluster(name, ways), self._tree.clusters))

    def forge(self, token_file: Path | None, robot: str) -> Report:
        """The forge that `spec.approval.forge` names."""
        approval = self._tree.mesh.spec.approval
        about = f"forge {approval.forge.type}"
        if approval.forge.type == "git":
            return examine(about, git_server.CHECKS, look_at_git(self._tree, self._files, remote_of(self._repo)))
        seen = look_at_forge(self._tree, self._files, token_file=token_file, robot=robot)
        return examine(f"{about} {approval.forge.url} {approval.forge.repository}", forge.CHECKS, seen)

    def center(self, metrics: Iterable[str]) -> Report:
        """Redis, and the processes around it."""
        clusters = self._tree.clusters
        seen = center.CenterSeen(
            now=datetime.now(UTC),
            redis=look_at_redis(self._redis_url, clusters) if self._redis_url else None,
            trusted=tuple(name for name, one in clusters.items() if one.spec.syncer.public_keys),
            turns=look_at_turns(metrics) if metrics else None,
        )
        return examine("center", center.CHECKS, seen)

    def _cluster(self, name: str, ways: Ways) -> Report:
        seen = look_at_cluster(self._tree, self._reach, self._tree.clusters[name], ways)
        return examine(f"cluster {name}", cluster.CHECKS, seen)

    def _with_redis(self, ways: Ways) -> Ways:
        found = heard(self._redis_url)
        return ways if found is None else replace(ways, observations=found.observations, refusals=found.refusals)

    def _known(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._tree.clusters:
                remedy = f"There are: {', '.join(self._tree.clusters) or 'none yet'}."
                raise Rejected("UnknownCluster", "no such cluster", subject=name, remedy=remedy)


@contextmanager
def looking_at(repo: str, redis_url: str | None) -> Iterator[Looking]:
    """Open what `--repo` names. Raises Rejected, Transient, HumanNeeded: it can't be read."""
    with open_files(repo) as files:
        yield Looking(repo, redis_url, files)
