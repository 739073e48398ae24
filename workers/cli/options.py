"""Options that several commands have, and how their values are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

_ELSEWHERE: Final = re.compile(r"[^/]+:")
"""A URL, or `git@host:path`."""


def _there(context: click.Context, option: click.Parameter, value: str) -> str:
    if _ELSEWHERE.match(value) or Path(value).exists():
        return value
    raise click.BadParameter(f"{value!r} is neither a URL nor a folder that exists", context, option)


REPO: Final = click.option(
    "--repo", default=".", show_default=True, metavar="DIR|URL", callback=_there, help="The mesh repository."
)
FOLDER: Final = click.option(
    "--repo",
    default=".",
    show_default=True,
    metavar="DIR",
    type=click.Path(file_okay=False, exists=True),
    help="A checkout of the mesh repository.",
)


def _of_redis(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """An address of Redis, or None. What is wrong is said without the address: there may be a password in it.

    Raises:
        click.BadParameter: it isn't one.
    """
    if not value:
        return None
    from syncer.protocol.broker import broker_url

    try:
        broker_url(value)
    except ValueError as error:
        what = f"it isn't an address like redis://USER:PASSWORD@HOST:6379/0: {error}"
        raise click.BadParameter(what, context, option) from None
    return value


def redis_url(variable: str, what: str) -> Callable[[Any], Any]:
    """`--redis-url`, or a variable of the environment; `what`: what it is for."""
    return click.option("--redis-url", envvar=variable, show_envvar=True, metavar="URL", callback=_of_redis, help=what)


REDIS: Final = redis_url(
    "PEERMESH_BROKER_URL", "Adds what only Redis has: when clusters were last heard, and why something waits."
)
PASSWORD_FILE: Final = click.option(
    "--password-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A new file outside the repository for the new password. Default: it is shown, once.",
)
FINISH: Final = click.option("--finish", is_flag=True, help="Only the newest password counts from now on.")
EXIT_CODE: Final = click.option("--exit-code", is_flag=True, help="End with 2 if there is something to do.")


_Command = TypeVar("_Command", bound=Callable[..., Any])


def output(*forms: str) -> Callable[[_Command], _Command]:
    """`--output` with text and these."""
    return click.option(
        "--output", type=click.Choice(["text", *forms]), default="text", show_default=True, help="What to print."
    )


def pairs(values: Iterable[str], option: str) -> dict[str, str]:
    """`K=V` options as a dict, sorted.

    Raises:
        click.BadParameter: no `=`, or a key twice.
    """
    found: dict[str, str] = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{value!r} isn't of the form KEY=VALUE", param_hint=option)
        if key in found:
            raise click.BadParameter(f"{key} is given twice", param_hint=option)
        found[key] = text
    return dict(sorted(found.items()))
