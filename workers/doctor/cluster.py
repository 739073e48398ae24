"""One cluster: its gateway as main has it, and the table of everything that is looked at in a cluster.

Judges what `seen` holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from syncer.protocol.offer import GATEWAY
from workers.doctor import Finding, NotSeen, istio, ok, syncer, unknown, wrong
from workers.doctor.gateway import reachable
from workers.doctor.seen import ClusterSeen, Inside
from workers.documents.paths import cluster_path, clusters_branch
from workers.reach import gateway_addresses

UNIT: Final = "unit/"


def address(seen: ClusterSeen) -> Iterator[Finding]:
    """Peers call the gateway's address: the one people wrote, else the one observed and approved."""
    known = gateway_addresses(seen.tree, seen.cluster)
    said = seen.observation.gateway if seen.observation else None
    observed = said.addresses if said else ()
    waiting = observed and not seen.cluster.spec.gateway.addresses and set(observed) != set(known)
    if known and not waiting:
        yield ok(", ".join(f"{one.ip or one.host}:{one.port}" for one in known))
        return
    if waiting:
        seen_now = ", ".join(f"{one.ip or one.host}:{one.port}" for one in observed)
        what = f"its Service has {seen_now}, main has {'another one' if known else 'none'}"
        yield wrong(what, f"$ peermesh show {clusters_branch(seen.name)}\nIt waits for an approval.")
        return
    told = [one.message for one in seen.observation.refused if one.source == GATEWAY] if seen.observation else []
    what = f"none is known, so peers can't reach what it exports{''.join(f' ({message})' for message in told)}"
    gateway = seen.cluster.spec.gateway
    yield wrong(
        what,
        f"$ {seen.kubectl} -n {gateway.namespace} get services\n"
        f"Give the gateway's Service a load balancer, or write spec.gateway.addresses in {cluster_path(seen.name)}.",
    )


def units(seen: ClusterSeen) -> Iterator[Finding]:
    """What Flux or Argo CD says of the parts that it applies."""
    said = {key.removeprefix(UNIT): text for key, text in (seen.settings or {}).items() if key.startswith(UNIT)}
    for name, text in sorted(said.items()):
        if " failed" in text:
            yield wrong(f"{name}: {text}", "$ peermesh status")
    good = [name for name, text in sorted(said.items()) if " failed" not in text]
    if good:
        yield ok(f"applied or on the way: {', '.join(good)}")


def kubeconfig(seen: ClusterSeen) -> Iterator[Finding]:
    """Whether somebody looked inside."""
    if seen.inside is None:
        yield unknown(
            "namespaces, rights, Deployment and key of its syncer weren't looked at",
            "`--context CTX` looks into the cluster itself.",
        )
    elif isinstance(seen.inside, NotSeen):
        yield wrong(seen.inside.why, f"$ {seen.kubectl} get --raw /readyz")


def _inside(look: Callable[[ClusterSeen, Inside], Iterator[Finding]]) -> Callable[[ClusterSeen], Iterable[Finding]]:
    """A check of what a kubeconfig shows: says nothing where there was none (`kubeconfig` says that once)."""

    def check(seen: ClusterSeen) -> Iterable[Finding]:
        return look(seen, seen.inside) if isinstance(seen.inside, Inside) else ()

    return check


CHECKS: Final[Mapping[str, Callable[[ClusterSeen], Iterable[Finding]]]] = {
    "observation": syncer.heard,
    "Istio": istio.settings,
    "mutual TLS": istio.mutual_tls,
    "trust domain": istio.own_trust_domain,
    "peers' trust domains": istio.peers_accepted,
    "aliases": istio.peers_apart,
    "DNS": istio.dns,
    "roots": istio.roots,
    "network": istio.network,
    "gateway's address": address,
    "gateway": reachable,
    "sync units": units,
    "API server": kubeconfig,
    "namespaces": _inside(syncer.namespaces),
    "kinds": _inside(syncer.apis),
    "rights": _inside(syncer.rights),
    "syncer": _inside(syncer.deployment),
    "key": _inside(syncer.key),
    "clock": _inside(syncer.clock),
}
"""What is looked at in a cluster, in the order in which it is printed."""
