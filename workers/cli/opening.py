"""What `--repo` and `--redis-url` lead to: the files to plan on, the remote with its proposals, what Redis has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from syncer.protocol.errors import PeermeshError, Rejected
from syncer.protocol.observation import Observation, unpack
from syncer.protocol.secret import Secret
from workers.cli.screen import warn
from workers.documents import paths
from workers.documents.reading import Invalid
from workers.folder import no_mesh
from workers.git import GitRepository
from workers.git.opening import identity, is_folder, open_repository, remote_of
from workers.inbox import RedisInbox
from workers.outside import Remote
from workers.status import Heard, OpenProposal, proposals_of
from workers.tree import Files, Tree, read_tree

NOBODY: Final = ("peermesh", "peermesh@localhost.invalid")
"""Reading makes no commit."""


@contextmanager
def open_remote(repo: str) -> Iterator[Remote]:
    """What stands on the remote now.

    Raises:
        Rejected: no mesh is there.
    """
    with open_repository(repo, author=NOBODY) as repository:
        yield fetched(repository, repo)


@contextmanager
def as_person(repo: str) -> Iterator[GitRepository]:
    """The repository, to be written by whoever calls, with their credentials and in their name.

    Raises:
        Rejected: git doesn't know who they are.
    """
    author = identity(Path(repo) if is_folder(repo) else None)
    with open_repository(repo, author=author) as repository:
        yield repository


def fetched(repository: GitRepository, repo: str) -> Remote:
    """What stands on the remote. Git finds a repository above any folder, and that may be one of something else.

    Raises:
        Rejected: no mesh is on its main.
    """
    remote = repository.fetch()
    if remote.files.blob(paths.MESH) is None:
        raise no_mesh(f"main of {remote_of(repo)}")
    return remote


def readable_tree(files: Files) -> Tree:
    """The documents of a tree, for looking at: facts that can't be read are told and left out.

    Raises:
        Invalid: something in `mesh/` is wrong.
    """
    tree, problems = read_tree(files)
    if tree is None:
        raise Invalid(problems)
    for problem in problems:
        warn(str(problem))
    return tree


def proposal_on(remote: Remote, branch: str) -> OpenProposal:
    """The open proposal of a branch. Raises Rejected."""
    found = {proposal.branch: proposal for proposal in proposals_of(remote)}
    if branch not in found:
        known = ", ".join(found) or "none"
        raise Rejected("NoBranch", "no such proposal is open", subject=branch, remedy=f"Open are: {known}.")
    return found[branch]


def heard(redis_url: str | None) -> Heard | None:
    """What Redis has; None if none is named or it doesn't answer, which is said."""
    if redis_url is None:
        return None
    inbox = RedisInbox(Secret(redis_url))
    try:
        return Heard(observations=_newest(inbox), refusals=inbox.refusals(), said=inbox.said())
    except PeermeshError as error:
        warn(str(error))
        return None
    finally:
        inbox.close()


def newest_observations(redis_url: str) -> dict[str, Observation]:
    """The newest observation of every cluster, as the border kept it."""
    inbox = RedisInbox(Secret(redis_url))
    try:
        return _newest(inbox)
    finally:
        inbox.close()


def _newest(inbox: RedisInbox) -> dict[str, Observation]:
    return {cluster: unpack(kept.packed) for cluster, kept in inbox.newest().items()}
