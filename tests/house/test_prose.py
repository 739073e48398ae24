"""What people read: links lead somewhere, and nothing speaks of a machine that the reader doesn't have."""

from __future__ import annotations

import re

import pytest

from tests.house.code import ROOT
from tests.house.prose import Link, anchors, files, links, read

MARKDOWN = files(".md")
ELSEWHERE = re.compile(
    r"\.\./shared|(?<![\w.}/-])/(?:work|root)/|\bpypi\.org\b|pythonhosted\.org|proxy\.golang\.org|(?<!emit-)index-url",
)
"""A folder beside the project, an absolute path of a machine, the host of a package index."""


def test_every_link_leads_to_a_file_and_a_heading_that_exist():
    assert [str(link) for path in MARKDOWN for link in links(path) if not leads_somewhere(link)] == []


def leads_somewhere(link: Link) -> bool:
    target = (link.source.parent / link.target).resolve() if link.target else link.source
    if not target.exists():
        return False
    return not link.anchor or (target.suffix == ".md" and link.anchor in anchors(target))


@pytest.mark.parametrize("link", ["missing.md", "missing.md#a", "README.md#no-such-heading", "#no-such-heading"])
def test_a_link_that_leads_nowhere_is_seen(link):
    name, _, anchor = link.partition("#")
    assert not leads_somewhere(Link(ROOT / "README.md", name, anchor))


def test_no_file_speaks_of_a_machine_or_an_index_that_the_reader_may_not_have():
    found = []
    for path in files(".md", ".py", ".toml", ".lock", ".yaml", ".yml", ".json", ".txt", ".cfg", ""):
        if path.parent == ROOT / "tests" / "house":
            continue
        lines = read(path).splitlines()
        found += [f"{path.relative_to(ROOT)}:{n}: {line}" for n, line in enumerate(lines, 1) if ELSEWHERE.search(line)]
    assert found == []


@pytest.mark.parametrize("line", ["see ../shared/x", "cd /root/me", "`/work/a`", "https://pypi.org/simple"])
def test_a_line_about_a_machine_is_seen(line):
    assert ELSEWHERE.search(line)


def test_prose_ends_its_lines_with_its_sentences():
    two = re.compile(r"[a-z0-9`)]{2}[.!?] [A-Z][a-z]")
    ours = [path for path in MARKDOWN if path.is_relative_to(ROOT / "docs") or path.parent == ROOT]
    assert [
        f"{path.relative_to(ROOT)}: {line}"
        for path in ours
        for line in re.sub(r"^```.*?^```$", "", read(path), flags=re.MULTILINE | re.DOTALL).splitlines()
        if two.search(line) and not line.startswith("|")
    ] == []
