"""Whether the syncer of a cluster may do what it needs, and nothing that would be dangerous.

Asked of the API server, right by right (SubjectAccessReview): no list of rules says what they come to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from syncer.cluster.connection import Connection
from syncer.cluster.resources import ISTIO_SYSTEM, RESOURCES
from workers.cli.delivery.syncer_rights import KEY_SECRET, SYNCER, SYNCER_NAMESPACE, syncer_rights
from workers.doctor.seen import Right, Rights

_WRITES: Final = ("create", "update", "patch", "delete", "deletecollection")
_AT_ONCE: Final = 8


def rights_of_syncer(connection: Connection) -> Rights:
    """Of its service account, which needn't be there for that. Raises as `Connection.call`."""
    needed = tuple(_needed())
    dangerous = tuple(right for right in dict.fromkeys(_dangerous()) if right not in needed)
    asked = (*needed, *dangerous)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        may = dict(zip(asked, pool.map(lambda right: _may(connection, right), asked), strict=True))
    return Rights(
        needed=len(needed),
        missing=tuple(one for one in needed if not may[one]),
        excess=tuple(one for one in dangerous if may[one]),
    )


def _may(connection: Connection, right: Right) -> bool:
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "verb": right.verb,
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
        "namespace": right.namespace,
        "name": right.name,
    }
    spec = {
        "user": f"system:serviceaccount:{SYNCER_NAMESPACE}:{SYNCER}",
        "groups": ["system:serviceaccounts", f"system:serviceaccounts:{SYNCER_NAMESPACE}", "system:authenticated"],
        "resourceAttributes": attributes,
    }
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    answer = connection.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=body)
    return bool(json.loads(answer)["status"]["allowed"])


def _needed() -> Iterator[Right]:
    for row in syncer_rights():
        for verb in row.verbs:
            for name in row.names or ("",):
                yield Right(verb=verb, group=row.group, resource=row.resource, namespace=row.namespace, name=name)


def _dangerous() -> Iterator[Right]:
    """What it must not: write what it reads, read more of it, see secrets, become somebody else."""
    yield Right(verb="*", group="*", resource="*")
    for read in RESOURCES:
        for verb in _WRITES:
            yield Right(verb=verb, group=read.group, resource=read.plural)
        if read.namespace or read.name:
            yield Right(verb="list", group=read.group, resource=read.plural)
    for verb in ("get", "list", "watch", *_WRITES):
        yield Right(verb=verb, resource="secrets")
        yield Right(verb=verb, resource="secrets", namespace=SYNCER_NAMESPACE)
    yield Right(verb="get", resource="secrets", namespace=ISTIO_SYSTEM, name="cacerts")
    yield Right(verb="delete", resource="secrets", namespace=SYNCER_NAMESPACE, name=KEY_SECRET)
    for resource, verb in (
        ("pods/exec", "create"),
        ("pods/portforward", "create"),
        ("serviceaccounts/token", "create"),
    ):
        yield Right(verb=verb, resource=resource)
    for resource in ("users", "groups", "serviceaccounts"):
        yield Right(verb="impersonate", resource=resource)
    for resource in ("clusterroles", "clusterrolebindings", "roles", "rolebindings"):
        for verb in ("create", "update", "patch", "bind", "escalate"):
            yield Right(verb=verb, group="rbac.authorization.k8s.io", resource=resource)
    yield Right(verb="update", group="coordination.k8s.io", resource="leases")
