"""YAML as documents may use it: one document of maps, lists, text, whole numbers, decimals, `true` and `false`.

Knows YAML and lines. Knows no kinds. Reads events instead of PyYAML's nodes: they show tags, anchors and quotes, cost a
quarter of the time, and nothing is built before it is known to be harmless.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from syncer.protocol.errors import Rejected

MAX_BYTES: Final = 1 << 20
_MAX_DEPTH: Final = 20
"""The deepest document of ours has six levels."""

_NUMBER: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})(?P<decimals>(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?)")
"""No octals, no 1:30 for 90, no underscores: what Go's reader, PyYAML and people read differently stays text."""
_NOTHING: Final = frozenset({"", "~", "null", "Null", "NULL"})
_PLAIN_ONLY: Final = "Documents hold maps, lists, text, numbers, true and false: write the value itself."


class Malformed(Rejected):
    """Not YAML as documents may use it. `line` counts from 1; 0: the file as a whole."""

    def __init__(self, line: int, what: str, remedy: str) -> None:
        super().__init__("Malformed", what, remedy=remedy)
        self.line = line


class Map(dict[str, Any]):
    """A map that knows the line of each key."""

    __slots__ = ("lines",)
    lines: dict[str, int]


class Items(list[Any]):
    """A list that knows the line of each item."""

    __slots__ = ("lines",)
    lines: list[int]


def parse(data: bytes, *, texts: bool = False) -> Map:
    """The one document in `data`, a map. `texts`: PEM, and values of the key `text`, may have line breaks.

    Raises:
        Malformed: whatever else it is.
    """
    if len(data) > MAX_BYTES:
        raise Malformed(0, f"{len(data)} bytes; a document has at most {MAX_BYTES}", "Take out what isn't part of it.")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Malformed(line, "not UTF-8", "Save the file as UTF-8.") from error
    try:
        return _Reader(data, texts=texts).document()
    except yaml.YAMLError as error:
        raise _translated(error, data) from error


class _Reader:
    def __init__(self, data: bytes, *, texts: bool) -> None:
        self._next = yaml.CLoader(data).get_event
        self._texts = texts

    def document(self) -> Map:
        self._next()  # the start of the stream
        if not isinstance(self._next(), yaml.DocumentStartEvent):
            raise Malformed(0, "an empty file", "Write the document, or remove the file.")
        event = self._next()
        if not isinstance(event, yaml.MappingStartEvent):
            self._refuse_extras(event)
            raise Malformed(_line(event), "not a map of keys and values", "A document starts with `apiVersion:`.")
        value: Map = self._value(event, 0, "the document")
        self._next()  # the end of the document
        event = self._next()
        if isinstance(event, yaml.DocumentStartEvent):
            raise Malformed(_line(event), "a second document (`---`)", "Give each document a file of its own.")
        return value

    def _value(self, event: Any, depth: int, name: str) -> Any:
        if event.__class__ is yaml.ScalarEvent and event.anchor is None and event.tag is None:
            return _scalar(event, name, texts=self._texts)
        self._refuse_extras(event)
        if depth == _MAX_DEPTH:
            raise _too_deep(_line(event))
        return self._map(depth) if isinstance(event, yaml.MappingStartEvent) else self._items(depth, name)

    def _map(self, depth: int) -> Map:
        result = Map()
        lines: dict[str, int] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            self._refuse_extras(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise Malformed(_line(event), "a key that isn't text", "Put the key in double quotes.")
            key, line = event.value, _line(event)
            if not key.isprintable():
                raise Malformed(line, "a key with a character that doesn't print", "Write it without.")
            if key in result:
                raise Malformed(line, f"`{key}` stands twice, first in line {lines[key]}", "Keep one of the two.")
            if key == "<<":
                raise Malformed(line, "a merge key (`<<`)", _PLAIN_ONLY)
            result[key] = self._value(self._next(), depth + 1, f"`{key}`")
            lines[key] = line
        result.lines = lines
        return result

    def _items(self, depth: int, name: str) -> Items:
        result = Items()
        lines: list[int] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            lines.append(_line(event))
            result.append(self._value(event, depth + 1, f"an item of {name}"))
        result.lines = lines
        return result

    def _refuse_extras(self, event: Any) -> None:
        if isinstance(event, yaml.AliasEvent):
            what = f"an alias (`*{event.anchor}`)"
        elif event.anchor is not None:
            what = f"an anchor (`&{event.anchor}`)"
        elif event.tag is not None:
            what = f"a YAML tag (`{event.tag.replace('tag:yaml.org,2002:', '!!')}`)"
        else:
            return
        raise Malformed(_line(event), what, f"{_PLAIN_ONLY} Text that starts with & * or ! needs quotes.")


def _line(event: Any) -> int:
    line: int = event.start_mark.line
    return line + 1


def _scalar(event: Any, name: str, *, texts: bool) -> str | int | float | bool:
    text: str = event.value
    if not text.isprintable() and not (texts and _is_text(text, name)):
        what = f"{name} has a line break, a tab or another character that doesn't print"
        raise Malformed(_line(event), what, "Write it in one line; no document needs such a character.")
    if not event.implicit[0]:
        return text  # in quotes
    if text in {"true", "false"}:
        return text == "true"
    if text in _NOTHING:
        remedy = "Write one, or leave the key out; an empty list is `[]`, and text with braces needs quotes."
        raise Malformed(_line(event), f"{name} has no value", remedy)
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    return float(text) if match["decimals"] else int(text)


def _is_text(text: str, name: str) -> bool:
    """Lines that print, of a kind where they are meant: a label with a line break at its end is none."""
    return (text.startswith("-----BEGIN ") or name == "`text`") and all(map(str.isprintable, text.split("\n")))


def _too_deep(line: int) -> Malformed:
    return Malformed(line, f"more than {_MAX_DEPTH} levels", "No document needs that many.")


def _translated(error: yaml.YAMLError, data: bytes) -> Malformed:
    """The error of libyaml with the line, and with a remedy for what people write most."""
    if isinstance(error, yaml.reader.ReaderError):
        line = data.count(b"\n", 0, error.position) + 1
        return Malformed(line, f"a character that YAML doesn't allow (U+{error.character:04X})", "Remove it.")
    assert isinstance(error, yaml.MarkedYAMLError)
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 0
    what = f"not YAML: {error.problem}" + (f" ({error.context})" if error.context else "")
    if "nesting" in (error.problem or ""):
        return _too_deep(line)
    if any(re.match(rb" *\t", text) for text in data.split(b"\n")[line - 1 : line]):
        return Malformed(line, "a tab at the start of a line", "Indent with spaces.")
    return Malformed(
        line, what, "Look for a missing quote, bracket or indent; text with : { [ * & # or @ needs quotes."
    )
