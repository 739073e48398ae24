"""What an API server sends: pages of lists, and lines of watches, decoded straight into the structs of `objects`.

Pure. Knows the envelopes of the API, no kind of object.
"""

from __future__ import annotations

import json
import threading
from functools import cache
from typing import Any, Final, Generic, TypeVar

import msgspec

from syncer.cluster.objects import Object
from syncer.protocol.errors import Rejected, Transient

_T = TypeVar("_T")
_VERBS: Final = frozenset({"list", "watch", "create"})
"""A kind whose CRD is being deleted is still served, but nothing can be created any more (apiextensions-apiserver,
`crdDiscoveryController`): what disappears then was taken away by nobody."""


class ListMetadata(Object, frozen=True, kw_only=True):
    """`go_on`: the token of the next page; empty: this is the last one."""

    resource_version: str = ""
    go_on: str = msgspec.field(name="continue", default="")


class Page(Object, Generic[_T], frozen=True, kw_only=True):
    """One answer to a list. A list without items may be null."""

    metadata: ListMetadata
    items: tuple[_T, ...] | None = None


class Event(Object, frozen=True, kw_only=True):
    """One line of a watch: ADDED, MODIFIED, DELETED, BOOKMARK, ERROR."""

    type: str
    object: msgspec.Raw


class _Version(Object, frozen=True, kw_only=True):
    resource_version: str = ""


class _Versioned(Object, frozen=True, kw_only=True):
    metadata: _Version


class _Status(Object, frozen=True, kw_only=True):
    code: int = 0
    message: str = ""


class _Kind(Object, frozen=True, kw_only=True):
    name: str
    verbs: tuple[str, ...] = ()


class _Kinds(Object, frozen=True, kw_only=True):
    resources: tuple[_Kind, ...] = ()


class _GroupVersion(Object, frozen=True, kw_only=True):
    version: str


class _Group(Object, frozen=True, kw_only=True):
    versions: tuple[_GroupVersion, ...] = ()


class _Build(Object, frozen=True, kw_only=True):
    git_version: str = ""


def page(data: bytes, shape: type[_T], where: str) -> Page[_T]:
    """A page of a list. Raises as `_decoded`."""
    decoded: Page[_T] = _decoded(data, Page[shape], where)  # type: ignore[valid-type]
    return decoded


def event(line: bytes, where: str) -> Event:
    """A line of a watch. Raises as `_decoded`."""
    decoded: Event = _decoded(line, Event, where)
    return decoded


def changed(told: Event, shape: type[_T], where: str) -> _T:
    """The object of ADDED, MODIFIED and DELETED. Raises as `_decoded`."""
    decoded: _T = _decoded(bytes(told.object), shape, where)
    return decoded


def version(told: Event, where: str) -> str:
    """The version that a watch can go on from after any event but ERROR. Raises as `_decoded`."""
    decoded: _Versioned = _decoded(bytes(told.object), _Versioned, where)
    return decoded.metadata.resource_version


def trouble(told: Event, where: str) -> tuple[int, str]:
    """Status code and message of ERROR. Raises as `_decoded`."""
    decoded: _Status = _decoded(bytes(told.object), _Status, where)
    return decoded.code, decoded.message


def group_versions(data: bytes, where: str) -> tuple[str, ...]:
    """The versions that a group is served in, from `/apis/<group>`. Raises as `_decoded`."""
    decoded: _Group = _decoded(data, _Group, where)
    return tuple(one.version for one in decoded.versions)


def serves(data: bytes, plural: str, where: str) -> bool:
    """Whether a kind is there to stay, from `/apis/<group>/<version>`. Raises as `_decoded`."""
    decoded: _Kinds = _decoded(data, _Kinds, where)
    return any(kind.name == plural and set(kind.verbs) >= _VERBS for kind in decoded.resources)


def git_version(data: bytes, where: str) -> str:
    """From `/version`. Raises as `_decoded`."""
    decoded: _Build = _decoded(data, _Build, where)
    return decoded.git_version


def _decoded(data: bytes, shape: Any, where: str) -> Any:
    """A value of the shape.

    Raises:
        Transient: not JSON: the answer was cut off, or somebody else than an API server gave it.
        Rejected: an object that isn't as the API has it.
    """
    try:
        return _decoder(shape).decode(data)
    except msgspec.ValidationError:
        pass  # null stands for absent, which is rare in answers of an API server; without it decoding costs a third
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Transient("BadAnswer", f"an answer that isn't JSON: {error}", subject=where) from error
    try:
        return msgspec.convert(json.loads(data, object_pairs_hook=_without_nulls), shape)
    except (msgspec.ValidationError, RecursionError) as error:
        remedy = "Is it an API server that answers? Then its kind of another version may be the reason."
        raise Rejected("BadObject", f"an object that can't be read: {error}", subject=where, remedy=remedy) from error


def _without_nulls(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in pairs if value is not None}


_MAKING: Final = threading.Lock()
"""Where two threads make decoders at once that share a struct, as all objects share their metadata, one may meet it
half made, and msgspec 0.22 ends the process with a segmentation fault."""


@cache
def _decoder(shape: Any) -> msgspec.json.Decoder[Any]:
    with _MAKING:
        return msgspec.json.Decoder(shape)
