"""Decisions: every one is in the index, in MADR form, and names what is bad about it."""

from __future__ import annotations

import re

import pytest

from tests.house.code import ROOT
from tests.house.prose import read

FOLDER = ROOT / "docs" / "adr"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))


def title(text: str) -> str:
    found = re.search(r"^# (.*)$", text, re.MULTILINE)
    assert found
    return found[1]


def test_the_index_names_every_record_with_its_number_and_title():
    index = re.findall(r"^\| (\d+) \| \[(.*)\]\((.*)\) \|$", read(FOLDER / "README.md"), re.MULTILINE)
    assert index == [(str(int(record.name[:4])), title(read(record)), record.name) for record in RECORDS]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_record_has_the_parts_of_madr_and_honest_consequences(record):
    text = read(record)
    headings = re.findall(r"^##+ (.*)$", text, re.MULTILINE)
    assert re.match(r"---\nstatus: (proposed|accepted|superseded by .+)\ndate: \d{4}-\d\d-\d\d\n---\n", text)
    wanted = ["Context and problem statement", "Decision drivers", "Considered options", "Decision outcome"]
    assert headings[:4] == wanted
    consequences = text.partition("### Consequences")[2].partition("\n#")[0]
    assert "- Good: " in consequences
    assert "- Bad: " in consequences
