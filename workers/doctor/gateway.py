"""Whether a gateway can be reached from here, and whether the right workload answers behind it.

A gateway in mode AUTO_PASSTHROUGH looks at the SNI alone and hands the connection on, so a handshake shows the
certificate of the pod itself; for a name that it wasn't told it closes without a word (Envoy: no filter chain). Judges
handshakes; makes none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from workers.doctor import Finding, ok, unknown, warning, wrong
from workers.doctor.seen import ClusterSeen, Handshake, Outcome
from workers.documents.paths import gateway_name


def reachable(seen: ClusterSeen) -> Iterator[Finding]:
    """Every address, asked from here for one exported service and for one that doesn't exist."""
    if seen.handshakes is None:
        return
    for handshake in seen.handshakes:
        made_up = handshake.sni != "" and handshake.sni == seen.asked.made_up
        yield from _made_up(handshake) if made_up else _OUTCOMES[handshake.outcome](seen, handshake)


def _from(handshake: Handshake) -> str:
    where = f"{handshake.address.ip or handshake.address.host}:{handshake.address.port}"
    return f"{where}, asked from {handshake.local}" if handshake.local else where


def _connected(seen: ClusterSeen, handshake: Handshake) -> Iterator[Finding]:
    del seen
    yield ok(f"{_from(handshake)}, takes connections; nothing that others may call is exported, so no more was asked")


def _shown(seen: ClusterSeen, handshake: Handshake) -> Iterator[Finding]:
    asked = seen.asked
    if handshake.ends is not None and handshake.ends < seen.now:
        what = f"{_from(handshake)}: the certificate of {asked.key} ended at {handshake.ends:%Y-%m-%d %H:%M} UTC"
        yield wrong(what, f"$ {seen.kubectl} -n istio-system logs deploy/istiod --tail=50\nIts CA has ended, perhaps.")
    elif not set(handshake.identities) & set(asked.identities):
        yield _another(seen, handshake)
    elif handshake.trusted is False:
        yield wrong(
            f"{_from(handshake)}: the certificate of {asked.key} isn't signed by the root given ({handshake.detail})",
            f"Compare the roots of this cluster and of its peers:\n"
            f"$ {seen.kubectl} -n istio-system get configmap istio-ca-root-cert -o jsonpath='{{.data}}'",
        )
    else:
        root = "signed by the root" if handshake.trusted else f"by {handshake.issuer or 'an unnamed issuer'}"
        yield ok(f"{_from(handshake)}, answers for {asked.key} as {_first(handshake)}, {root}")
        if handshake.trusted is None:
            yield unknown("whether the mesh's root signed that", "`--root FILE` (root-cert.pem) or `--context CTX`.")


def _another(seen: ClusterSeen, handshake: Handshake) -> Finding:
    if not any(identity.startswith("spiffe://") for identity in handshake.identities):
        what = f"{_from(handshake)}: TLS ends before the gateway, in something that isn't of Istio"
        return wrong(what, "Make the load balancer pass TCP through: no TLS listener, no proxy that looks at the SNI.")
    wanted = " or ".join(seen.asked.identities)
    return wrong(
        f"{_from(handshake)}: {_first(handshake)} answers for {seen.asked.key}; callers accept {wanted}",
        f"$ peermesh explain {seen.asked.key}\n"
        "Another cluster's address, another trust domain, or a service account that nobody approved yet.",
    )


def _first(handshake: Handshake) -> str:
    return next((name for name in handshake.identities if name.startswith("spiffe://")), "somebody without a name")


def _closed(seen: ClusterSeen, handshake: Handshake) -> Iterator[Finding]:
    key = seen.asked.key
    gateway = seen.cluster.spec.gateway.namespace
    name = gateway_name(key.namespace) if key else "peermesh-<namespace>"
    yield wrong(
        f"{_from(handshake)}: connected, then closed: the gateway doesn't let {key} in",
        f"$ {seen.kubectl} -n {gateway} get gateways.networking.istio.io {name} -o yaml\n"
        "Not there: it isn't applied yet, `peermesh status` says why.\n"
        "There: no pod of the Service has a sidecar, or another Gateway on this port has the same host or a wildcard "
        "over it, which istiod's log names.",
    )


def _alert(seen: ClusterSeen, handshake: Handshake) -> Iterator[Finding]:
    del seen
    yield wrong(
        f"{_from(handshake)}: answers with an alert of TLS ({handshake.detail}), as no gateway of Istio does",
        "Make what stands before the gateway pass TCP through: no TLS listener, no proxy that looks at the SNI.",
    )


def _other(seen: ClusterSeen, handshake: Handshake) -> Iterator[Finding]:
    del seen
    yield wrong(
        f"{_from(handshake)}: something answers that doesn't speak TLS ({handshake.detail})",
        "Look which Service and port the address leads to: it must be the gateway's port for TLS (15443).",
    )


def _refused(seen: ClusterSeen, handshake: Handshake) -> Iterator[Finding]:
    gateway = seen.cluster.spec.gateway.namespace
    yield wrong(
        f"{_from(handshake)}: nothing listens there ({handshake.detail})",
        f"$ {seen.kubectl} -n {gateway} get pods,services -o wide",
    )


def _silent(seen: ClusterSeen, handshake: Handshake) -> Iterator[Finding]:
    where = f"{handshake.address.ip or handshake.address.host} {handshake.address.port}"
    yield wrong(
        f"{_from(handshake)}: no answer ({handshake.detail}); a firewall or a route swallows it, perhaps",
        f"$ nc -vz -w 3 {where}\nFrom a node of a peer: if it works there, only this machine is kept out.",
    )
    del seen


def _nowhere(seen: ClusterSeen, handshake: Handshake) -> Iterator[Finding]:
    del seen
    host = handshake.address.ip or handshake.address.host
    yield wrong(f"{_from(handshake)}: there is no way to it ({handshake.detail})", f"$ getent hosts {host}")


_OUTCOMES: Final[Mapping[Outcome, Callable[[ClusterSeen, Handshake], Iterator[Finding]]]] = {
    "connected": _connected,
    "shown": _shown,
    "closed": _closed,
    "alert": _alert,
    "other": _other,
    "refused": _refused,
    "silent": _silent,
    "nowhere": _nowhere,
}


def _made_up(handshake: Handshake) -> Iterator[Finding]:
    """A name that doesn't exist must not be answered: what does so looks at no SNI, or ends TLS itself."""
    if handshake.outcome == "shown":
        yield warning(
            f"{_from(handshake)}: shows a certificate ({_first(handshake)}) for a service that doesn't exist",
            "It isn't (only) a gateway in mode AUTO_PASSTHROUGH: look which Service the address leads to.",
        )
    elif handshake.outcome == "closed":
        yield ok("a service that doesn't exist is refused")
