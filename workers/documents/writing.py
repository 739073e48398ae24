"""Canonical YAML: the same value gives the same bytes everywhere.

Knows how values are spelled so that every reader of YAML (1.1, 1.2, Go's, PyYAML's) reads the same value. Knows no
paths and no rules of documents, and adds nothing: what order keys have is decided by who builds the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from typing import Any, Final

import msgspec
import yaml

from workers.documents.kinds import Document
from workers.documents.strict import API_VERSION

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9._/-]*(:[A-Za-z0-9._/-]+)*")
"""Go's reader and PyYAML disagree on what else is a string."""
_WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})

_STREAM_START: Final = yaml.StreamStartEvent(encoding="utf-8")
_STREAM_END: Final = yaml.StreamEndEvent()
_DOCUMENT_START: Final = yaml.DocumentStartEvent(explicit=False)
_DOCUMENT_END: Final = yaml.DocumentEndEvent(explicit=False)
_MAPPING_START: Final = yaml.MappingStartEvent(None, None, True, flow_style=False)  # noqa: FBT003 (PyYAML's order)
_MAPPING_END: Final = yaml.MappingEndEvent()
_SEQUENCE_START: Final = yaml.SequenceStartEvent(None, None, True, flow_style=False)  # noqa: FBT003
_SEQUENCE_END: Final = yaml.SequenceEndEvent()


def write(document: Document) -> bytes:
    """The one spelling of a document: fields in the order of the types, maps by key, defaults left out."""
    content = msgspec.to_builtins(document, order="deterministic")
    return dump([{"apiVersion": API_VERSION, "kind": type(document).__name__, **content}])


def dump(objects: Sequence[Mapping[str, Any]]) -> bytes:
    """Objects of strings, booleans, numbers, lists and maps as YAML documents with `---` between, keys as given.

    Raises:
        TypeError: a value of another type, None among them: a key without value is left out.
    """
    stream = BytesIO()
    emitter = yaml.CDumper(stream, encoding="utf-8", allow_unicode=False, width=-1, line_break="\n")
    emit = emitter.emit
    emit(_STREAM_START)
    for content in objects:
        emit(_DOCUMENT_START)
        _emit(emit, content)
        emit(_DOCUMENT_END)
    emit(_STREAM_END)
    return stream.getvalue()


def _emit(emit: Callable[[yaml.Event], None], value: object) -> None:
    """One value as events. Anchors and aliases can't arise: nothing here looks at identity."""
    if isinstance(value, str):
        emit(_string(value))
    elif isinstance(value, Mapping):
        emit(_MAPPING_START)
        for key, inner in value.items():
            emit(_string(key))
            _emit(emit, inner)
        emit(_MAPPING_END)
    elif isinstance(value, list | tuple):
        emit(_SEQUENCE_START)
        for inner in value:
            _emit(emit, inner)
        emit(_SEQUENCE_END)
    elif isinstance(value, bool | int | float):
        emit(_plain(_number(value)))
    else:
        raise TypeError(f"{value!r} isn't written in documents")


@lru_cache(maxsize=4096)
def _string(value: str) -> yaml.ScalarEvent:
    """Kept, because the same words stand in every rendered object: a full render spends a third less."""
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return _plain(value)
    return yaml.ScalarEvent(None, None, (False, True), value, style='"')


def _plain(text: str) -> yaml.ScalarEvent:
    return yaml.ScalarEvent(None, None, (True, False), text)


def _number(value: float) -> str:
    """Booleans and integers as JSON has them; floats with a point, which every reader takes for a float."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text
