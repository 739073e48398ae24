"""Why a value isn't of a type: every fault, in words for people.

Runs only when `msgspec.convert` has refused a document, because msgspec stops at the first fault and names types of
Python. Knows the types of `kinds` by what they say of themselves. Knows no paths and no lines: a fault names the keys
above it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeGuard, Union, get_args, get_origin

import msgspec

Where = tuple[str | int, ...]
"""Keys and positions from the top of a document down to a value."""
_LONGEST_SHOWN = 80


class Fault(NamedTuple):
    """What is wrong with the value at `where`, and what to do."""

    where: Where
    what: str
    remedy: str


def dotted(where: Where) -> str:
    """`spec.ports[0].name`, in backquotes."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where)
    return f"`{text.removeprefix('.')}`" if where else "the document"


def shown(value: object) -> str:
    """A value as a message shows it: in JSON's spelling, cut when it is long."""
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, str) and len(value) > _LONGEST_SHOWN:
        value = f"{value[:_LONGEST_SHOWN]}…"
    return msgspec.json.encode(value).decode()


def faults(value: object, kind: Any, where: Where = ()) -> Iterator[Fault]:
    """All faults of a value against a type, in the order of the document."""
    bare = bare_type(kind)
    inner: Iterable[Fault] = ()
    if is_struct(bare) and isinstance(value, dict):
        inner = _struct_faults(value, bare, where)
    elif get_origin(bare) is tuple and isinstance(value, list):
        item_kind = get_args(bare)[0]
        inner = (fault for i, item in enumerate(value) for fault in faults(item, item_kind, (*where, i)))
    elif get_origin(bare) is dict and isinstance(value, dict):
        item_kind = get_args(bare)[1]
        inner = (fault for key, item in value.items() for fault in faults(item, item_kind, (*where, key)))
    found = list(inner)
    yield from found
    if not found and not _fits(value, kind):
        yield _wrong(value, kind, where)


def _struct_faults(value: dict[str, Any], kind: type[msgspec.Struct], where: Where) -> Iterator[Fault]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for key, inner in value.items():
        if key in fields:
            yield from faults(inner, fields[key].type, (*where, key))
        else:
            free = [name for name in fields if name not in value]
            yield Fault((*where, key), f"{dotted((*where, key))} isn't known", _suggestion(key, free))
    for name, field in fields.items():
        if field.required and name not in value:
            yield Fault(where, f"{dotted((*where, name))} is missing", f"Add it: {expected(field.type)}.")


def _suggestion(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    if close:
        return f"Did you mean `{close[0]}`?"
    return f"Here may also stand: {', '.join(known)}." if known else "Take it out."


def _wrong(value: object, kind: Any, where: Where) -> Fault:
    if bare_type(kind) is str and isinstance(value, int | float):
        return Fault(where, f"{dotted(where)} is {shown(value)}, not text", f'Put it in quotes: "{shown(value)}".')
    return Fault(where, f"{dotted(where)} is {shown(value)}", f"Write {expected(kind)}.")


def _fits(value: object, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError:
        return False
    return True


# --- what a type says of itself


def bare_type(kind: Any) -> Any:
    """A type without `Annotated` and without `| None`: documents have no null."""
    if get_origin(kind) is Annotated:
        return bare_type(get_args(kind)[0])
    if get_origin(kind) in {Union, UnionType}:
        return bare_type(next(arm for arm in get_args(kind) if arm is not NoneType))
    return kind


def is_struct(kind: Any) -> TypeGuard[type[msgspec.Struct]]:
    """Whether a type is a map with fields of its own."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def metas(kind: Any) -> tuple[msgspec.Meta, ...]:
    """What `Annotated` says of a type."""
    return tuple(meta for meta in getattr(kind, "__metadata__", ()) if isinstance(meta, msgspec.Meta))


def expected(kind: Any) -> str:
    """What a value of this type is, as a noun phrase: `a whole number from 1 to 65535`."""
    title = next((meta.title for meta in metas(kind) if meta.title), None)
    if title:
        return title
    bare = bare_type(kind)
    if is_struct(bare):
        return f"a map of {', '.join(field.encode_name for field in msgspec.structs.fields(bare))}"
    origin, arguments = get_origin(bare), get_args(bare)
    if origin is Literal:
        values = ", ".join(f"`{value}`" for value in arguments)
        return values if len(arguments) == 1 else f"one of {values}"
    if origin is tuple:
        return f"a list{_bounds(kind)}, each item {expected(arguments[0])}"
    if origin is dict:
        return f"a map of keys to {expected(arguments[1])}"
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    return names[bare] + _bounds(kind)


def _bounds(kind: Any) -> str:
    low = next((bound for meta in metas(kind) for bound in (meta.ge, meta.min_length) if bound is not None), None)
    high = next((bound for meta in metas(kind) for bound in (meta.le, meta.max_length) if bound is not None), None)
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None:
        return f" of at least {low}"
    return f" of at most {high}" if high is not None else ""
