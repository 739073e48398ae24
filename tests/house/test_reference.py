"""The reference: whatever the code has for people to set, watch or meet stands in it, as the code has it now."""

from __future__ import annotations

import ast
import re
from typing import get_args

import pytest

from tests.house import reference
from tests.house.code import ROOT, source_files, syntax
from tests.house.prose import read
from workers.documents import paths
from workers.documents.kinds import ProposalClass

PAGE = ROOT / "docs" / "reference.md"


@pytest.mark.golden
def test_the_generated_parts_are_what_the_code_says(golden):
    expected = reference.updated(read(PAGE))
    if golden:
        PAGE.write_text(expected, encoding="utf-8")
    assert expected == read(PAGE)


def test_the_page_has_every_part_that_can_be_generated():
    assert sorted(reference.PARTS) == sorted(reference.parts_of(read(PAGE)))


def test_a_part_that_is_out_of_date_is_seen():
    page = "<!-- generated: metrics -->\n| old |\n<!-- end -->\n"
    assert f"<!-- generated: metrics -->\n{reference.metrics()}<!-- end -->\n" == reference.updated(page)


def test_every_variable_of_the_environment_is_in_the_reference():
    assert set() == strings(r"PEERMESH_[A-Z_]*[A-Z]") - words()


def test_every_metric_is_in_the_reference():
    named = strings(r"peermesh_[a-z_]*[a-z]")
    assert set() == {name for name in named if not {name, f"{name}_total"} & words()}


def test_every_trailer_of_a_commit_is_in_the_reference():
    trailers = {
        match[1] for text in literals() for match in re.finditer(r"^(Peermesh-[A-Za-z-]+): ", text, re.MULTILINE)
    }
    assert trailers
    assert set() == trailers - words()


def test_every_ref_and_kind_of_branch_is_in_the_reference():
    branches = [
        paths.clusters_branch("<cluster>"),
        paths.exports_branch("<namespace>"),
        paths.held_branch("<namespace>"),
    ]
    assert set() == {paths.MAIN, paths.RENDER_BRANCH, paths.REJECTED, paths.PAUSED, *branches} - words()


def test_every_class_of_a_proposal_is_in_the_reference():
    assert set() == set(get_args(ProposalClass)) - words()


def test_every_document_that_the_source_names_exists():
    named = {match for text in literals() for match in re.findall(r"\bdocs/[\w/.-]+\.md\b", text)}
    assert set() == {name for name in named if not (ROOT / name).exists()}


def words() -> set[str]:
    """What stands in backquotes on the page."""
    return set(re.findall(r"`([^`\n]+)`", read(PAGE)))


def literals() -> list[str]:
    """Every piece of text in the source, docstrings included."""
    nodes = (node for path in source_files() for node in ast.walk(syntax(path)))
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def strings(pattern: str) -> set[str]:
    """Whole literals of a form."""
    return {text for text in literals() if re.fullmatch(pattern, text)}
