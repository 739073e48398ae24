"""The text of `mesh/clusters/<cluster>.yaml` as people get it, and the one edit of it that a command makes.

Knows YAML text and keeps comments. Knows no other file; whether the result is a valid mesh is the caller's question.
"""

from __future__ import annotations

from typing import Final

import msgspec
import yaml

from syncer.protocol.errors import Rejected
from workers.documents.kinds import Cluster
from workers.documents.writing import dump

MAX_KEYS: Final = 2
"""A syncer signs with one key; a second is trusted only while it changes."""

_HEAD: Final = "# One cluster of the mesh. Its name never changes; everything else is yours to edit.\n"
_COMMENTS: Final = {
    "  trustDomain:": "What its istiod signs identities for (meshConfig.trustDomain).",
    "  locality:": "Where it runs, as region/zone.",
    "  gateway:": "The east-west gateway: where its pods are, and how peers reach it.",
    "    addresses:": '"host" or "host:port" (NodePort, NAT). Empty: what its syncer sees at the Service.',
    "    publicKeys:": "What its syncer logs at its start, for `peermesh cluster trust`. Two during a change of key.",
}


def text_of(cluster: Cluster) -> str:
    """The file of a new cluster, with comments, defaults written out."""
    content = {
        "apiVersion": cluster.api_version,
        "kind": cluster.kind,
        "metadata": msgspec.to_builtins(cluster.metadata),
        "spec": _written_out(cluster),
    }
    lines = [_HEAD]
    for line in dump([content]).decode().splitlines(keepends=True):
        key = line[: line.find(":") + 1]
        if key in _COMMENTS:
            lines.append(f"{' ' * (len(key) - len(key.lstrip()))}# {_COMMENTS[key]}\n")
        lines.append(line)
    return "".join(lines)


def _written_out(cluster: Cluster) -> dict[str, object]:
    spec = cluster.spec
    content: dict[str, object] = {"network": spec.network, "trustDomain": spec.trust_domain}
    if spec.locality:
        content["locality"] = spec.locality
    gateway = spec.gateway
    content["gateway"] = {
        "namespace": gateway.namespace,
        "selector": gateway.selector,
        "port": gateway.port,
        "addresses": list(gateway.addresses),
    }
    content["syncer"] = {"publicKeys": list(spec.syncer.public_keys)}
    return content


def with_key(text: str, cluster: Cluster, key: str) -> str:
    """The file, which says `cluster`, with one more key of its syncer; the same text if it is there already.

    Raises:
        Rejected: two keys stand there already.
    """
    keys = cluster.spec.syncer.public_keys
    if key in keys:
        return text
    if len(keys) == MAX_KEYS:
        raise Rejected(
            "TooManyKeys",
            "two keys are trusted already",
            subject=f"mesh/clusters/{cluster.name}.yaml",
            remedy=f"Take the one out that is no longer used: {' or '.join(keys)}.",
        )
    spec = _value(_root(text), "spec")
    assert isinstance(spec, yaml.MappingNode)  # the reader has checked the shape
    syncer = _value(spec, "syncer")
    if syncer is None:
        return _with_entry(text, spec, f'syncer: {{publicKeys: ["{key}"]}}')
    assert isinstance(syncer, yaml.MappingNode)
    found = _value(syncer, "publicKeys")
    if found is None:
        return _with_entry(text, syncer, f'publicKeys: ["{key}"]')
    assert isinstance(found, yaml.SequenceNode)
    return _with_item(text, found, f'"{key}"')


def _root(text: str) -> yaml.MappingNode:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    return root


def _value(node: yaml.MappingNode, key: str) -> yaml.Node | None:
    return next((value for name, value in node.value if name.value == key), None)


def _with_entry(text: str, node: yaml.MappingNode, entry: str) -> str:
    """One more entry in a map, in its own style: the first of a flow map, after the first of a block."""
    if node.flow_style:
        after = node.start_mark.index + 1
        return f"{text[:after]}{entry}{', ' if node.value else ''}{text[after:]}"
    return _with_line(text, _end(node.value[0][1]), f"{' ' * node.start_mark.column}{entry}")


def _with_item(text: str, node: yaml.SequenceNode, item: str) -> str:
    """One more item at the end of a list, in its own style."""
    if node.flow_style:
        end = node.value[-1].end_mark.index if node.value else node.start_mark.index + 1
        return f"{text[:end]}{', ' if node.value else ''}{item}{text[end:]}"
    return _with_line(text, _end(node.value[-1]), f"{' ' * node.start_mark.column}- {item}")


def _end(node: yaml.Node) -> int:
    """Where the text of a node ends. PyYAML ends a block where the next token starts, perhaps lines later."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style:
        return _end(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and not node.flow_style:
        return _end(node.value[-1])
    end: int = node.end_mark.index
    return end


def _with_line(text: str, index: int, line: str) -> str:
    """One more line after the one that `index` is in."""
    end = text.find("\n", index)
    end = len(text) if end < 0 else end
    return f"{text[:end]}\n{line}{text[end:]}"
