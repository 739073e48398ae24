"""An order becomes a proposal: a commit on a branch `trust/…` of the remote, in the name of whoever gave it.

Knows the remote and how its proposals get to main. Never writes to main, and decides nothing about the order.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import UTC, datetime

from rich.text import Text

from syncer.protocol.errors import HumanNeeded, Rejected, Transient
from workers.cli.ca.orders import Order, Orders
from workers.cli.opening import as_person
from workers.cli.proposal_text import file_lines
from workers.cli.screen import progress, say, say_command, say_item
from workers.documents import paths
from workers.documents.kinds import Forge
from workers.outside import Remote, Repository, Update
from workers.tree import BlobChange, blob_id, change_digest


def propose(repo: str, order: Callable[[Orders], Order]) -> None:
    """Make the order on the newest main, push it, and say what to do next.

    Raises:
        Rejected: the order, or the same is proposed already.
        Invalid: main isn't valid, or wouldn't be with it.
        HumanNeeded, Transient: the remote refuses, or is away.
    """
    with progress("proposing"), as_person(repo) as repository:
        remote = repository.fetch()
        orders = Orders(remote.files)
        made = order(orders)
        change = _change(remote, made)
        branch = paths.people_branch(made.what)
        _push(repository, remote, branch, made)
    say(Text.assemble((branch, "bold cyan"), "   pushed; main stays as it is until people merge it"))
    say(made.title, "bold")
    for sentence in made.sentences:
        say_item("- ", sentence)
    for line in file_lines(change):
        say(line)
    say()
    _say_next(orders.tree.mesh.spec.approval.forge, branch, change, repo)
    for hint in made.hints:
        say_item("Then: ", hint)


def _change(remote: Remote, made: Order) -> BlobChange:
    return {
        path: (remote.files.blob(path), None if data is None else blob_id(data)) for path, data in made.changes.items()
    }


def _push(repository: Repository, remote: Remote, branch: str, made: Order) -> None:
    """A new branch with one commit on main."""
    ref = paths.ref_of(branch)
    remedy = f"Merge it, or delete it (`git push origin --delete {branch}`) and order again."
    open_already = Rejected("ProposedAlready", "this branch is open already", subject=branch, remedy=remedy)
    if ref in remote.refs:
        raise open_already
    message = "\n".join([made.title, "", *made.sentences, ""])
    commit = repository.commit(parents=[remote.main], changes=made.changes, message=message, when=datetime.now(UTC))
    outcome = repository.push([Update(ref=ref, old=None, new=commit)])[ref]
    if outcome.status == "stale":
        raise open_already
    if outcome.status == "refused":
        raise HumanNeeded("PushRefused", f"the remote refuses the push: {outcome.message}", subject=branch)
    if outcome.status == "unknown":
        raise Transient("AnswerLost", f"nobody knows whether this was done: {outcome.message}", subject=branch)


def _say_next(forge: Forge, branch: str, change: BlobChange, repo: str) -> None:
    page = forge.page(branch)
    if page:
        say(f"Next: open a pull request at {page}")
        return
    say("Next: let somebody look at it, and merge it:")
    say_command(f"peermesh show {branch} --diff --repo {shlex.quote(repo)}")
    say_command(f"peermesh approve {branch} --digest {change_digest(change)} --repo {shlex.quote(repo)}")
