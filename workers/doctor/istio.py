"""How Istio is set up in a cluster, held against what callers and exports need.

Why each setting matters stands beside its check; what happens without it was seen on running istiods and Envoys (1.31).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from workers.doctor import Finding, NotSeen, ok, unknown, warning, wrong
from workers.doctor.seen import ClusterSeen, Inside
from workers.documents.paths import cluster_path

PROVEN: Final = ((1, 29), (1, 31))
"""Minor versions whose behaviour was looked at, the first and the last: running istiods, and the code of older ones."""

MTLS: Final = "istio.mtls"
DNS: Final = "istio.dnsCapture"
MULTIROOT: Final = "istio.multiroot"
FOLLOWS_ROOTS: Final = "istio.followsRoots"
NETWORK: Final = "istio.network"
VERSION: Final = "istio.version"
TRUST_DOMAIN: Final = "istio.trustDomain"
TRUST_DOMAINS: Final = "istio.trustDomains"
TRUST_ALIASES: Final = "istio.trustDomainAliases"
"""Only a look into the cluster tells them apart; its syncer says all that are accepted as one."""

_MESH_CONFIG: Final = "-n istio-system edit configmap istio"


def settings(seen: ClusterSeen) -> Iterator[Finding]:
    """Somebody says how Istio is set up there; without it the next checks have nothing to look at."""
    if seen.settings is None and isinstance(seen.inside, Inside) and isinstance(seen.inside.settings, NotSeen):
        yield unknown(f"not known how it is set up: {seen.inside.settings.why}")
    elif seen.settings is None:
        yield unknown(
            "not known how it is set up: its syncer wasn't heard", "`--context CTX` looks into the cluster itself."
        )
    elif VERSION not in seen.settings:
        yield unknown(f"its version can't be seen ({seen.settings_from})", f"$ {seen.kubectl} -n istio-system get pods")
    else:
        yield from _version(seen, seen.settings[VERSION])


def _version(seen: ClusterSeen, text: str) -> Iterator[Finding]:
    """Several are separated by commas, while istiod is exchanged."""
    versions = [(int(major), int(minor)) for major, minor in re.findall(r"(?:^|,)(\d+)\.(\d+)", text)]
    oldest, newest = (".".join(map(str, version)) for version in PROVEN)
    proven = f"what peermesh renders is proven on {oldest} to {newest}"
    if not versions:
        yield unknown(f"version {text}, which says no number; {proven}")
    elif min(versions) < PROVEN[0]:
        yield warning(f"{text}, {proven}", "Upgrade Istio there; `istioctl x precheck` says what stands in the way.")
    elif max(versions) > PROVEN[1]:
        yield warning(f"{text}, {proven}", "Try each port of one exported service before you rely on it.")
    else:
        yield ok(f"{text} ({seen.settings_from})")


def mutual_tls(seen: ClusterSeen) -> Iterator[Finding]:
    """The gateway can't see inside TLS: without STRICT, pods also answer those who show no certificate."""
    said = _setting(seen, MTLS)
    if said is None:
        return
    if said == "STRICT":
        yield ok("STRICT in the whole mesh")
        return
    now = "not set for the whole mesh" if said == "UNSET" else f"{said} in the whole mesh"
    remedy = f"""\
$ echo '{{apiVersion: security.istio.io/v1, kind: PeerAuthentication,
    metadata: {{name: default, namespace: istio-system}},
    spec: {{mtls: {{mode: STRICT}}}}}}' | {seen.kubectl} apply -f -
Look first who still calls in plain text (`istio_requests_total{{connection_security_policy="none"}}`)."""
    what = f"{now}: exported pods also answer callers that show no certificate"
    yield wrong(what, remedy) if seen.called_by() else warning(what, remedy)


def own_trust_domain(seen: ClusterSeen) -> Iterator[Finding]:
    """Callers pin identities made of this name; another one there, and every call ends in 503."""
    said, wanted = _setting(seen, TRUST_DOMAIN), seen.cluster.spec.trust_domain
    if said == wanted:
        yield ok(wanted)
    elif said is not None:
        yield wrong(
            f"istiod signs for {said}, {cluster_path(seen.name)} says {wanted}: callers refuse its identities",
            f"Write `trustDomain: {said}` into that file, if Istio is right; else set meshConfig.trustDomain:\n"
            f"$ {seen.kubectl} {_MESH_CONFIG}",
        )


def peers_accepted(seen: ClusterSeen) -> Iterator[Finding]:
    """A sidecar refuses callers of a trust domain that it wasn't told of; at the caller it's a bare 503."""
    said = _setting(seen, TRUST_DOMAINS)
    if said is None:
        return
    accepted = set(said.split(","))
    missing = {
        peer.name: peer.spec.trust_domain
        for peer in seen.tree.clusters.values()
        if peer.name != seen.name and peer.spec.trust_domain not in accepted
    }
    if not missing:
        yield ok(f"all {len(seen.tree.clusters) - 1} are accepted")
        return
    remedy = f"""\
$ {seen.kubectl} {_MESH_CONFIG}
Add below `mesh: |-` (or set it with what installs Istio, as meshConfig.caCertificates):
  caCertificates:
  - trustDomains: [{", ".join(sorted(missing.values()))}]
Not to trustDomainAliases: policies would take the peer for this cluster itself."""
    told = ", ".join(f"{domain} ({name})" for name, domain in sorted(missing.items()))
    shut = sorted(seen.called_by() & missing.keys())
    if shut:
        yield wrong(f"not accepted: {told}. Calls from {', '.join(shut)} end in 503, connection termination", remedy)
    else:
        yield warning(f"not accepted: {told}. Their calls would end in 503 once something is exported here", remedy)


def peers_apart(seen: ClusterSeen) -> Iterator[Finding]:
    """An alias is the own trust domain by another name: a policy for own callers lets the peer's in."""
    aliases = set((_setting(seen, TRUST_ALIASES) or "").split(","))
    peers = {peer.spec.trust_domain: name for name, peer in seen.tree.clusters.items() if name != seen.name}
    if mixed := sorted(aliases & peers.keys()):
        told = ", ".join(f"{domain} ({peers[domain]})" for domain in mixed)
        yield wrong(
            f"aliases of its own: {told}; a policy that names callers of {seen.name} lets theirs in",
            f"$ {seen.kubectl} {_MESH_CONFIG}\n"
            "Move them from trustDomainAliases to caCertificates:\n"
            "  caCertificates:\n"
            f"  - trustDomains: [{', '.join(mixed)}]",
        )


def dns(seen: ClusterSeen) -> Iterator[Finding]:
    """Mesh hosts have no Service: a sidecar resolves them only if it captures DNS, which Istio leaves off."""
    said = _setting(seen, DNS)
    if said == "true":
        yield ok("sidecars answer for hosts of the mesh")
        return
    if said is None:
        return
    remedy = f"""\
$ {seen.kubectl} {_MESH_CONFIG}
Add below `mesh: |-`, then restart the pods that call:
  defaultConfig: {{proxyMetadata: {{ISTIO_META_DNS_CAPTURE: "true"}}}}
Or put the addresses of facts/hosts/ into the cluster's DNS; then this line may stay."""
    what = "sidecars don't capture DNS: callers get NXDOMAIN for hosts of the mesh"
    yield wrong(what, remedy) if seen.calls() else warning(what, remedy)


def roots(seen: ClusterSeen) -> Iterator[Finding]:
    """Without the first istiod takes no new root, and no intermediate that comes with one, and says so nowhere."""
    takes, follow = _setting(seen, MULTIROOT), _setting(seen, FOLLOWS_ROOTS)
    if seen.cluster.spec.trust is None:
        return
    if takes == "false":
        yield wrong(
            "istiod ignores every change of its roots until it is restarted: ISTIO_MULTIROOT_MESH isn't set",
            f"$ {seen.kubectl} -n istio-system set env deployment/istiod ISTIO_MULTIROOT_MESH=true\n"
            "Or set it with what installs Istio (pilot.env): else the next upgrade takes it away.",
        )
    elif follow == "false":
        yield warning(
            "sidecars learn new roots only when they renew: each step of a rollover waits a workload's lifetime more",
            f"$ {seen.kubectl} {_MESH_CONFIG}\n"
            "Add below `mesh: |-`, then restart the pods once:\n"
            '  defaultConfig: {proxyMetadata: {PROXY_CONFIG_XDS_AGENT: "true"}}',
        )
    elif takes == follow == "true":
        yield ok("istiod and sidecars follow them")


def network(seen: ClusterSeen) -> Iterator[Finding]:
    """Own pods come first by comparing the network of the caller with that of the endpoint."""
    said, wanted = _setting(seen, NETWORK), seen.cluster.spec.network
    if said == wanted:
        yield ok(wanted)
    elif seen.settings is not None and MTLS in seen.settings:
        now = f"is {said}" if said else "has no label topology.istio.io/network"
        yield wrong(
            f"istio-system {now}, {cluster_path(seen.name)} says {wanted}: its own pods don't come first",
            f"$ {seen.kubectl} label namespace istio-system topology.istio.io/network={wanted} --overwrite",
        )


def _setting(seen: ClusterSeen, key: str) -> str | None:
    return None if seen.settings is None else seen.settings.get(key)
