"""Rendering: what follows from a tree in each cluster, as files; a pure function of the tree.

Which files there are is decided in `view` and `authority`, what stands in them by one module per kind (`RENDERERS`).
Equal views are rendered once, and a part is rendered by the same code as the whole. Knows nothing of what stood there
before, of Git, or of whether a change is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, product
from typing import Any, Final, Protocol

import msgspec

from syncer.protocol.names import ServiceKey
from workers.documents.writing import dump
from workers.reach import Reach
from workers.render import cacerts, destination_rule, gateway, service_entry
from workers.render.authority import authorities
from workers.render.metadata import Object
from workers.render.view import View, Views, gateways, imports
from workers.tree import Tree


class Renderer(Protocol):
    """A module that makes the objects of one kind of Istio, or of what brings a cluster its `cacerts`."""

    @property
    def VIEW(self) -> type[View]:  # noqa: N802 (a constant of the module)
        """What it is called with."""
        ...

    def render(self, view: Any) -> tuple[Object, ...]:
        """The objects that follow from one view, always the same ones in the same order; may be none."""
        ...


RENDERERS: Final[Mapping[str, Renderer]] = {
    # A provider that is added must be in the rule's identities before it is an endpoint, or it starts with an ejection.
    "DestinationRule": destination_rule,
    "ServiceEntry": service_entry,
    "Gateway": gateway,
    "cacerts": cacerts,
}
"""In a file the objects of one host stand in this order."""

RENDERINGS: Final[Mapping[int, Mapping[str, Renderer]]] = {1: RENDERERS}
"""By `spec.rendering` of the mesh (`kinds.RENDERINGS`): an upgrade changes no byte until people raise it."""


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """One file."""

    objects: tuple[Object, ...]
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Only:
    """A part of the rendering: these services everywhere, all that some clusters let in, and the trust of some."""

    services: frozenset[ServiceKey] = frozenset()
    gateways: frozenset[str] = frozenset()
    """Clusters all of whose gateway files are rendered."""
    authorities: frozenset[str] = frozenset()
    """Clusters whose file of trust is rendered."""

    def __or__(self, other: Only) -> Only:
        """Both parts."""
        return Only(
            services=self.services | other.services,
            gateways=self.gateways | other.gateways,
            authorities=self.authorities | other.authorities,
        )


class Memo:
    """What was rendered, by all that it depends on: may be kept between any two calls. Holds at most `limit` files."""

    def __init__(self, limit: int = 15_000) -> None:
        self._limit = limit
        self._rendered: dict[tuple[int, Views], Rendered] = {}

    def rendered(self, rendering: int, views: Views) -> Rendered:
        """The file of these views."""
        known = self._rendered.get((rendering, views))
        if known is not None:
            return known
        if len(self._rendered) >= self._limit:
            self._rendered.clear()
        objects = tuple(chain.from_iterable(_objects(rendering, view) for view in views))
        data = _BETWEEN.join(_written(msgspec.json.encode(content)) for content in objects)
        made = self._rendered[rendering, views] = Rendered(objects=objects, data=data)
        return made


_BETWEEN: Final = b"---\n"


@lru_cache(maxsize=64)
def _written(content: bytes) -> bytes:
    """The YAML of an object, given as JSON: a rule is equal in nearly all files of its host, one after the other."""
    return dump([msgspec.json.decode(content)])


def _objects(rendering: int, view: View) -> Iterator[Object]:
    for renderer in RENDERINGS[rendering].values():
        if isinstance(view, renderer.VIEW):
            yield from renderer.render(view)


def render(tree: Tree, reach: Reach, only: Only | None = None, memo: Memo | None = None) -> dict[str, Rendered | None]:
    """Every file below `clusters/*/{gateway,imports,ca}/`, sorted by path.

    With `only`: exactly the files of these services and clusters; None where none should stand. A service's part is its
    imports in all clusters and what every cluster lets into its namespace.
    """
    rendering = tree.mesh.spec.rendering
    memo = memo or Memo()
    services, places = _whole(tree) if only is None else _part(tree, only)
    trusting = tree.clusters if only is None else only.authorities
    found: dict[str, Views] = dict(
        chain(imports(tree, reach, services), gateways(tree, reach, places), authorities(tree, trusting))
    )
    # Equal consumers share one object: looking at identity first spares hashing the views of 100,000 paths.
    distinct = {id(views): views for views in found.values()}
    made = {same: memo.rendered(rendering, views) if views else None for same, views in distinct.items()}
    files = ((path, made[id(found[path])]) for path in sorted(found))
    return {path: file for path, file in files if only is not None or file is not None}


def _whole(tree: Tree) -> tuple[Iterable[ServiceKey], Iterable[tuple[str, str]]]:
    """All services; all places of gateway files (cluster, namespace)."""
    return tree.facts.exports, product(tree.clusters, _namespaces(tree))


def _part(tree: Tree, only: Only) -> tuple[Iterable[ServiceKey], Iterable[tuple[str, str]]]:
    namespaces = {key.namespace for key in only.services}
    services_places = product(tree.clusters, namespaces)
    return only.services, {*services_places, *product(only.gateways, _namespaces(tree))}


def _namespaces(tree: Tree) -> frozenset[str]:
    """All that export or ever did: a Host stays when its host goes, so a file that must go is seen."""
    return frozenset(key.namespace for key in chain(tree.facts.exports, tree.facts.hosts))
