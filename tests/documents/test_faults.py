"""What a person is told: every fault in `faults/*.yaml`, a change to the valid mesh of `samples`, word for word."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.documents.samples import EAST, EAST_PATH, FILES, with_files
from workers.tree import FilesInMemory, read_tree

TABLES = sorted((Path(__file__).parent / "faults").glob("*.yaml"))
CASES = [
    pytest.param(case, id=f"{table.stem}: {case['fault']}")
    for table in TABLES
    for case in yaml.safe_load(table.read_text(encoding="utf-8"))
]
DEEP = "more than 20 levels. No document needs that many."
BYTES = [
    pytest.param(
        EAST.encode() + b"  locality: caf\xe9\n",
        ":8",
        "not UTF-8. Save the file as UTF-8.",
        id="bytes that aren't UTF-8",
    ),
    pytest.param(EAST.encode("utf-16"), ":1", "not UTF-8. Save the file as UTF-8.", id="UTF-16"),
    pytest.param(
        f"{EAST}  locality: a\x07\n",
        ":8",
        "a character that YAML doesn't allow (U+0007). Remove it.",
        id="a control character",
    ),
    pytest.param(
        f'{EAST}  locality: "a\\u0000"\n',
        ":8",
        "`locality` has a line break, a tab or another character that doesn't print. "
        "Write it in one line; no document needs such a character.",
        id="an escaped control character",
    ),
    pytest.param(
        f'{EAST}  locality: "\\ud800"\n',
        ":8",
        "not YAML: found invalid Unicode character escape code (while parsing a quoted scalar). "
        "Look for a missing quote, bracket or indent; text with : { [ * & # or @ needs quotes.",
        id="an unpaired surrogate",
    ),
    pytest.param(
        EAST + "#" * (1 << 20),
        "",
        "1048701 bytes; a document has at most 1048576. Take out what isn't part of it.",
        id="more than a mebibyte",
    ),
    pytest.param("a: " + "[" * 1_000_000, ":1", DEEP, id="a bomb of brackets"),
    pytest.param("a:\n" + "- " * 500_000, ":2", DEEP, id="a bomb of dashes"),
    pytest.param("{a: " * 30 + "b" + "}" * 30, ":1", DEEP, id="maps in maps"),
    pytest.param(
        "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghi")),
        ":1",
        "an anchor (`&a`). Documents hold maps, lists, text, numbers, true and false: write the value itself. "
        "Text that starts with & * or ! needs quotes.",
        id="a bomb of aliases",
    ),
]


def _told(changed: dict[str, bytes | str | None]) -> list[str]:
    tree, problems = read_tree(FilesInMemory(with_files(changed)))
    in_mesh = [problem for problem in problems if problem.path.startswith("mesh/")]
    assert (tree is None) == bool(in_mesh)
    return [str(problem) for problem in problems]


@pytest.mark.parametrize("case", CASES)
def test_a_fault_is_told_with_its_place_and_the_remedy(case: dict[str, Any]):
    path = case["file"]
    content = case.get("content")
    if "instead of" in case:
        assert case["instead of"] in FILES[path]
        content = FILES[path].replace(case["instead of"], case["there is"])
    assert case["says"] == _told({path: content})


@pytest.mark.parametrize(("content", "line", "says"), BYTES)
def test_hostile_bytes_are_refused_by_name(content: bytes | str, line: str, says: str):
    assert [f"{EAST_PATH}{line}: {says}"] == _told({EAST_PATH: content})


def test_the_mesh_that_all_these_faults_are_put_into_has_none():
    assert [] == _told({})


def test_there_are_more_than_forty_kinds_of_fault():
    assert len({case.id for case in CASES}) == len(CASES) > 40
