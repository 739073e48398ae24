"""`peermesh doctor`: looks at clusters, forge and centre, says what is right or wrong, and how it is mended.

Looks only: nothing that it does changes anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workers.cli import options
from workers.cli.exits import Commands, Exit
from workers.cli.screen import give, progress

if TYPE_CHECKING:
    from workers.doctor import Report

_KUBECONFIG = click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Yours, for --context. Default: as kubectl finds it.",
)
_TOKEN = click.option(
    "--token-file",
    envvar="PEERMESH_FORGE_TOKEN_FILE",
    show_envvar=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A token that may see the rules of the repository: its administrator's. The robot's may not.",
)
_ROBOT = click.option(
    "--robot", envvar="PEERMESH_FORGE_USER", show_envvar=True, metavar="USER", help="The robot's user at the forge."
)
_METRICS = click.option(
    "--metrics",
    multiple=True,
    envvar="PEERMESH_METRICS",
    show_envvar=True,
    metavar="HOST:PORT",
    help="Where worker and receive serve theirs: tells when they did their last turn. Repeatable.",
)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    epilog="""\b
Examples:
  peermesh doctor
  peermesh doctor --repo https://git.example/mesh.git --context west=admin@west
  peermesh doctor cluster west --context admin@west
  peermesh doctor forge --token-file token
  peermesh doctor center --redis-url redis://admin:…@redis.example/0

\b
It ends with 3 if something is wrong; warnings, and what couldn't be looked at, end with 0.""",
)
@options.REPO
@options.REDIS
@click.option(
    "--context",
    "contexts",
    multiple=True,
    metavar="NAME=CONTEXT",
    help="The context of your kubeconfig that leads to cluster NAME. Repeatable.",
)
@_KUBECONFIG
@_TOKEN
@_ROBOT
@_METRICS
@options.output("json", "yaml")
@click.pass_context
def doctor(
    context: click.Context,
    *,
    repo: str,
    redis_url: str | None,
    contexts: tuple[str, ...],
    kubeconfig: Path | None,
    token_file: Path | None,
    robot: str | None,
    metrics: tuple[str, ...],
    output: str,
) -> int:
    """Say what is wrong, and the command that mends it.

    Without a command: the centre, the forge and every cluster, as far as they can be seen from here.
    """
    if context.invoked_subcommand is not None:
        given = {"repo": repo, "redis_url": redis_url, "kubeconfig": kubeconfig, "output": output}
        context.default_map = {context.invoked_subcommand: given}
        return Exit.DONE
    from workers.cli.doctor.clusters import Ways
    from workers.cli.doctor.looking import looking_at

    named = options.pairs(contexts, "--context")
    with progress("looking at the centre, the forge and every cluster"), looking_at(repo, redis_url) as looking:
        reports = [
            *looking.clusters(Ways(contexts=named, kubeconfig=kubeconfig)),
            looking.forge(token_file, robot or ""),
            looking.center(metrics),
        ]
    return _said(reports, output)


@doctor.command(
    epilog="""\b
Examples:
  peermesh doctor cluster west --context admin@west
  peermesh doctor cluster west --redis-url redis://…/0 --output json
  peermesh doctor cluster west --service shop/catalog --root root-cert.pem

\b
The gateway is asked from the machine that this runs on: run it at a peer to know what it reaches.
It ends with 3 if something is wrong."""
)
@click.argument("name")
@options.REPO
@options.REDIS
@click.option("--context", "kube_context", metavar="CONTEXT", help="Looks into the cluster itself, as you.")
@_KUBECONFIG
@click.option(
    "--service", default="", metavar="NAMESPACE/NAME", help="Ask the gateway for this one; default: the first."
)
@click.option(
    "--root",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The root certificates of the mesh (root-cert.pem). Default: with --context, those of the cluster.",
)
@options.output("json", "yaml")
def cluster(
    *,
    name: str,
    repo: str,
    redis_url: str | None,
    kube_context: str | None,
    kubeconfig: Path | None,
    service: str,
    root: Path | None,
    output: str,
) -> int:
    """Look at one cluster: how Istio is set up, its gateway, its syncer.

    From main and what its syncer says; with --context from the cluster itself, too.
    """
    from workers.cli.doctor.clusters import Ways
    from workers.cli.doctor.looking import looking_at

    contexts = {name: kube_context or ""} if kube_context or kubeconfig else {}
    roots = root.read_text() if root is not None else ""
    ways = Ways(contexts=contexts, kubeconfig=kubeconfig, service=service, roots=roots)
    with progress(f"looking at {name}"), looking_at(repo, redis_url) as looking:
        report = looking.cluster(name, ways)
    return _said([report], output)


@doctor.command(
    epilog="""\b
Examples:
  peermesh doctor forge --token-file ~/admin-token --robot peermesh
  peermesh doctor forge --repo /srv/git/mesh.git

\b
It ends with 3 if something is wrong."""
)
@options.REPO
@_TOKEN
@_ROBOT
@options.output("json", "yaml")
def forge(*, repo: str, token_file: Path | None, robot: str | None, output: str) -> int:
    """Look at the rules of the forge, and at what the robot may.

    Which forge says spec.approval.forge in mesh/mesh.yaml.
    """
    from workers.cli.doctor.looking import looking_at

    with progress("looking at the forge"), looking_at(repo, None) as looking:
        report = looking.forge(token_file, robot or "")
    return _said([report], output)


@doctor.command(
    epilog="""\b
Examples:
  peermesh doctor center --redis-url redis://admin:…@redis.example/0
  peermesh doctor center --metrics worker:9090 --metrics receive:9090

\b
What the workers' own users of Redis may not ask is told as unknown.
It ends with 3 if something is wrong."""
)
@options.REPO
@options.REDIS
@_METRICS
@options.output("json", "yaml")
def center(*, repo: str, redis_url: str | None, metrics: tuple[str, ...], output: str) -> int:
    """Look at Redis, its users, and whether the processes do their turns."""
    from workers.cli.doctor.looking import looking_at

    with progress("looking at the centre"), looking_at(repo, redis_url) as looking:
        report = looking.center(metrics)
    return _said([report], output)


def _said(reports: Sequence[Report], output: str) -> int:
    from workers.cli.doctor.text import reports_value, show_reports
    from workers.doctor import count

    if output == "text":
        show_reports(reports)
    else:
        give(reports_value(reports), output)
    return Exit.HELD if count(reports)["wrong"] else Exit.DONE


COMMANDS = (doctor,)
