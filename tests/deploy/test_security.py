"""The threat model names tests that exist, and every credential that a manifest of the centre has."""

from __future__ import annotations

import ast
import re

import pytest

from tests.house.code import ROOT, syntax
from tests.house.prose import read

PAGE = read(ROOT / "docs" / "security.md")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_test_that_holds_a_line_of_the_threat_model_exists(path, name):
    functions = {node.name for node in ast.walk(syntax(ROOT / path)) if isinstance(node, ast.FunctionDef)}
    assert name in functions


def test_every_line_that_says_what_is_impossible_names_a_test():
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in PAGE.splitlines() if line.startswith("|")]
    limits = [row for row in rows[2:] if len(row) == 4 and not row[2].startswith("nothing stops it")]
    assert [] == [row for row in limits if "tests/" not in row[3] and "the same" not in row[3]]
    assert len(limits) > 25
