"""What a person's kubeconfig shows in a cluster. Reads, and asks what others may; changes nothing.

Each thing is asked by itself, so that a right that the person lacks hides only its own answer.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, TypeVar

import yaml

from syncer.cluster import ClusterState
from syncer.cluster.connection import Connection, NotFound
from syncer.cluster.listing import listed, served_version
from syncer.cluster.resources import ISTIO_SYSTEM, RESOURCES
from syncer.istio import istio_settings
from syncer.keys import SECRET_KEY
from syncer.protocol.errors import PeermeshError, Rejected
from syncer.protocol.labels import MANAGER, PART_OF
from syncer.protocol.signature import SigningKey
from syncer.units import units
from workers.cli.delivery.syncer_rights import KEY_SECRET, SYNCER, SYNCER_NAMESPACE
from workers.cli.doctor.http_clock import ahead
from workers.cli.doctor.rights import rights_of_syncer
from workers.doctor import NotSeen
from workers.doctor.istio import TRUST_ALIASES
from workers.doctor.seen import Inside, Replicas
from workers.documents.paths import IMPORTS_NAMESPACE

_TELLING: Final = tuple(
    replace(resource, namespace="{istio}") if resource.kind == "Deployment" else resource
    for resource in RESOURCES
    if "{istio}" in {resource.namespace, resource.name}
    or resource.kind == "Deployment"
    or resource.labels == f"{PART_OF}={MANAGER}"
)
"""Few objects: istiod and what it is told, and the sync units."""
_T = TypeVar("_T")


def look_inside(connection: Connection, cluster: str) -> Inside | NotSeen:
    """Everything that is judged of a cluster; NotSeen: its API server doesn't let us in at all."""
    before = time.time()
    try:
        with connection.stream("GET", "/version") as answer:
            clock = ahead(answer.headers, before, time.time())
    except PeermeshError as error:
        return NotSeen(why=str(error))
    return Inside(
        settings=_seen(lambda: _settings(connection, cluster)),
        roots=_seen(lambda: _roots(connection)),
        namespaces=_seen(lambda: frozenset(_namespaces(connection))),
        apis=_seen(lambda: frozenset(group["name"] for group in _get(connection, "/apis")["groups"])),
        rights=_seen(lambda: rights_of_syncer(connection)),
        syncer=_there(lambda: _syncer(connection)),
        key=_there(lambda: _key(connection)),
        clock=clock,
    )


def _get(connection: Connection, path: str) -> Any:
    return json.loads(connection.call("GET", path))


def _seen(look: Callable[[], _T]) -> _T | NotSeen:
    found = _there(look)
    return NotSeen(why="it isn't there") if found is None else found


def _there(look: Callable[[], _T]) -> _T | NotSeen | None:
    """None: it isn't there."""
    try:
        return look()
    except NotFound:
        return None
    except PeermeshError as error:
        return NotSeen(why=error.what)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        # What a proxy in between may answer in place of an API server.
        return NotSeen(why=f"an answer that can't be read ({type(error).__name__})")


def _namespaces(connection: Connection) -> Iterator[str]:
    for name in (IMPORTS_NAMESPACE, SYNCER_NAMESPACE):
        with suppress(NotFound):
            yield str(_get(connection, f"/api/v1/namespaces/{name}")["metadata"]["name"])


def _settings(connection: Connection, cluster: str) -> Mapping[str, str]:
    """How Istio is set up and what applies `clusters/`, as its syncer would say it; from the few objects that tell."""
    fields: dict[str, Any] = dict.fromkeys(("config_maps", "namespaces", "kustomizations", "applications"), ())
    fields["peer_authentications"] = None
    for resource in _TELLING:
        version = served_version(connection, resource)
        if version is not None:
            path = resource.path(version, ISTIO_SYSTEM)
            fields[resource.field] = tuple(listed(connection, resource, path, ISTIO_SYSTEM)[0].values())
    state = ClusterState(**fields)
    return dict((*istio_settings(state, ISTIO_SYSTEM), *units(state, cluster), *_aliases(state)))


def _aliases(state: ClusterState) -> Iterator[tuple[str, str]]:
    for config_map in state.config_maps:
        with suppress(yaml.YAMLError):
            config = yaml.load(config_map.data.get("mesh", ""), Loader=yaml.CSafeLoader)
            aliases = config.get("trustDomainAliases") if isinstance(config, dict) else None
            yield TRUST_ALIASES, ",".join(map(str, aliases if isinstance(aliases, list) else ()))


def _roots(connection: Connection) -> str:
    path = f"/api/v1/namespaces/{ISTIO_SYSTEM}/configmaps/istio-ca-root-cert"
    return str(_get(connection, path)["data"]["root-cert.pem"])


def _syncer(connection: Connection) -> Replicas:
    found = _get(connection, f"/apis/apps/v1/namespaces/{SYNCER_NAMESPACE}/deployments/{SYNCER}")
    status = found.get("status", {})
    bad = [one.get("message", "") for one in status.get("conditions", ()) if one.get("status") != "True"]
    return Replicas(
        wanted=found["spec"].get("replicas", 1),
        ready=status.get("readyReplicas", 0),
        message=" ".join(filter(None, bad)),
    )


def _key(connection: Connection) -> str:
    """The public half; the other one goes no further."""
    found = _get(connection, f"/api/v1/namespaces/{SYNCER_NAMESPACE}/secrets/{KEY_SECRET}")
    kept = (found.get("data") or {}).get(SECRET_KEY)
    if not kept:
        return ""
    try:
        return SigningKey.from_seed(base64.b64decode(base64.b64decode(kept), validate=True)).public
    except ValueError:
        # Without the cause: it could quote what is in there.
        raise Rejected("BadKeyFile", f"Secret {SYNCER_NAMESPACE}/{KEY_SECRET} doesn't hold a signing key") from None
