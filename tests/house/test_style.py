"""`make style` prints a report that fits a terminal, and never fails."""

from __future__ import annotations

import ast

from tests import style


def test_the_report_fits_in_100_columns_and_ends_well(capsys):
    code = style.main()
    lines = capsys.readouterr().out.splitlines()
    assert (0, True) == (code, max(map(len, lines)) <= 100)


def test_the_length_of_a_function_leaves_its_docstring_out():
    function = ast.parse('def a():\n    """One.\n\n    Two.\n    """\n    return 1\n').body[0]
    assert isinstance(function, ast.FunctionDef)
    assert 2 == style.length(function)


def test_reading_the_environment_is_seen_in_every_spelling():
    texts = ("os.environ['A']", "os.getenv('A')", "from os import environ", "click.option('--a', envvar='A')")
    seen = [any(map(style.reads_environment, ast.walk(ast.parse(text)))) for text in (*texts, "os.path.join('A')")]
    assert [True, True, True, True, False] == seen
