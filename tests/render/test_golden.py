"""Golden cases: what follows from a small mesh, file by file."""

from __future__ import annotations

import pytest

from tests.render.cases import CASES, expected, given, rendered, rewrite
from workers.reach import reach
from workers.render import render
from workers.render.lint import lint


@pytest.mark.golden
@pytest.mark.parametrize("case", CASES)
def test_from_what_is_given_follows_what_is_expected(case: str, golden: bool):
    if golden:
        rewrite(case)
    assert expected(case) == rendered(given(case))


@pytest.mark.parametrize("case", CASES)
def test_lint_finds_nothing_in_a_golden_case(case: str):
    tree = given(case)
    assert () == lint(tree, reach(tree), render(tree, reach(tree)), whole=True)
