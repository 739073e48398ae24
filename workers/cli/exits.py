"""How `peermesh` ends: one place between the four classes of errors and the exit codes.

Knows errors and codes. Knows no command.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final

import click

from syncer.protocol.errors import HumanNeeded, PeermeshError, Rejected, Superseded, Transient
from workers.cli import screen


class Exit(IntEnum):
    """What a script may rely on."""

    DONE = 0
    """Done, also when there is something to do."""
    BAD = 1
    """Bad input, refused, or the other side is away."""
    TO_DO = 2
    """There is something to do; only with `--exit-code`."""
    HELD = 3
    """A person must decide or mend something."""
    INTERRUPTED = 130
    """Ctrl-C, as shells have it."""


OF_ERRORS: Final[dict[type[PeermeshError], Exit]] = {
    Rejected: Exit.BAD,
    Transient: Exit.BAD,
    Superseded: Exit.BAD,
    HumanNeeded: Exit.HELD,
}


def exit_of(error: PeermeshError) -> Exit:
    """The exit code of an error, by its class."""
    return next(code for kind, code in OF_ERRORS.items() if isinstance(error, kind))


class Commands(click.Group):
    """A group that ends with our codes and says errors as lines on stderr, without a traceback.

    A command returns its exit code, or None for `DONE`. Commands are listed in the order in which they were added.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.commands)

    def main(self, *args: Any, **options: Any) -> Any:
        options["standalone_mode"] = False
        sys.exit(_ended(lambda: super(Commands, self).main(*args, **options)))


def _ended(run: Callable[[], object]) -> int:
    try:
        code = run()
    except click.ClickException as error:
        # click would end with 2 for a wrong call, and 2 is a promise of ours.
        code = Exit.BAD
        _complain_of_call(error)
    except PeermeshError as error:
        code = exit_of(error)
        screen.complain(error)
    except BrokenPipeError:
        # `peermesh … | head`: nobody listens any more. Python would complain again when it flushes.
        code = Exit.BAD
        sys.stdout = None
    except OSError as error:
        code = Exit.BAD
        screen.complain(f"{error.filename}: {error.strerror}" if error.filename else error)
    except (KeyboardInterrupt, click.Abort):
        code = Exit.INTERRUPTED
    return code if isinstance(code, int) else Exit.DONE


def _complain_of_call(error: click.ClickException) -> None:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    more = f" See {context.command_path} --help." if context else ""
    screen.complain(f"{error.format_message().rstrip('.')}.{more}")
