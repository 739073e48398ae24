"""`syncer`, `receive`, `worker` and `demo`: the processes, started. What they are told is in their environment."""

from __future__ import annotations

import click

_ENVIRONMENT = """\b
The environment tells it everything; docs/reference.md has all variables. Ends on SIGTERM.

\b
Example:
"""


@click.command(
    epilog=f"""{_ENVIRONMENT}  PEERMESH_MESH=acme PEERMESH_CLUSTER=west PEERMESH_DIRECTORY=manifests/west \\
    PEERMESH_BROKER_URL=redis://syncer-west:…@redis.example/0 peermesh syncer"""
)
def syncer() -> None:
    """Say what one cluster exports, when it changes.

    Runs in or beside that cluster, and changes nothing there.
    """
    from syncer.__main__ import log_to_stderr, stop_on_signals
    from syncer.run import run
    from syncer.settings import settings_from_environment

    log_to_stderr()
    run(settings_from_environment(), stop=stop_on_signals())


@click.command(
    epilog=f"""{_ENVIRONMENT}  PEERMESH_BORDER_BROKER_URL=redis://peermesh-border:…@redis.example/0 peermesh receive"""
)
def receive() -> int:
    """Take what syncers send, if it is to be believed.

    Knows no Git and no forge.
    """
    from workers.border import run_receive
    from workers.settings import settings_from_environment

    return run_receive(settings_from_environment())


@click.command(
    epilog=f"""{_ENVIRONMENT}  PEERMESH_REPO=https://git.example/mesh.git PEERMESH_GIT_USER=peermesh \\
    PEERMESH_GIT_PASSWORD_FILE=/run/secrets/git PEERMESH_BROKER_URL=redis://…/0 peermesh worker"""
)
@click.option(
    "--beat/--no-beat", default=True, show_default=True, help="Look at the repository every ten seconds, too."
)
def worker(*, beat: bool) -> int:
    """Plan and propose: the only one that writes to Git."""
    from workers.app import run_worker
    from workers.cli.wiring import centre
    from workers.settings import settings_from_environment

    return run_worker(settings_from_environment(), beat=beat, make=centre)


@click.command(
    epilog="""\b
Examples:
  peermesh demo
  peermesh demo --keep                 stays up; edit the manifests that it names
  REDIS_URL=redis://… peermesh demo    with a Redis of yours in place of an embedded one"""
)
@click.option("--keep", is_flag=True, help="Stay up afterwards and react to edits, until Ctrl-C.")
@click.option("--redis-url", envvar="REDIS_URL", show_envvar=True, metavar="URL", help="Default: an embedded server.")
def demo(*, keep: bool, redis_url: str | None) -> int:
    """Show all of it at work, in a minute.

    Three clusters from manifests, real processes, a real queue, real Git.
    """
    from workers.cli.demo.story import tell

    return tell(keep=keep, redis_url=redis_url or None)


COMMANDS = (syncer, receive, worker, demo)
