"""`peermesh ca rollover`: orders for the way to another root, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from workers.cli import options
from workers.cli.exits import Commands

if TYPE_CHECKING:
    from workers.cli.ca.orders import Order, Orders


@click.group(
    cls=Commands,
    epilog="""\b
Examples:
  peermesh ca rollover start root-2027 --canary west --soak 10m
  peermesh ca rollover pause
  peermesh ca rollover back""",
)
def rollover() -> None:
    """Bring all clusters under another root."""


@rollover.command(
    epilog="""\b
Examples:
  peermesh ca rollover start root-2027 --canary west --canary north
  peermesh ca rollover start root-2027 --compromised                     an emergency
  peermesh ca rollover start root-2027 --compromised --distrust-first    calls fail meanwhile"""
)
@click.argument("root")
@options.REPO
@click.option("--canary", multiple=True, metavar="CLUSTER", help="Takes each step before the others. Repeatable.")
@click.option("--soak", metavar="TIME", help="How long each gate must be seen open before the next step, as 10m or 1h.")
@click.option("--compromised", is_flag=True, help="The present root must go: nothing soaks.")
@click.option("--distrust-first", is_flag=True, help="With --compromised: no cluster waits for another one.")
def start(
    root: str, repo: str, canary: tuple[str, ...], soak: str | None, *, compromised: bool, distrust_first: bool
) -> None:
    """Begin a rollover to ROOT.

    ROOT is one that `init-root` made and people merged.
    """
    from workers.cli.ca.proposing import propose

    def order(orders: Orders) -> Order:
        return orders.rollover(root, canary=canary, soak=soak, compromised=compromised, distrust_first=distrust_first)

    propose(repo, order)


@rollover.command(
    epilog="""\b
Example:
  peermesh ca rollover pause"""
)
@options.REPO
def pause(repo: str) -> None:
    """Make no further step; renewals go on."""
    from workers.cli.ca.proposing import propose

    propose(repo, lambda orders: orders.pause())


@rollover.command(
    epilog="""\b
Example:
  peermesh ca rollover resume"""
)
@options.REPO
def resume(repo: str) -> None:
    """Go on after a pause."""
    from workers.cli.ca.proposing import propose

    propose(repo, lambda orders: orders.resume())


@rollover.command(
    epilog="""\b
Examples:
  peermesh ca rollover back
  peermesh ca rollover back --to root-2026"""
)
@click.option("--to", metavar="ROOT", help="Default: the one root beside the new one that clusters still trust.")
@options.REPO
def back(to: str | None, repo: str) -> None:
    """Take it back, in the same safe order.

    Works from every step.
    """
    from workers.cli.ca.proposing import propose

    propose(repo, lambda orders: orders.back(to))
