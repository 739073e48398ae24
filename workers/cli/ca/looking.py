"""What `ca status` and `ca verify` look at: main, open proposals, and what Redis has if it is named."""

from __future__ import annotations

from datetime import datetime

from syncer.protocol.errors import PeermeshError
from syncer.protocol.secret import Secret
from workers.cli.opening import open_remote, readable_tree
from workers.cli.screen import warn
from workers.documents import paths
from workers.inbox import RedisInbox
from workers.outside import Remote
from workers.pki.step import Next, Seen, next_step
from workers.rotate import seen_in
from workers.tree import Tree
from workers.trust import Pair, TrustStatus, pairs, trust_status


def looked(repo: str, redis_url: str | None, now: datetime) -> tuple[TrustStatus, tuple[Pair, ...]]:
    """How certificates stand, and whether pairs of clusters accept each other."""
    with open_remote(repo) as remote:
        tree = readable_tree(remote.files)
        seen = _seen(tree, redis_url)
        found = next_step(tree, seen or Seen(), now)
        waiting = waits(remote, tree, found, asked=seen is not None)
    observed = seen.observed if seen else {}
    phases = {name: phase.name for name, phase in found.phases.items()}
    return trust_status(tree, now, observed=observed, phases=phases, waiting=waiting), pairs(tree, now, observed)


def waits(remote: Remote, tree: Tree, found: Next, *, asked: bool) -> dict[str, str]:
    """What each cluster waits for, `*`: all of them. Unless Redis was `asked`, what isn't seen there says nothing."""
    said = {name: [text] for name, text in found.waiting.items()} if asked else {}
    branches = {paths.ROLLOVER_BRANCH: "*"}
    for name in tree.clusters:
        branches |= {paths.request_branch(name): name, paths.certificate_branch(name): name}
    for branch, name in branches.items():
        if branch in remote.branches:
            said.setdefault(name, []).insert(0, f"for somebody to merge {branch}.")
    return {name: " ".join(texts) for name, texts in said.items()}


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
