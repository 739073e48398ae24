"""Strict reading: from the bytes at a path to the document, or to problems with line and remedy.

Knows paths, kinds and the rules of a single document. Knows no other documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from syncer.protocol.errors import Rejected
from workers.documents import paths
from workers.documents.kinds import KINDS, Document
from workers.documents.rules import rule_faults
from workers.documents.shape import Fault, Where, faults, shown
from workers.documents.strict import API_VERSION
from workers.documents.syntax import Items, Malformed, Map, parse
from workers.documents.writing import write

_LATER: Final = ("mesh/access/", "mesh/traffic/", "mesh/external/", "mesh/holds/")


@dataclass(frozen=True, kw_only=True, order=True)
class Problem:
    """What is wrong with a file, where, and what to do; one line of text. `line` counts from 1; 0: the whole file."""

    path: str
    line: int
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.what}" + (f". {self.remedy}" if self.remedy else "")


class Invalid(Rejected):
    """A file that isn't the document that its path says; prints one line per problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        super().__init__("InvalidDocument", first.what, subject=first.path, remedy=first.remedy)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def read(path: str, data: bytes) -> Document:
    """The document at a path of `mesh/`, `facts/` or `pki/`.

    Raises:
        Invalid: whatever is wrong, all of it where that is cheaply known.
    """
    place = paths.place(path)
    if place is None:
        raise Invalid([_unplaced(path)])
    try:
        content = parse(data, texts=path.startswith(paths.PKI))
    except Malformed as error:
        raise Invalid([Problem(path=path, line=error.line, what=error.what, remedy=error.remedy)]) from error
    document, found = _document(content, place)
    if document is None or found:
        raise Invalid(_problem(path, content, fault) for fault in found)
    if path.startswith(paths.ROBOTS) and (written := write(document)) != data:
        raise Invalid([_misspelt(path, data, written)])
    return document


def _unplaced(path: str) -> Problem:
    stem, _, ending = path.rpartition(".")
    if ending != "yaml":
        return Problem(path=path, line=0, what="documents end in .yaml", remedy=f"Rename it to {stem}.yaml.")
    if path.startswith(_LATER):
        return Problem(path=path, line=0, what="this version has no such documents", remedy="Remove it.")
    if path.startswith(paths.ROBOTS):
        return Problem(path=path, line=0, what="no fact has this path", remedy="Remove it.")
    remedy = f"Here may stand {paths.MESH} and {paths.CLUSTERS}NAME.yaml; a name is a DNS label (RFC 1123)."
    return Problem(path=path, line=0, what="no document has this path", remedy=remedy)


def line_of(data: bytes, where: Where) -> int:
    """The line of a value in a file that was read before."""
    return _line(parse(data, texts=True), where)


def _document(content: Map, place: paths.Place) -> tuple[Document | None, list[Fault]]:
    kind = KINDS[place.kind]
    found = list(_head_faults(content, place))
    if found:
        return None, found
    try:
        document = cast("Document", msgspec.convert(content, kind, strict=True))
    except msgspec.ValidationError as error:
        return None, list(faults(content, kind)) or [Fault((), str(error), "")]
    return document, [*_name_faults(document, place), *rule_faults(document)]


def _head_faults(content: Map, place: paths.Place) -> Iterator[Fault]:
    """Version and kind; where one is wrong the rest means nothing."""
    for key, wanted in (("apiVersion", API_VERSION), ("kind", place.kind)):
        if key not in content:
            yield Fault((), f"`{key}` is missing", f"Write `{key}: {wanted}`.")
        elif content[key] != wanted:
            what = f"`{key}` is {shown(content[key])}, but a document at this path has {wanted}"
            yield Fault((key,), what, f"Write `{key}: {wanted}`, or move the file.")


def _name_faults(document: Document, place: paths.Place) -> Iterator[Fault]:
    """The path names what the document names. A Mesh, and the Trust of it, may be called anything."""
    if place.kind in {"Mesh", "Trust"}:
        return
    for key in ("name", "namespace", "cluster"):
        said, wanted = getattr(document.metadata, key, None), getattr(place, key)
        if said is not None and said != wanted:
            what = f"`metadata.{key}` is {said}, but the path says {wanted}"
            yield Fault(("metadata", key), what, f"Write `{key}: {wanted}`, or move the file.")


def _problem(path: str, content: Map, fault: Fault) -> Problem:
    return Problem(path=path, line=_line(content, fault.where), what=fault.what, remedy=fault.remedy)


def _line(content: Map, where: Where) -> int:
    """The line of the deepest key on the way that is there."""
    line, value = 1, cast("Any", content)
    for step in where:
        if not isinstance(value, Map | Items) or (isinstance(value, Map) and step not in value):
            break
        line, value = value.lines[step], value[step]  # type: ignore[index]
    return line


def _misspelt(path: str, data: bytes, written: bytes) -> Problem:
    """The robot's files have one spelling, so that equal facts are equal blobs."""
    ours, theirs = written.decode().split("\n"), data.decode().split("\n")
    pairs = enumerate(zip(ours, theirs, strict=False))
    number = next((i for i, (a, b) in pairs if a != b), min(len(ours), len(theirs)) - 1)
    if theirs[number + 1 : number + 2] == ours[number : number + 1]:
        remedy = "Remove this line"
    elif number == len(theirs) - 1 and theirs[number] == ours[number]:
        remedy = "End this line with a line break"
    else:
        remedy = f"Write this line as `{ours[number]}`"
    remedy += f", or take the robot's version back from Git (`git log -- {path}`)."
    return Problem(path=path, line=number + 1, what="not as the robot writes it", remedy=remedy)
