"""Manifests: the bytes of a file -> Kubernetes objects, each with its line.

Knows YAML and JSON as `kubectl` reads them, and nothing else of files. Whatever an API server would have refused is an
error with file, line and remedy, because a manifest that is skipped would read as "nothing is exported".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import yaml

from syncer.cluster.objects import KINDS, is_read
from syncer.protocol.errors import Rejected

MAX_NODES: Final = 1_000_000
"""Values in one document after its aliases are followed: ten lines of YAML can stand for billions."""
_STANDARD: Final = "tag:yaml.org,2002:"
_JSON_TAGS: Final = frozenset(_STANDARD + kind for kind in ("null", "bool", "int", "float", "str", "seq", "map"))
_MERGE: Final = _STANDARD + "merge"
_STEP: Final = re.compile(r"\.([A-Za-z0-9]+)|\[(\d+)\]|\[(\.\.\.)\]")

Compose = Callable[[], "yaml.Node | None"]
"""Gives a document with its marks; None where there are none. For JSON they are made only when a line is asked for."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One object of a kind in `KINDS`: its identity, and the field of `ClusterState` that it goes to."""

    kind: str
    namespace: str
    name: str
    field: str
    value: Any
    where: Callable[[], str]
    """File and line, for people."""


def manifests(path: str, data: bytes, namespace: str) -> Iterator[Manifest]:
    """The objects of a file that matter; `namespace` is for those that name none.

    Raises:
        Rejected: empty, not UTF-8, not YAML or JSON, not a Kubernetes object, an object that no API server takes.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _bad(path, line, "not UTF-8", "Save the file as UTF-8.") from error
    if not text.strip():
        # What an editor leaves for a moment while it writes a file anew.
        raise _bad(path, 1, "an empty file", "Write it to its end, or remove it.")
    documents = _json_documents if path.endswith(".json") else _yaml_documents
    for value, compose in documents(path, text):
        for item, steps in _objects(path, value, compose):
            manifest = _manifest(path, item, steps, compose, namespace)
            if manifest is not None:
                yield manifest


class _Fault(Exception):
    """YAML that has no place in a manifest."""

    def __init__(self, node: yaml.Node, what: str, remedy: str) -> None:
        super().__init__(what)
        self.line = node.start_mark.line + 1
        self.remedy = remedy


class _Loader(yaml.CSafeLoader):
    """YAML as Go's readers take it for Kubernetes: JSON's types only, null is absent, times are text."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's
        self.flatten_mapping(node)
        node.value = [(key, value) for key, value in node.value if value.tag != _STANDARD + "null"]
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _JSON_TAGS | {_MERGE}]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Loader.yaml_constructors = {
    tag: make for tag, make in yaml.CSafeLoader.yaml_constructors.items() if tag is None or tag in _JSON_TAGS
}


def _yaml_documents(path: str, text: str) -> Iterator[tuple[Any, Compose]]:
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            _check(node, {})
            yield loader.construct_document(node), lambda node=node: node  # type: ignore[misc]
    except _Fault as error:
        raise _bad(path, error.line, str(error), error.remedy) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        remedy = "Look for a missing quote, bracket or indent, or a file that isn't written to its end."
        if isinstance(error, yaml.constructor.ConstructorError):
            remedy = "Manifests hold what JSON can say, too: no other types, and keys that are text."
        raise _bad(path, mark.line + 1 if mark else 1, f"not YAML: {error.problem}", remedy) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _bad(path, line, "a character that YAML doesn't allow", "Remove it.") from error
    except ValueError as error:  # `!!int x`
        raise _bad(path, 1, f"a value that can't be read: {error}", "Write it plainly.") from error
    except RecursionError as error:
        raise _bad(path, 1, "hundreds of levels", "No manifest needs that many.") from error


def _json_documents(path: str, text: str) -> Iterator[tuple[Any, Compose]]:
    def compose() -> yaml.Node | None:
        try:
            return yaml.compose(text, Loader=yaml.CSafeLoader)
        except yaml.YAMLError:
            return None  # some JSON isn't YAML: then the line isn't known

    try:
        yield json.loads(text, object_pairs_hook=_json_object), compose
    except json.JSONDecodeError as error:
        remedy = "Look for a missing quote, bracket or comma, or a file that isn't written to its end."
        raise _bad(path, error.lineno, f"not JSON: {error.msg}", remedy) from error
    except ValueError as error:
        what = f"a value that can't be read: {error}"
        raise _bad(path, _faulty_line(compose()), what, "Write it plainly.") from error
    except RecursionError as error:
        raise _bad(path, 1, "hundreds of levels", "No manifest needs that many.") from error


def _json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return {key: value for key, value in made.items() if value is not None}


def _check(node: yaml.Node | None, known: dict[int, int]) -> int:
    """How many values a node stands for.

    Raises:
        _Fault: too many, a value that contains itself, a key twice.
    """
    if node is None or isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = MAX_NODES  # until it is known: what contains itself has too many
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
            parts = [part for pair in node.value for part in pair]
        else:
            parts = node.value
        known[id(node)] = 1 + sum(_check(part, known) for part in parts)
    if known[id(node)] >= MAX_NODES:
        raise _Fault(node, f"aliases that stand for more than {MAX_NODES} values", "Write the values themselves.")
    return known[id(node)]


def _check_keys(node: yaml.MappingNode) -> None:
    seen: dict[tuple[str, str], yaml.Node] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
            first = seen.setdefault((key.tag, key.value), key)
            if first is not key:
                what = f"key {key.value[:80]!r} stands twice, first in line {first.start_mark.line + 1}"
                raise _Fault(key, what, "Keep one of the two.")


def _faulty_line(node: yaml.Node | None) -> int:
    try:
        _check(node, {})
    except _Fault as fault:
        return fault.line
    return 1


def _objects(path: str, value: Any, compose: Compose) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects of a document, lists unrolled, with the way to each (`.items[0]`)."""
    if value is None:
        return
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str) or "apiVersion" not in value:
        what = "not a Kubernetes object: `apiVersion` or `kind` is missing"
        remedy = "Put files that aren't manifests elsewhere, or let their names begin with a dot."
        raise _bad(path, _line(compose(), ""), what, remedy)
    if not value["kind"].endswith("List") or "items" not in value:
        yield value, ""
        return
    # The items of a typed list (`kind: ServiceList`) may leave out what the list says.
    said = {"apiVersion": value["apiVersion"], "kind": value["kind"].removesuffix("List")}
    items = value["items"]
    for i, item in enumerate(items if isinstance(items, list) else [items]):
        if not isinstance(item, dict):
            raise _bad(path, _line(compose(), f".items[{i}]"), "an item that isn't an object", "Remove it.")
        yield said | item, f".items[{i}]"


def _manifest(path: str, item: dict[str, Any], steps: str, compose: Compose, namespace: str) -> Manifest | None:
    group, slash, _ = str(item["apiVersion"]).partition("/")
    kind = str(item["kind"])
    group = group if slash else ""
    metadata = item.get("metadata")
    if (group, kind) not in KINDS or (isinstance(metadata, dict) and not is_read(group, kind, metadata)):
        return None
    field, shape = KINDS[group, kind]
    if isinstance(metadata, dict) and not metadata.get("namespace"):
        item = {**item, "metadata": {**metadata, "namespace": namespace}}
    try:
        value = msgspec.convert(item, shape)
    except msgspec.ValidationError as error:
        raise _misfit(path, kind, str(error), steps, compose()) from error
    return Manifest(
        kind=kind,
        namespace=value.metadata.namespace,
        name=value.metadata.name,
        field=field,
        value=value,
        where=lambda: f"{path}:{_line(compose(), steps)}",
    )


def _misfit(path: str, kind: str, error: str, steps: str, node: yaml.Node | None) -> Rejected:
    """What msgspec says as ``Expected `int`, got `str` - at `$.spec.ports[0].port` ``, with the line."""
    what, _, where = error.partition(" - at ")
    where = where.replace("`key` in ", "").strip("`").removeprefix("$")
    line, key = _place(node, steps + where)
    if "matching regex" in what or "of length" in what:
        what, remedy = "isn't a name that Kubernetes allows", "Use a-z, 0-9, - and . only."
    elif what.startswith("Expected `str`, got `"):
        remedy = 'Put the value in quotes: "true", "8080".'
    else:
        remedy = "An API server would refuse it, too."
    where = where.removeprefix(".").replace("[...]", f"[{key}]") or "the object"
    return _bad(path, line, f"{kind}: {where}: {what}", remedy)


def _line(node: yaml.Node | None, steps: str) -> int:
    return _place(node, steps)[0]


def _place(node: yaml.Node | None, steps: str) -> tuple[int, str]:
    """Line and key of the deepest value on the way that can be found; `[...]` is a value of a map that isn't text."""
    line, last = node.start_mark.line + 1 if node else 1, "…"
    for name, index, any_value in _STEP.findall(steps):
        if isinstance(node, yaml.MappingNode):
            pairs = [(k, v) for k, v in node.value if k.value == name or (any_value and v.tag != _STANDARD + "str")]
        elif isinstance(node, yaml.SequenceNode) and index and int(index) < len(node.value):
            pairs = [(node.value[int(index)], node.value[int(index)])]
        else:
            pairs = []
        if not pairs:
            break
        key, node = pairs[0]
        line, last = key.start_mark.line + 1, str(key.value)
    return line, last


def _bad(path: str, line: int, what: str, remedy: str) -> Rejected:
    return Rejected("BadManifest", what, subject=f"{path}:{line}", remedy=remedy)
