"""`status`, `proposals`, `show`, `approve`, `reject`, `pause`, `resume`: what people do where proposals are reviewed.

All of it reads the remote, and writes there with the credentials and the name of whoever calls.
"""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from workers.cli import options
from workers.cli.exits import Commands
from workers.cli.screen import give, progress, say, say_command

if TYPE_CHECKING:
    from workers.git import GitRepository

_APPROVED_THERE = "With a forge that has pull requests people do this there, by its rules."
_CLOSED_THERE = "With a forge that has pull requests closing one there does the same."


@click.command(
    epilog="""\b
Examples:
  peermesh status
  peermesh status --repo https://git.example/mesh.git --redis-url redis://…/0 --output json"""
)
@options.REPO
@options.REDIS
@options.output("json", "yaml")
def status(repo: str, redis_url: str | None, output: str) -> None:
    """Show clusters, open proposals, and what is wrong."""
    from workers.cli.opening import heard, open_remote, readable_tree
    from workers.cli.status_text import show_status, status_value
    from workers.reach import reach
    from workers.status import status as status_of

    with progress("looking"), open_remote(repo) as remote:
        tree = readable_tree(remote.files)
        found = status_of(tree, reach(tree), remote, heard(redis_url))
    if output == "text":
        show_status(found, datetime.now(UTC))
    else:
        give(status_value(found), output)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    epilog="""\b
Examples:
  peermesh proposals
  peermesh proposals reopen peermesh/exports/shop""",
)
@options.REPO
@options.output("json", "yaml")
@options.EXIT_CODE
@click.pass_context
def proposals(context: click.Context, repo: str, output: str, *, exit_code: bool) -> int:
    """List open proposals, and what people refused."""
    from workers.cli.exits import Exit
    from workers.cli.opening import open_remote
    from workers.cli.status_text import proposal_value, show_proposals, show_rejected
    from workers.status import proposals_of

    if context.invoked_subcommand is not None:
        context.default_map = {context.invoked_subcommand: {"repo": repo}}
        return Exit.DONE
    with progress("looking"), open_remote(repo) as remote:
        found, rejected = proposals_of(remote), remote.rejected | remote.taken_back
    if output == "text":
        show_proposals(found)
        show_rejected(rejected)
    else:
        listed = [{"path": path, "blob": blob} for path, blob in sorted(rejected, key=str)]
        give({"proposals": [proposal_value(proposal) for proposal in found], "rejected": listed}, output)
    return Exit.TO_DO if exit_code and found else Exit.DONE


@proposals.command(
    epilog="""\b
Examples:
  peermesh proposals reopen peermesh/exports/shop
  peermesh proposals reopen facts/exports/shop/west/cart.yaml"""
)
@click.argument("what", metavar="BRANCH|PATH")
@options.REPO
def reopen(what: str, repo: str) -> None:
    """Forget that people refused this, so that it is proposed again."""
    from workers.cli.opening import as_person
    from workers.forge.git import reopen as forget

    with progress("reopening"), as_person(repo) as repository:
        forgotten = forget(repository, what, when=datetime.now(UTC))
    for path, _ in sorted(forgotten, key=str):
        say(f"{path}: may be proposed again")


@click.command(
    epilog="""\b
Examples:
  peermesh show peermesh/exports/shop
  peermesh show peermesh/exports/shop --diff | less -R"""
)
@click.argument("branch")
@options.REPO
@click.option("--diff", is_flag=True, help="Every changed line, too.")
@options.output("json", "yaml")
def show(branch: str, repo: str, output: str, *, diff: bool) -> None:
    """Show a proposal as people review it."""
    from workers.cli.opening import open_remote, proposal_on
    from workers.cli.proposal_text import proposal_diff, show_diff_lines, show_proposal
    from workers.cli.status_text import proposal_value

    with progress("looking"), open_remote(repo) as remote:
        proposal = proposal_on(remote, branch)
        lines = proposal_diff(remote, branch) if diff else []
    if output != "text":
        give(proposal_value(proposal), output)
        return
    show_proposal(proposal)
    if lines:
        say()
        show_diff_lines(lines)
    if proposal.url:
        say()
        say(f"Reviewed and merged at {proposal.url}", "dim")
    elif proposal.merges and not proposal.foreign:
        say()
        say_command(f"peermesh approve {branch} --digest {proposal.digest} --repo {shlex.quote(repo)}", columns=0)


@click.command(
    help=f"""Merge a proposal into main.

Refused if it isn't what DIGEST says any more. {_APPROVED_THERE}""",
    epilog="""\b
Example:
  peermesh approve peermesh/exports/shop --digest 5f0c…   (`peermesh show` prints the digest)""",
)
@click.argument("branch")
@click.option("--digest", required=True, help="What `peermesh show` printed: approved is what you have read.")
@options.REPO
def approve(branch: str, digest: str, repo: str) -> None:
    """Merge a proposal into main."""
    from workers.check import check
    from workers.cli.opening import as_person
    from workers.forge.git import approve as merge

    with progress("merging"), as_person(repo) as repository:
        _refuse_where_there_is_a_forge(repository, branch)
        commit = merge(repository, branch, digest, check=check, when=datetime.now(UTC))
    say(f"{branch}: merged, main is {commit[:12]}")


@click.command(
    help=f"""Close a proposal.

It isn't made again until the cluster says something else. {_CLOSED_THERE}""",
    epilog="""\b
Example:
  peermesh reject peermesh/exports/shop""",
)
@click.argument("branch")
@options.REPO
def reject(branch: str, repo: str) -> None:
    """Close a proposal."""
    from workers.cli.opening import as_person
    from workers.forge.git import reject as close

    with progress("closing"), as_person(repo) as repository:
        remembered = close(repository, branch, when=datetime.now(UTC))
    for path, _ in sorted(remembered, key=str):
        say(f"{path}: refused, until the cluster says something else")
    if remembered:
        say("Taken back with:")
        say_command(f"peermesh proposals reopen {branch} --repo {shlex.quote(repo)}")


@click.command(
    epilog="""\b
Examples:
  peermesh pause
  peermesh pause "gateway of east is being replaced, until Monday" --repo mesh"""
)
@click.argument("why", default="paused by hand")
@options.REPO
def pause(why: str, repo: str) -> None:
    """Let the robot write nothing until `resume`.

    Kept in the repository; WHY is shown to everybody.
    """
    from workers.cli.opening import as_person, fetched
    from workers.forge.git import pause as stop

    with progress("pausing"), as_person(repo) as repository:
        fetched(repository, repo)
        stop(repository, why, when=datetime.now(UTC))
    say("Paused. What clusters say is still taken; nothing is proposed or merged by the robot.")


@click.command(
    epilog="""\b
Example:
  peermesh resume"""
)
@options.REPO
def resume(repo: str) -> None:
    """Let the robot write again."""
    from workers.cli.opening import as_person
    from workers.forge.git import resume as go_on

    with progress("resuming"), as_person(repo) as repository:
        was = go_on(repository)
    say("The robot writes again." if was else "It wasn't paused.")


def _refuse_where_there_is_a_forge(repository: GitRepository, branch: str) -> None:
    """Its reviews and checks would be passed by."""
    from syncer.protocol.errors import Rejected
    from workers.cli.opening import proposal_on

    if url := proposal_on(repository.fetch(), branch).url:
        what = "proposals of this mesh are merged on its forge, by the rules there"
        raise Rejected("MergedOnForge", what, subject=branch, remedy=f"Approve and merge it at {url}")


COMMANDS = (status, proposals, show, approve, reject, pause, resume)
