"""The text of `mesh/clusters/<cluster>.yaml` as people get it, and the one edit of it that a command makes.

Knows no other file; whether the result is a valid mesh is the caller's question.
"""

from __future__ import annotations

from typing import Final

import msgspec

from syncer.protocol.errors import Rejected
from workers.cli.edit import with_item
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
    "  trust:": "Its signing certificate is looked after. `peermesh ca manage` adds the key that its CA agent logs.",
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
    if spec.trust:
        content["trust"] = {
            "agent": {"publicKeys": list(spec.trust.agent.public_keys)},
            "delivery": spec.trust.delivery,
        }
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
    return with_item(text, ("spec", "syncer", "publicKeys"), key)
