"""What people see: 100 columns on a terminal, whole lines elsewhere, colour only where it can be seen and is wanted."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from rich.text import Text

from tests.cli.calls import Said, call, done, on_terminal, process, sources
from workers.cli import main, screen

CONTROL = re.compile(r".*\r|\x1b\[[0-9;?]*[A-Za-z]")
"""A spinner goes back and writes over itself, the oftener the slower the machine is."""


def commands(group: click.Group = main, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command and every group, as it is called."""
    found: list[tuple[str, ...]] = [above]
    for name, command in group.commands.items():
        path = (*above, name)
        found += commands(command, path) if isinstance(command, click.Group) else [path]
    return found


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_has_help_with_an_example_that_fits(path):
    said = call(*path, "--help")
    assert 0 == said.code
    if path != ("cluster",):
        assert re.search(r"Examples?:\n", said.stdout)
        assert f"peermesh {' '.join(path)}".strip() in said.stdout.partition("xample")[2]
    assert [] == [line for line in said.stdout.splitlines() if len(line) > screen.WIDTH]


def test_the_list_of_commands_is_not_cut():
    assert "..." not in done("--help").partition("Commands:")[2].partition("Examples:")[0]


@pytest.fixture(scope="module")
def arguments(meshes_of_the_demo: Path) -> tuple[object, ...]:
    """What there is most to see of."""
    return ("plan", "--repo", meshes_of_the_demo / "mesh", *sources())


@pytest.fixture(scope="module")
def shown(arguments: tuple[object, ...]) -> str:
    """What a terminal of 100 columns shows of it."""
    return on_terminal(*arguments).stdout


@pytest.fixture(scope="module")
def piped(arguments: tuple[object, ...]) -> Said:
    """What a pipe gets of it."""
    return process(*arguments)


def test_on_a_terminal_nothing_is_wider_than_it_is(shown, mesh, after):
    others = (
        ("explain", "shop/catalog", "--repo", after),
        ("cluster", "add", "x", "--network", "west", "--trust-domain", "x.west.shop.example", "--repo", mesh),
    )
    lines = CONTROL.sub("", "".join([shown, *(on_terminal(*other).stdout for other in others)])).splitlines()
    assert [] == [line for line in lines if len(line) > 100]


def test_elsewhere_every_line_is_whole_and_ends_with_its_last_letter(piped):
    lines = piped.stdout.splitlines()
    assert any(len(line) > 100 for line in lines)
    assert [] == [line for line in lines if line != line.rstrip()]


def test_colour_is_for_terminals_only_and_not_for_those_who_do_without(arguments, shown, piped):
    assert "\x1b[32m" in shown
    assert "\x1b" not in piped.stdout
    assert None is re.search(r"\x1b\[[0-9;]*3[0-7]", on_terminal(*arguments, NO_COLOR="1").stdout)


def test_progress_is_shown_on_terminals_and_leaves_nothing_behind(shown, piped):
    assert "planning …" in shown
    assert "" == piped.stderr


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("`a.b` **stops** being", "a.b stops being"),
        (r"x\-y \*z\* \`q\`", "x-y *z* `q`"),
        ("nothing", "nothing"),
        ("", ""),
    ],
)
def test_markdown_becomes_text(line, plain):
    assert plain == screen.styled(line).plain


def test_a_list_item_is_indented_as_a_whole(capsys):
    screen.say_markdown("### Head\n\n- one\n- two\n\nend\n", columns=2)
    assert "  Head\n  - one\n  - two\n\n  end\n" == capsys.readouterr().out


def test_what_looks_like_markup_is_text(capsys):
    screen.say("[bold]x[/bold] :smile: 10.0.0.1")
    screen.table(("a", "b"), [("[red]", Text("[1]"))])
    assert "[bold]x[/bold] :smile: 10.0.0.1\na       b\n[red]   [1]\n" == capsys.readouterr().out


def test_values_for_scripts_leave_out_what_is_nothing(capsys):
    screen.give({"a": None, "b": [{"c": None, "d": 1}], "e": ""}, "json")
    screen.give({"a": None, "b": [{"c": None, "d": 1}], "e": ""}, "yaml")
    expected = '{\n  "b": [\n    {\n      "d": 1\n    }\n  ],\n  "e": ""\n}\nb:\n- d: 1\ne: ""\n'
    assert expected == capsys.readouterr().out
