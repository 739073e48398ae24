"""One resource of an API server, listed once: is it served, and what is there, page by page.

Knows the requests; `syncer.cluster.watch` says when they are made.
"""

from __future__ import annotations

from typing import Any

from syncer.cluster.connection import Connection, NotFound
from syncer.cluster.known import Key
from syncer.cluster.lean import lean
from syncer.cluster.resources import Resource
from syncer.cluster.wire import git_version, group_versions, page, serves


def served_version(connection: Connection, resource: Resource) -> str | None:
    """The version to read a resource in; None: it isn't served, or about to be removed. Raises as `Connection.call`."""
    if not resource.custom:
        return resource.versions[0]
    root, where = f"/apis/{resource.group}", f"{connection.server}, {resource.group}"
    try:
        there = group_versions(connection.call("GET", root), where)
        for version in resource.versions:
            if version in there and serves(connection.call("GET", f"{root}/{version}"), resource.plural, where):
                return version
    except NotFound:
        pass
    return None


def listed(connection: Connection, resource: Resource, path: str, istio_namespace: str) -> tuple[dict[Key, Any], str]:
    """All objects, lean, and the version that a watch can go on from.

    All pages are of the moment of the first one. Raises as `Connection.call`: Expired if the last page took too long.
    """
    found: dict[Key, Any] = {}
    query = {**resource.query(istio_namespace), "limit": str(resource.page)}
    where = f"{connection.server}, {resource.plural}"
    while True:
        answer = page(connection.call("GET", path, query=query), resource.shape, where)
        for item in map(lean, answer.items or ()):
            if item is not None:
                found[key_of(item)] = item
        if not answer.metadata.go_on:
            return found, answer.metadata.resource_version
        query["continue"] = answer.metadata.go_on


def key_of(item: Any) -> Key:
    """The key of an object among those of its resource."""
    return item.metadata.namespace, item.metadata.name


def kubernetes_version(connection: Connection) -> str:
    """`v1.37.2`; what a build says that has none. Raises as `Connection.call`."""
    return git_version(connection.call("GET", "/version"), connection.server)
