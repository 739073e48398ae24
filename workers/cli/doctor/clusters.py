"""What is seen of a cluster from everywhere: main, Redis, a person's kubeconfig, and its gateway from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from syncer.cluster.connection import Connection
from syncer.protocol.errors import PeermeshError, Rejected
from syncer.protocol.names import ServiceKey
from syncer.protocol.observation import Observation
from workers.cli.doctor.handshake import ask_gateway
from workers.cli.doctor.inside import look_inside
from workers.doctor import NotSeen
from workers.doctor.clock import aged
from workers.doctor.seen import Asked, ClusterSeen, Inside
from workers.documents.kinds import Cluster
from workers.outside import Refusal
from workers.reach import Reach, gateway_addresses
from workers.render.view import cluster_local
from workers.tree import Tree


@dataclass(frozen=True, kw_only=True)
class Ways:
    """The ways to look at clusters that a person named: contexts by cluster, what Redis has (None: it wasn't asked).

    `service`: what gateways are asked for, `namespace/name`; empty: the first that somebody may call. `roots`: PEM.
    """

    contexts: Mapping[str, str] = field(default_factory=dict)
    kubeconfig: Path | None = None
    observations: Mapping[str, Observation] | None = None
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    service: str = ""
    roots: str = ""


def look_at_cluster(tree: Tree, reach: Reach, cluster: Cluster, ways: Ways) -> ClusterSeen:
    """Everything that is judged of one cluster.

    Raises:
        Rejected: nobody may call the service through its gateway.
    """
    name = cluster.name
    asked = what_to_ask(reach, name, ways.service)
    inside = _inside(ways, name)
    observation = (ways.observations or {}).get(name)
    settings, source = _settings(inside, observation)
    roots = ways.roots or (inside.roots if isinstance(inside, Inside) else "")
    return ClusterSeen(
        cluster=cluster,
        tree=tree,
        reach=reach,
        now=datetime.now(UTC),
        kubectl=_kubectl(ways, name),
        settings=settings,
        settings_from=source,
        redis=ways.observations is not None,
        observation=observation,
        refusal=ways.refusals.get(name),
        inside=inside,
        asked=asked,
        handshakes=ask_gateway(
            gateway_addresses(tree, cluster), asked, roots="" if isinstance(roots, NotSeen) else roots
        ),
    )


def what_to_ask(reach: Reach, name: str, service: str) -> Asked:
    """A service that another cluster may call through the gateway of `name`: the one that is named, or the first.

    Raises:
        Rejected: nobody may call the one that is named.
    """
    for host in reach.values():
        if service and str(host.key) != service:
            continue
        for consumer, way in host.ways.items():
            for port in way.ports if consumer != name else ():
                if name in port.providers:
                    identities = next(one.identities for one in way.providers if one.cluster == name)
                    return _asked(host.key, port.number, identities)
    if service:
        what = f"no other cluster may call it through the gateway of {name}"
        raise Rejected("NotCallable", what, subject=service, remedy=f"`peermesh explain {service}` says why.")
    return Asked()


def _asked(key: ServiceKey, port: int, identities: tuple[str, ...]) -> Asked:
    nobody = key._replace(service="peermesh-doctor-made-this-up")  # type: ignore[arg-type]
    return Asked(key=key, sni=_sni(key, port), identities=identities, made_up=_sni(nobody, port))


def _sni(key: ServiceKey, port: int) -> str:
    """As the DestinationRules of peers pin it (`workers.render.destination_rule`)."""
    return f"outbound_.{port}_._.{cluster_local(key)}"


def _inside(ways: Ways, name: str) -> Inside | NotSeen | None:
    context = ways.contexts.get(name)
    if context is None:
        return None
    try:
        return look_inside(Connection(kubeconfig=ways.kubeconfig, context=context), name)
    except PeermeshError as error:
        return NotSeen(why=str(error))


def _settings(inside: Inside | NotSeen | None, observation: Observation | None) -> tuple[Mapping[str, str] | None, str]:
    """How Istio is set up, and who says so: the cluster itself, else its syncer."""
    if isinstance(inside, Inside) and not isinstance(inside.settings, NotSeen):
        return inside.settings, "as the cluster is now"
    if observation is not None and observation.settings:
        age = datetime.now(UTC) - observation.observed_at
        return observation.settings, f"as its syncer said {aged(age)} ago"
    return None, ""


def _kubectl(ways: Ways, name: str) -> str:
    file = f" --kubeconfig {ways.kubeconfig}" if ways.kubeconfig else ""
    context = f" --context {ways.contexts[name]}" if name in ways.contexts else ""
    return f"kubectl{file}{context}"
