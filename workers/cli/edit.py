"""Edits of people's YAML that touch nothing but what they are about: comments, order and style stay.

Knows YAML text. Knows no document; whether the result says what was meant is the caller's question. It is asked of
texts that the strict reader has taken: one document, no anchors, no aliases, no duplicate keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from workers.documents.writing import dump

Path = Sequence[str]
"""Keys from the root of the document to a value."""


def with_value(text: str, path: Path, value: Any) -> str:
    """The text with this value there, on one line; maps on the way that are missing are made."""
    node, missing = _nearest(text, path)
    if not missing:
        return _replaced(text, node, _flow(value))
    if not isinstance(node, yaml.MappingNode):
        raise TypeError(f"{'.'.join(path)} leads through a value that is no map")
    for key in reversed(missing[1:]):
        value = {key: value}
    return _with_entry(text, node, f"{missing[0]}: {_flow(value)}")


def with_item(text: str, path: Path, item: Any) -> str:
    """The text with one more item at the end of the list there, which is made if it is missing or empty."""
    node, missing = _nearest(text, path)
    if missing or not isinstance(node, yaml.SequenceNode) or not node.value:
        return with_value(text, path, [item])
    if node.flow_style:
        end = node.value[-1].end_mark.index
        return f"{text[:end]}, {_flow(item)}{text[end:]}"
    return _with_line(text, _end(node.value[-1]), f"{' ' * node.start_mark.column}- {_flow(item)}")


def without_item(text: str, path: Path, position: int) -> str:
    """The text without an item of the list there; the whole entry goes with the last one."""
    node, _ = _nearest(text, path)
    assert isinstance(node, yaml.SequenceNode)
    if len(node.value) == 1:
        return without(text, path)
    if node.flow_style:
        return _without_span(text, [(item.start_mark.index, item.end_mark.index) for item in node.value], position)
    item = node.value[position]
    return _without_lines(text, _line_start(text, item.start_mark.index), _end(item))


def without(text: str, path: Path) -> str:
    """The text without the entry there, with the lines that it takes."""
    parent, missing = _nearest(text, path[:-1])
    assert not missing
    assert isinstance(parent, yaml.MappingNode)
    position = next(at for at, (key, _) in enumerate(parent.value) if key.value == path[-1])
    key, value = parent.value[position]
    if len(parent.value) == 1:
        return _replaced(text, parent, "{}")
    if parent.flow_style:
        return _without_span(text, [(key.start_mark.index, _end(value)) for key, value in parent.value], position)
    return _without_lines(text, _line_start(text, key.start_mark.index), _end(value))


def _nearest(text: str, path: Path) -> tuple[yaml.Node, list[str]]:
    """The node at the path, or the last one on the way to it and the keys that are missing below."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert node is not None
    for done, key in enumerate(path):
        entries = node.value if isinstance(node, yaml.MappingNode) else []
        below = next((value for name, value in entries if name.value == key), None)
        if below is None or _is_nothing(below):
            return (node, list(path[done:])) if below is None else (_empty(below), list(path[done + 1 :]))
        node = below
    return node, []


def _is_nothing(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _empty(node: yaml.Node) -> yaml.Node:
    """A map that stands where nothing stands: `key:` with all its entries commented out."""
    return yaml.MappingNode("tag:yaml.org,2002:map", [], node.start_mark, node.end_mark, flow_style=None)


def _flow(value: Any) -> str:
    """A value on one line, in the spelling that Go and Python read alike."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_flow, value))}]"
    return dump([{"k": value}]).decode().removeprefix("k: ").rstrip("\n")


def _replaced(text: str, node: yaml.Node, new: str) -> str:
    start, end = node.start_mark.index, _end(node)
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        # Of `key:`, a line break, and what is deeper only the key stays, on its line.
        return f"{text[:start].rstrip()} {new}{text[end:]}"
    return f"{text[:start]}{new}{text[end:]}"


def _with_entry(text: str, node: yaml.MappingNode, entry: str) -> str:
    """One more entry at the end of a map, in its own style."""
    if node.flow_style is None:
        return _replaced(text, node, f"{{{entry}}}")
    if node.flow_style:
        end = _end(node.value[-1][1]) if node.value else node.start_mark.index + 1
        return f"{text[:end]}{', ' if node.value else ''}{entry}{text[end:]}"
    return _with_line(text, _end(node.value[-1][1]), f"{' ' * node.start_mark.column}{entry}")


def _without_span(text: str, spans: Sequence[tuple[int, int]], position: int) -> str:
    """Without one of several things between commas, and without one of the commas."""
    if position + 1 < len(spans):
        return text[: spans[position][0]] + text[spans[position + 1][0] :]
    return text[: spans[position - 1][1]] + text[spans[position][1] :]


def _without_lines(text: str, start: int, end: int) -> str:
    stop = text.find("\n", end)
    return text[:start] + ("" if stop < 0 else text[stop + 1 :])


def _line_start(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def _with_line(text: str, index: int, line: str) -> str:
    """One more line after the one that `index` is in."""
    end = text.find("\n", index)
    end = len(text) if end < 0 else end
    return f"{text[:end]}\n{line}{text[end:]}"


def _end(node: yaml.Node) -> int:
    """Where the text of a node ends. PyYAML ends a block where the next token starts, perhaps lines later."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    end: int = node.end_mark.index
    return end
