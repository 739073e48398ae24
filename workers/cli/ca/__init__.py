"""`peermesh ca`: how the certificates of the meshes stand, and what people order of them.

Each order is a proposal, a commit on a branch of its own; none writes to main. Reads the remote, and writes there with
the credentials and the name of whoever calls. Holds no key but in `init-root`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from workers.cli import options
from workers.cli.ca import beginning, rolling
from workers.cli.exits import Commands

if TYPE_CHECKING:
    from workers.cli.ca.orders import RevocationReason


@click.group(
    cls=Commands,
    epilog="""\b
Examples:
  peermesh ca status --repo https://git.example/mesh.git --redis-url redis://…/0
  peermesh ca request-rotation west --compromised
  peermesh ca rollover start root-2027 --canary west
  peermesh ca verify

\b
Everything that changes something is proposed on a branch trust/…, and nothing happens before
people merge it. docs/trust.md tells how all of it works, step by step.""",
)
def ca() -> None:
    """See how certificates stand, and order changes."""


@click.command(
    epilog="""\b
Examples:
  peermesh ca status
  peermesh ca status --repo https://git.example/mesh.git --redis-url redis://…/0 --output json"""
)
@options.REPO
@options.REDIS
@options.output("json", "yaml")
def status(repo: str, redis_url: str | None, output: str) -> None:
    """Show what each cluster signs with, and what it waits for.

    A table and a timeline. With --redis-url also what was observed of it.
    """
    from datetime import UTC, datetime

    from workers.cli.ca.looking import looked
    from workers.cli.ca.text import show_trust, trust_value
    from workers.cli.screen import give, progress

    now = datetime.now(UTC)
    with progress("looking"):
        found, _ = looked(repo, redis_url, now)
    if output == "text":
        show_trust(found, now)
    else:
        give(trust_value(found), output)


@click.command(
    epilog="""\b
Examples:
  peermesh ca verify
  peermesh ca verify --repo https://git.example/mesh.git --redis-url redis://…/0"""
)
@options.REPO
@options.REDIS
@options.output("json", "yaml")
def verify(repo: str, redis_url: str | None, output: str) -> int:
    """Verify the chains of every pair of clusters.

    Each cluster's chain against what each other one trusts, as main says and, with --redis-url, as it was observed;
    by the rules of istiod and Envoy. Ends with 1 if a pair fails.
    """
    from datetime import UTC, datetime

    from workers.cli.ca.looking import looked
    from workers.cli.ca.text import pairs_value, show_pairs
    from workers.cli.exits import Exit
    from workers.cli.screen import give, progress

    with progress("verifying"):
        found, verified = looked(repo, redis_url, datetime.now(UTC))
    if output == "text":
        show_pairs(verified, found)
    else:
        give(pairs_value(verified), output)
    return Exit.BAD if any(pair.why for pair in verified) else Exit.DONE


@click.command(
    epilog="""\b
Examples:
  peermesh ca request-rotation west
  peermesh ca request-rotation west --compromised    its key may be in other hands"""
)
@click.argument("cluster")
@options.REPO
@click.option(
    "--compromised",
    is_flag=True,
    help="Renew all certificates of its workloads at once, too; and asks to revoke the old intermediate.",
)
def request_rotation(cluster: str, repo: str, *, compromised: bool) -> None:
    """Order a new intermediate, though none is due."""
    from workers.cli.ca.proposing import propose

    propose(repo, lambda orders: orders.rotation(cluster, compromised=compromised))


@click.command(
    epilog="""\b
Example:
  peermesh ca exclude south"""
)
@click.argument("cluster")
@options.REPO
def exclude(cluster: str, repo: str) -> None:
    """Let nothing wait for a cluster that is gone for now.

    Its calls to and from the others fail once they distrust its root.
    """
    from workers.cli.ca.proposing import propose

    propose(repo, lambda orders: orders.exclude(cluster))


@click.command(
    epilog="""\b
Example:
  peermesh ca include south"""
)
@click.argument("cluster")
@options.REPO
def include(cluster: str, repo: str) -> None:
    """Count a cluster again; it catches up alone."""
    from workers.cli.ca.proposing import propose

    propose(repo, lambda orders: orders.include(cluster))


@click.command(
    epilog="""\b
Example:
  peermesh ca revoke root-2026 3f:0a:…:91 --reason keyCompromise"""
)
@click.argument("root")
@click.argument("serial")
@options.REPO
@click.option(
    "--reason",
    type=click.Choice(["keyCompromise", "caCompromise", "superseded", "cessationOfOperation"]),
    default="keyCompromise",
    show_default=True,
    help="As in RFC 5280.",
)
def revoke(root: str, serial: str, repo: str, reason: RevocationReason) -> None:
    """Revoke a certificate that ROOT issued.

    SERIAL is its serial number in hexadecimal digits, as openssl and `ca status --output json` show it.
    """
    from workers.cli.ca.proposing import propose

    propose(repo, lambda orders: orders.revoke(root, serial, reason))


for _command in (
    status,
    verify,
    *beginning.COMMANDS,
    request_rotation,
    rolling.rollover,
    exclude,
    include,
    revoke,
    beginning.sign_crl,
):
    ca.add_command(_command)
COMMANDS = (ca,)
