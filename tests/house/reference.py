"""The generated parts of `docs/reference.md`: tables of what the code says of itself.

Each stands between `<!-- generated: NAME -->` and `<!-- end -->`; everything else on that page is written by hand.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Final, get_args

import click

from tests.house import code
from tests.house.code import ERRORS, Reason

_MARKED: Final = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)


def updated(text: str) -> str:
    """The page with its generated parts made anew.

    Raises:
        KeyError: it asks for a part that nothing generates.
    """
    return _MARKED.sub(lambda found: f"{found[1]}{PARTS[found['name']]()}{found[4]}", text)


def parts_of(text: str) -> list[str]:
    """The names of the generated parts, in order."""
    return [found["name"] for found in _MARKED.finditer(text)]


def settings_of(package: str) -> str:
    """The variables of the environment that a package's processes read."""
    rows = [(f"`{row.name}`", row.meaning, _quoted(row.default)) for row in _settings(package)]
    return table(("variable", "meaning", "default"), rows)


def _settings(package: str) -> tuple[Any, ...]:
    return tuple(importlib.import_module(f"{package}.settings").SETTINGS)


def metrics() -> str:
    """Names as Prometheus shows them."""
    rows = ((f"`{m.name}`", m.kind, ", ".join(map(_quoted, m.labels)), m.what) for m in code.metrics())
    return table(("metric", "kind", "labels", "meaning"), rows)


def errors() -> str:
    """What ends or delays a piece of work, by reason."""
    known = importlib.import_module("syncer.reasons").REASONS
    return _reasons(
        reason
        for reason in code.reasons()
        if code.error_classes().get(reason.kind) in ERRORS and reason.reason not in known
    )


def refusals() -> str:
    """Why something that people asked to export isn't exported, by reason: said by a syncer, or by the workers."""
    known: Mapping[str, str] = importlib.import_module("syncer.reasons").REASONS
    ours: dict[str, list[str]] = {}
    for reason in code.reasons():
        if reason.kind == "Unacceptable" and reason.what not in (said := ours.setdefault(reason.reason, [])):
            said.append(reason.what)
    rows = []
    for name in sorted(known.keys() | ours.keys()):
        who = [who for who, says in (("syncer", known), ("workers", ours)) if name in says]
        rows.append((_quoted(name), ", ".join(who), known.get(name) or "<br>".join(ours[name])))
    return table(("reason", "said by", "meaning"), rows)


def blocks() -> str:
    """Why a consumer can't call a host through a provider."""
    said = {reason.reason: reason.what for reason in code.reasons() if reason.kind == "Block"}
    kinds = get_args(importlib.import_module("workers.reach").BlockReason)
    return table(("reason", "what `explain` says"), ((_quoted(kind), said[kind]) for kind in sorted(kinds)))


def exits() -> str:
    """The exit codes of `peermesh`; the docstring below a member says what it means."""
    exit_codes = importlib.import_module("workers.cli.exits").Exit
    said = _docstrings("workers/cli/exits.py", "Exit")
    return table(("code", "meaning"), ((f"{member.value}", said[member.name]) for member in exit_codes))


def commands() -> str:
    """Every command of `peermesh` with the first sentence of its help."""
    main = importlib.import_module("workers.cli").main
    rows = [(f"`peermesh {path}`", command.get_short_help_str(limit=200)) for path, command in commands_below(main)]
    return table(("command", "what it does"), rows)


def commands_below(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    """Path and command of everything that can be called, in the order of `--help`."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield f"{above}{name}", command
        if isinstance(command, click.Group):
            yield from commands_below(command, f"{above}{name} ")


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "commands": commands,
    "exits": exits,
    "settings-syncer": lambda: settings_of("syncer"),
    "settings-agent": lambda: settings_of("syncer.agent"),
    "settings-workers": lambda: settings_of("workers"),
    "metrics": metrics,
    "errors": errors,
    "refusals": refusals,
    "blocks": blocks,
}


def _reasons(found: Iterable[Reason]) -> str:
    """One row for each reason and class; what is said in several places in as many lines."""
    rows: dict[tuple[str, str], list[str]] = {}
    for reason in found:
        said = rows.setdefault((reason.reason, code.error_classes()[reason.kind]), [])
        what = reason.what or code.sentence_of(reason.kind)
        if what not in said:
            said.append(what)
    return table(
        ("reason", "class", "what it says"),
        ((_quoted(name), kind, "<br>".join(said)) for (name, kind), said in sorted(rows.items())),
    )


def _docstrings(path: str, owner: str) -> dict[str, str]:
    """The strings that stand below the members of a class."""
    tree = code.syntax(code.ROOT / path)
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == owner)
    found = {}
    for node, after in pairwise(body):
        match node, after:
            case (
                ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split())
    return found


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table; `|` and line breaks in cells are written so that they stay in their cell."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(map(_cell, line)) + " |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _quoted(text: str) -> str:
    return f"`{text}`" if text else ""
