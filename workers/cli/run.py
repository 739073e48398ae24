"""`syncer`, `receive`, `worker`, `demo` and so on: the processes, started. Their environment tells them what to do."""

from __future__ import annotations

import os
from pathlib import Path

import click

from syncer.protocol.secret import Secret
from workers.cli import options
from workers.cli.signer import signer

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
    from workers.app import HARD_LIMIT, run_worker
    from workers.broker import log, log_to_stderr
    from workers.cli.alone import alone
    from workers.cli.wiring import centre
    from workers.settings import COPY, settings_from_environment

    settings = settings_from_environment()
    log_to_stderr()
    # A process of the pool whose worker was killed goes on for as long as its task may take.
    file = settings.copy.with_name(f"{settings.copy.name}.lock")
    remedy = f"A second worker on one machine needs a folder of its own in {COPY.name}."
    with alone(file, seconds=HARD_LIMIT, tell=log.warning, remedy=remedy):
        return run_worker(settings, beat=beat, make=centre)


@click.command(
    epilog=f"""{_ENVIRONMENT}  PEERMESH_WEBHOOK_LISTEN=0.0.0.0:8081 PEERMESH_WEBHOOK_SECRET_FILE=/run/secrets/webhook \\
    PEERMESH_BROKER_URL=redis://peermesh-webhook:…@redis.example/0 peermesh webhook"""
)
def webhook() -> int:
    """Hear from the forge when something happened there.

    Optional: it only makes the worker look sooner.
    """
    from workers.settings import settings_from_environment
    from workers.webhook import run_webhook

    return run_webhook(settings_from_environment())


@click.command(
    epilog="""\b
Examples:
  peermesh up --repo mesh.git --cluster west=context:kind-west --cluster east=context:kind-east
  PEERMESH_GIT_USER=peermesh PEERMESH_GIT_PASSWORD_FILE=token peermesh up --state /srv/peermesh \\
    --repo https://git.example/mesh.git --cluster west=manifests/west

\b
Settings of the worker (Git, forge) are those of `peermesh worker`: see docs/reference.md.
What a syncer must know of the mesh and its gateway is read from main at the start.
Where the variables of `peermesh signer` are set it runs, too."""
)
@options.REPO
@click.option(
    "--cluster",
    "clusters",
    multiple=True,
    metavar="NAME=PLACE",
    help="A syncer for this cluster; PLACE is context:CONTEXT, or a directory of manifests. Repeatable.",
)
@click.option(
    "--kubeconfig",
    envvar="KUBECONFIG",
    show_envvar=True,
    default="~/.kube/config",
    show_default=True,
    metavar="FILE",
    help="Where the contexts are.",
)
@options.redis_url(
    "PEERMESH_BROKER_URL",
    "A Redis of yours. Without a user in it, each process has its own, with its password in DIR/passwords/USER. "
    "Default: an embedded one.",
)
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where keys and copies are kept. Default: one for this repository below $XDG_STATE_HOME/peermesh.",
)
@click.option("--metrics", metavar="HOST:PORT", help="Serve metrics: of the worker there, of the others on the next.")
def up(
    *,
    repo: str,
    clusters: tuple[str, ...],
    kubeconfig: str,
    redis_url: str | None,
    state: Path | None,
    metrics: str | None,
) -> int:
    """Run all of it on this machine, for good.

    The syncers of these clusters, receive, worker, and Redis if there is none. What dies is started again.
    """
    from workers.cli.up import run
    from workers.cli.up_roles import Site, host_port, places, state_of
    from workers.git.opening import remote_of

    if not clusters and not redis_url:
        raise click.UsageError("Name a --cluster; without one, a --redis-url to which syncers elsewhere send.")
    remote = remote_of(repo)
    site = Site(
        repo=remote,
        state=state.absolute() if state else state_of(remote, os.environ),
        clusters=places(clusters),
        kubeconfig=str(Path(kubeconfig).expanduser()),
        metrics=host_port(metrics) if metrics else None,
        environment=os.environ,
    )
    return run(site, Secret(redis_url) if redis_url else None)


@click.command(
    epilog="""\b
Examples:
  peermesh demo
  peermesh demo --keep                 stays up; edit the manifests that it names
  REDIS_URL=redis://… peermesh demo    with a Redis of yours in place of an embedded one"""
)
@click.option("--keep", is_flag=True, help="Stay up afterwards and react to edits, until Ctrl-C.")
@options.redis_url("REDIS_URL", "Default: an embedded server.")
def demo(*, keep: bool, redis_url: str | None) -> int:
    """Show all of it at work, in a minute.

    Three clusters from manifests, real processes, a real queue, real Git.
    """
    from workers.cli.demo.story import tell

    return tell(keep=keep, redis_url=redis_url)


COMMANDS = (syncer, receive, worker, webhook, signer, up, demo)
