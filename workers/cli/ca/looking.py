"""What `ca status` and `ca verify` look at: main, open proposals, and what Redis has if it is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from syncer.protocol.errors import PeermeshError, Rejected
from syncer.protocol.secret import Secret
from workers.cli.opening import NOBODY, fetched, readable_tree
from workers.cli.screen import warn
from workers.documents import paths
from workers.documents.kinds import Document
from workers.documents.reading import read
from workers.git.opening import open_repository
from workers.inbox import RedisInbox
from workers.outside import Remote
from workers.pki.past import Moment, Past, past_of
from workers.pki.proposing import Lasting
from workers.pki.step import Next, Seen, next_step
from workers.rotate import AT_REST, seen_in
from workers.tree import Tree
from workers.trust import Pair, TrustStatus, pairs, trust_status


def looked(repo: str, redis_url: str | None, now: datetime) -> tuple[TrustStatus, tuple[Pair, ...]]:
    """How certificates stand, and whether pairs of clusters accept each other."""
    with open_repository(repo, author=NOBODY) as repository:
        remote = fetched(repository, repo)
        tree = readable_tree(remote.files)
        past = past_of(tree, map(_moment, repository.past(paths.PKI.rstrip("/"))))
        seen = _seen(tree, redis_url)
        found = next_step(tree, replace(seen or Seen(), earlier=past.earlier), now)
        waiting, lasting = waits(remote, tree, found, asked=seen is not None), lasts(remote, tree, found, past, now)
    observed = seen.observed if seen else {}
    phases = {name: phase.name for name, phase in found.phases.items()}
    status = trust_status(tree, now, observed=observed, phases=phases, waiting=waiting, lasting=lasting, past=past)
    return status, pairs(tree, now, observed)


def _moment(changed: tuple[datetime, Mapping[str, bytes | None]]) -> Moment:
    time, before = changed
    return Moment(time=time, before={path: _document(path, data) for path, data in before.items()})


def _document(path: str, data: bytes | None) -> Document | None:
    if data is None:
        return None
    try:
        return read(path, data)
    except Rejected:
        return None  # it isn't there any more, so nobody needs to mend it


def waits(remote: Remote, tree: Tree, found: Next, *, asked: bool) -> dict[str, str]:
    """What each cluster waits for, `*`: all of them. Unless Redis was `asked`, what isn't seen there says nothing."""
    said = {name: [text] for name, text in found.waiting.items()} if asked else {}
    for branch, name in _branches(tree).items():
        if branch in remote.branches:
            said.setdefault(name, []).insert(0, f"for somebody to merge {branch}.")
    return {name: " ".join(texts) for name, texts in said.items()}


def lasts(remote: Remote, tree: Tree, found: Next, past: Past, now: datetime) -> dict[str, tuple[Lasting, ...]]:
    """Since when each cluster that is on its way is where it is, `*`: all of them, newest last.

    From main, its branches, and what the last flush remembered in Redis: to look changes nothing of it.
    """
    said: dict[str, list[Lasting]] = {}
    for name, phase in found.phases.items():
        said[name] = list(phase.lasting)
        if phase.name not in AT_REST and name in past.moved:
            said[name].append(Lasting(what="its last step is on main", since=past.moved[name]))
        if phase.name not in AT_REST and phase.renews is not None and phase.renews <= now:
            said[name].append(Lasting(what="it is to be renewed", since=phase.renews))
    for branch, name in _branches(tree).items():
        if branch in remote.branches:
            opened = Lasting(what=f"{branch} waits for people", since=remote.branches[branch].time)
            said.setdefault(name, []).append(opened)
    return {name: tuple(sorted(each, key=lambda lasting: lasting.since)) for name, each in said.items()}


def _branches(tree: Tree) -> dict[str, str]:
    """The branches of trust, and whom each is about."""
    found = {paths.ROLLOVER_BRANCH: "*"}
    for name in tree.clusters:
        found |= {paths.request_branch(name): name, paths.certificate_branch(name): name}
    return found


def _seen(tree: Tree, redis_url: str | None) -> Seen | None:
    """None if no Redis is named or it doesn't answer, which is said."""
    if redis_url is None:
        return None
    inbox = RedisInbox(Secret(redis_url))
    try:
        return seen_in(inbox, tree)
    except PeermeshError as error:
        warn(str(error))
        return None
    finally:
        inbox.close()
