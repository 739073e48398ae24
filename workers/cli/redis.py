"""`redis`: the users of the mesh's Redis, as a file for it.

Changes a file in a checkout and says what to commit; Redis reads it when it is started.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from workers.cli import options
from workers.cli.exits import Commands
from workers.cli.screen import say, say_commit

_USERS: Final = {
    "border": "peermesh-border", "worker": "peermesh-worker", "webhook": "peermesh-webhook", "signer": "peermesh-signer"
}  # fmt: skip
"""As `workers.acl` has them; importing that takes as long as Celery does."""


@click.group(
    cls=Commands,
    epilog="""\b
Example:
  peermesh redis password worker --password-file ../worker""",
)
def redis() -> None:
    """Say who may do what in the mesh's Redis."""


@redis.command(
    epilog="""\b
Example:
  peermesh redis users"""
)
@options.FOLDER
def users(repo: str) -> None:
    """Write delivery/redis/users.acl as this version needs it.

    Passwords stay, and so do users of yours. For an upgrade, before its processes start.
    """
    from workers.cli.passwords import refresh_users

    written, closed = refresh_users(Path(repo))
    for user in closed:
        say(f"{user}: it has no password yet, so nobody gets in by its name.")
    if not written:
        say("Every user has what this version needs.")
        return
    _say_written(repo, written, "Give Redis users what they need")


@redis.command(
    epilog="""\b
Examples:
  peermesh redis password border --password-file ../border
  peermesh redis password worker --finish      once the workers have the new one"""
)
@click.argument("process", type=click.Choice(list(_USERS)))
@options.FOLDER
@options.PASSWORD_FILE
@options.FINISH
def password(process: str, repo: str, password_file: Path | None, *, finish: bool) -> None:
    """Change the password of the centre's Redis users.

    That of `receive` (border), `worker`, `webhook` or `signer`. The old password counts until --finish.
    """
    change_password(repo, _USERS[process], password_file, finish=finish)


def change_password(repo: str, user: str, file: Path | None, *, finish: bool) -> None:
    """What both commands for passwords do, for a user of Redis.

    Raises:
        click.UsageError: a file for a password that isn't made.
    """
    from workers.cli.passwords import add_password, finish_password

    if finish and file:
        raise click.UsageError("--finish makes no password for --password-file.")
    if not finish:
        _say_written(repo, add_password(Path(repo), user, file), f"Add a password of Redis user {user}")
        return
    written = finish_password(Path(repo), user)
    if written:
        _say_written(repo, written, f"Leave the newest password of Redis user {user}")
    else:
        say(f"{user}: there is only one password.")


def _say_written(repo: str, written: list[str], message: str) -> None:
    for path in written:
        say(f"wrote {path}")
    say_commit(repo, written, message)
    say("Redis reads the file when it is started again.")


COMMANDS = (redis,)
