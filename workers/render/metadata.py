"""What every rendered object carries: whose it is, where it comes from, and the digest of its own content.

Knows Kubernetes metadata. Knows no specs. The digest closes the loop (the syncer reports it from the cluster) and makes
Git conflict where it would mix two versions of a file without a word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from syncer.protocol.labels import DIGEST, MANAGED_BY, MANAGER, SOURCE

ISTIO: Final = "networking.istio.io/v1"
DIGITS: Final = 16
"""Hexadecimal digits of a digest: 64 bits, enough to see a change; nothing trusts it."""

Object = Mapping[str, Any]
"""A Kubernetes object, of strings, booleans, numbers, lists and maps. Never changed once made."""


def istio_object(kind: str, *, name: str, namespace: str, source: str, spec: Object) -> Object:
    """An object of `networking.istio.io` with label and annotations; `source`: the path in `facts/` that caused it."""
    return managed_object(ISTIO, kind, name=name, namespace=namespace, source=source, content={"spec": spec})


def managed_object(
    api_version: str,
    kind: str,
    *,
    name: str,
    namespace: str,
    source: str,
    content: Object,
    annotations: Mapping[str, str] | None = None,
) -> Object:
    """An object of any kind, with ours and these annotations; `content`: what it has beside its metadata."""
    said = {DIGEST: "", SOURCE: source, **(annotations or {})}
    made = {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {MANAGED_BY: MANAGER},
            "annotations": said,
        },
        **content,
    }
    said[DIGEST] = digest(made)
    return made


def digest(content: Object) -> str:
    """The beginning of the SHA-256 of an object without this very annotation, as JSON with sorted keys."""
    metadata = content["metadata"]
    annotations = {name: value for name, value in metadata.get("annotations", {}).items() if name != DIGEST}
    bare = {**content, "metadata": {**metadata, "annotations": annotations}}
    return hashlib.sha256(msgspec.json.encode(bare, order="deterministic")).hexdigest()[:DIGITS]
