"""What people see: texts, tables, progress, errors; and values for scripts.

Knows terminals: colour and line breaks only there, no colour with `NO_COLOR`. Knows nothing of meshes.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final, TextIO

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

WIDTH: Final = 100
"""Columns of help texts and of everything that isn't a terminal and wants to know."""
_UNBOUNDED: Final = 100_000

_MARK = re.compile(r"\*\*(?P<strong>.+?)\*\*|`(?P<code>[^`]+)`|\\(?P<plain>.)")


def console(*, stderr: bool = False) -> Console:
    """Stdout or stderr as it is now. A file or a pipe gets each line whole."""
    return _console(sys.stderr if stderr else sys.stdout)


@lru_cache(maxsize=2)
def _console(stream: TextIO) -> Console:
    # Made once for both streams: a diff may have a hundred thousand lines.
    width = None if stream.isatty() else _UNBOUNDED
    return Console(file=stream, width=width, highlight=False, emoji=False, markup=False)


def say(text: str | Text = "", style: str = "") -> None:
    """A line (or several) on stdout."""
    console().print(text, style=style or None)


def say_command(command: str, *, columns: int = 2) -> None:
    """A command to be copied: on one line, however narrow the terminal is."""
    console().print(Text(" " * columns + command), style="dim", soft_wrap=True)


def say_commit(repo: str, written: list[str], message: str) -> None:
    """Say how what was written gets to main."""
    folders = sorted({path.partition("/")[0] for path in written}) if len(written) > 1 else written
    git = "git" if repo == "." else f"git -C {shlex.quote(repo)}"
    say("Commit what was written, and bring it to main:")
    say_command(f"{git} add {' '.join(folders)} && {git} commit -m {shlex.quote(message)}")


def say_indented(text: str | Text, columns: int) -> None:
    """A paragraph whose every line starts at a column."""
    console().print(Padding(text, (0, 0, 0, columns), expand=False))


def complain(error: object) -> None:
    """A line of stderr for each thing that is wrong."""
    for line in str(error).splitlines():
        console(stderr=True).print(Text.assemble(("error: ", "bold red"), line))


def warn(text: str) -> None:
    """A line of stderr that stops nothing."""
    console(stderr=True).print(Text.assemble(("note: ", "yellow"), text))


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Says on a terminal what is being done, for as long as it takes."""
    stderr = console(stderr=True)
    if not stderr.is_terminal:
        yield
        return
    with stderr.status(f"{what} …"):
        yield


def table(head: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Columns under grey heads; the last column takes what is left of the line."""
    grid = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim", show_header=any(head))
    for i, title in enumerate(head):
        grid.add_column(title, no_wrap=i < len(head) - 1, overflow="fold")
    for row in rows:
        grid.add_row(*row)
    _print(grid)


def styled(line: str) -> Text:
    """A line of a proposal's Markdown as text: strong and code by style, escapes undone."""
    text = Text()
    end = 0
    for match in _MARK.finditer(line):
        text.append(line[end : match.start()])
        text.append(
            match["strong"] or match["code"] or match["plain"],
            style={"strong": "bold", "code": "cyan"}.get(match.lastgroup or "", ""),
        )
        end = match.end()
    text.append(line[end:])
    return text


def say_markdown(body: str, *, columns: int = 0) -> None:
    """A proposal's text: headings bold, lists with a hanging indent."""
    after_heading = False
    for line in body.strip("\n").splitlines():
        if after_heading and not line:
            continue
        after_heading = line.startswith("#")
        if after_heading:
            say_indented(Text(line.lstrip("# "), style="bold"), columns)
        elif line.startswith("- "):
            say_item(" " * columns + "- ", styled(line.removeprefix("- ")))
        elif not line:
            say()
        else:
            say_indented(styled(line), columns)


def say_item(mark: str | Text, text: str | Text) -> None:
    """A mark, and beside it a paragraph of which no line begins under the mark."""
    grid = Table.grid(padding=0)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(mark, text)
    _print(grid)


def _print(grid: Table) -> None:
    screen = console()
    if screen.is_terminal:
        screen.print(grid)
        return
    with screen.capture() as printed:
        screen.print(grid)
    # rich fills the last column with blanks, which a file has no use for.
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in printed.get().splitlines())


def give(value: Any, output: str) -> None:
    """A value for scripts, as JSON or YAML; what is None is left out."""
    plain = _without_nothing(msgspec.to_builtins(value))
    if output == "yaml":
        from workers.documents.writing import dump

        sys.stdout.write(dump([plain]).decode())
    else:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(plain), indent=2).decode() + "\n")


def _without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nothing(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nothing(inner) for inner in value]
    return value
