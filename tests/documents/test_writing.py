"""Bytes are stable, and mean the same to every reader of YAML."""

from __future__ import annotations

import os
import subprocess
import sys
from types import MappingProxyType

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.documents.samples import EXPORT, EXPORT_PATH
from workers.documents.kinds import Export
from workers.documents.reading import read
from workers.documents.writing import dump, write

NASTY = [
    *(
        "",
        " ",
        "y",
        "N",
        "yes",
        "No",
        "on",
        "OFF",
        "true",
        "False",
        "null",
        "NULL",
        "~",
        "=",
        "<<",
        "*",
        "*.a",
        "&a",
        "!a",
    ),
    *(
        "-",
        "- a",
        "--- ",
        "---",
        "...",
        "?",
        "? a",
        ":",
        ": ",
        "a:",
        "a: b",
        ":a",
        "#",
        "# a",
        "a #b",
        "a#b",
        "@a",
        "`a",
    ),
    *(
        "1",
        "012",
        "0o12",
        "0x1F",
        "1e3",
        "1.5",
        ".5",
        "1.",
        "-1",
        "+1",
        "1_000",
        "1:30",
        "190:20:30",
        ".inf",
        ".NaN",
        "0b1",
    ),
    *("2026-01-31", "2026-01-31T08:00:00Z", "{a}", "[a]", "a, b", "'a'", '"a"', "a\\b", "%a", "|", ">", ">-", "a|b"),
    *(
        " a",
        "a ",
        "a\n",
        "\na",
        "a\nb",
        "a\tb",
        "a\r\nb",
        "\x85",
        "\u2028",
        "\ufeff",
        "é",
        "日本",
        "😀",
        "\x00",
        "\x1b[31m",
    ),
    *("a" * 300, "a b " * 100, "ed25519:AAAA+/=", "spiffe://a.example/ns/b/sa/c", "a:b", "a:b:c", "a::b", "a/b-c_d.e"),
]
TEXT = st.sampled_from(NASTY) | st.text()
VALUES = st.recursive(
    TEXT | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("text", NASTY)
def test_text_is_text_wherever_it_stands(text: str):
    value = {text: text, "list": [text, [text]], "map": {text: {text: text}}}
    assert value == yaml.safe_load(dump([value]))


@given(st.lists(st.dictionaries(TEXT, VALUES, max_size=4), min_size=1, max_size=3))
def test_what_is_dumped_is_read_again_in_the_same_order(objects):
    written = dump(objects)
    again = list(yaml.safe_load_all(written))
    assert objects == again
    assert [list(some) for some in objects] == [list(some) for some in again]
    assert dump(again) == written
    assert written.isascii()


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("reviews.bookinfo", "k: reviews.bookinfo\n"),
        ("spiffe://west.example/ns/a/sa/b", "k: spiffe://west.example/ns/a/sa/b\n"),
        ("outbound_.9080_._.reviews", "k: outbound_.9080_._.reviews\n"),
        ("a:b/c:d", "k: a:b/c:d\n"),
        ("9080", 'k: "9080"\n'),
        ("Yes", 'k: "Yes"\n'),
        ("", 'k: ""\n'),
        ("240.8.0.1", 'k: "240.8.0.1"\n'),
        ("a b", 'k: "a b"\n'),
        ("é\n", 'k: "\\xE9\\n"\n'),
        (True, "k: true\n"),
        (9080, "k: 9080\n"),
        (0.5, "k: 0.5\n"),
        (1.0, "k: 1.0\n"),
        (0.00001, "k: 1.0e-05\n"),
        ([], "k: []\n"),
        ({}, "k: {}\n"),
        (["a", {"b": "c"}], "k:\n- a\n- b: c\n"),
        (("a",), "k:\n- a\n"),
        (MappingProxyType({"b": "c"}), "k:\n  b: c\n"),
    ],
)
def test_a_value_has_one_spelling(value: object, line: str):
    assert line == dump([{"k": value}]).decode()


def test_documents_are_separated_by_dashes_only():
    assert b"a: b\n---\nc: d\n" == dump([{"a": "b"}, {"c": "d"}])


def test_nothing_is_folded_however_long_it_is():
    assert b'k: "' + b"a b " * 5000 + b'"\n' == dump([{"k": "a b " * 5000}])


def test_a_value_that_stands_twice_is_written_twice():
    shared = {"a": ["b"]}
    assert b"one:\n  a:\n  - b\ntwo:\n  a:\n  - b\n" == dump([{"one": shared, "two": shared}])


@pytest.mark.parametrize("value", [None, b"a", {1}, object()])
def test_what_documents_have_no_spelling_for_is_refused(value: object):
    with pytest.raises(TypeError, match="isn't written in documents"):
        dump([{"k": value}])


def test_a_document_is_written_in_the_order_of_its_type_whatever_order_its_maps_have():
    document = read(EXPORT_PATH, EXPORT.encode())
    assert isinstance(document, Export)
    document.spec.selector.update({"zone": "a", "aim": "b"})
    text = EXPORT.replace("    app: reviews\n", "    aim: b\n    app: reviews\n    zone: a\n")
    assert text == write(document).decode()


PROGRAM = """
import sys
from tests.documents.samples import FILES
from tests.documents.test_writing import NASTY
from workers.documents.reading import read
from workers.documents.writing import dump, write
for path, text in FILES.items():
    sys.stdout.buffer.write(write(read(path, text.encode())))
sys.stdout.buffer.write(dump([dict.fromkeys(NASTY, NASTY)]))
"""


def test_bytes_depend_on_neither_hash_seed_nor_locale_nor_time_zone():
    surroundings = [
        {"PYTHONHASHSEED": "0", "LC_ALL": "C", "TZ": "UTC"},
        {"PYTHONHASHSEED": "4711", "LC_ALL": "C.UTF-8", "TZ": "Asia/Kathmandu", "PYTHONUTF8": "1"},
    ]
    first, second = (
        subprocess.run([sys.executable, "-c", PROGRAM], env={**os.environ, **some}, check=True, capture_output=True)
        for some in surroundings
    )
    assert first.stdout == second.stdout
    assert first.stdout.endswith(dump([dict.fromkeys(NASTY, NASTY)]))
