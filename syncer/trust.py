"""What a cluster trusts and signs with: objects and handshakes become an `ObservedTrust`.

Pure. Knows what istiod publishes, how its pods are recognised, and what a chain on the wire says. Decides nothing:
whether a gate is open is the centre's. Whatever came over the wire is hostile until it is read.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from syncer.cluster import ClusterState
from syncer.cluster.objects import FOLLOWS_ROOTS, PROXY, ROOTS_CONFIG, TLS_MODE, ConfigMap, Pod
from syncer.istio import TRUE, istio_versions
from syncer.protocol.certificates import fingerprint, read_foreign_certificates
from syncer.protocol.errors import Rejected
from syncer.protocol.trust import (
    AGENT_NAMESPACE,
    STATUS_KEY,
    STATUS_NAME,
    ObservedAgent,
    ObservedBundle,
    ObservedIssuer,
    ObservedLag,
    ObservedProxy,
    ObservedTrust,
)

ROOTS_KEY: Final = "root-cert.pem"
"""The entry of `istio-ca-root-cert`."""
MAX_ROOTS: Final = 64
"""Roots that a workload may name; istiod's bundle has one, or two while a root is rolled over."""
MAX_CRLS: Final = 2000
"""CAs whose lists a cluster may have: more don't fit into a `ca-crl.pem`."""
MAX_TOLD: Final = 1000
"""Workloads of which an observation tells: the newest. At 60 bytes each, packed, they leave room for the offers."""
_LONGEST: Final = 300
"""Characters of one text from a cluster."""
_ISTIOD: Final = ("app", "istiod")

Identity = tuple[str, str, datetime | None]
"""Namespace and name of a pod, and when it started: the second pod of that name is another workload."""


@dataclass(frozen=True, kw_only=True)
class Handshake:
    """What a TLS server showed: its certificates in DER as sent, and the names, in DER, of the CAs that it asks for.

    `error`: why it showed nothing.
    """

    chain: tuple[bytes, ...] = ()
    authorities: tuple[bytes, ...] = ()
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What all handshakes so far showed: the newest of each workload and istiod. `at`: when the last round began."""

    at: datetime | None = None
    proxies: tuple[ObservedProxy, ...] = ()
    issuers: tuple[ObservedIssuer, ...] = ()


NOTHING: Final = Sample()
"""Nobody was asked."""


@dataclass(frozen=True, kw_only=True)
class Announced:
    """What of trust is read without asking anybody: the texts of the published roots, and how the agent fares."""

    bundles: frozenset[str] = frozenset()
    agent: ObservedAgent | None = None

    @property
    def settled(self) -> bool:
        """Whether all namespaces agree, and the agent has nothing to do."""
        return len(self.bundles) <= 1 and (self.agent is None or self.agent.rotation == self.agent.wanted)


def announced(state: ClusterState) -> Announced:
    """A change of it is a reason to ask at once: a changed byte of the roots renews every leaf."""
    return Announced(bundles=frozenset(_roots_texts(state)), agent=_agent(state))


def observed_trust(state: ClusterState, istio_namespace: str, sample: Sample) -> ObservedTrust | UnsetType:
    """All that is known; UNSET where that is nothing: no roots are published, and nobody was asked."""
    bundles = _bundles(state)
    agent = _agent(state)
    unread = _unread(state)
    if not bundles and not unread and agent is None and sample.at is None:
        return UNSET
    named = {pod.metadata.name for pod in istiods(state, istio_namespace)}
    issuers = tuple(sorted(one for one in sample.issuers if one.pod in named))
    return ObservedTrust(
        bundles=bundles,
        unread=unread,
        issuers=issuers,
        proxies=_newest(still_there(state, sample)),
        sampled_at=sample.at,
        lag=_lag(state) if sample.at is not None else None,
        agent=agent,
        istio=",".join(istio_versions(state, istio_namespace)),
        self_signed=_self_signed(bundles, issuers),
    )


def workloads(state: ClusterState) -> tuple[Pod, ...]:
    """Pods with a sidecar that can be reached, in any order."""
    return tuple(pod for pod in state.pods if TLS_MODE in pod.metadata.labels.items() and pod.status.pod_ip)


def istiods(state: ClusterState, istio_namespace: str) -> tuple[Pod, ...]:
    """Replicas of istiod that can be reached, in any order."""
    pods = state.pods_by_namespace.get(istio_namespace, ())
    return tuple(pod for pod in pods if _ISTIOD in pod.metadata.labels.items() and pod.status.pod_ip)


def identity(pod: Pod) -> Identity:
    """What tells this pod from the next one of its name."""
    return pod.metadata.namespace, pod.metadata.name, _started(pod)


def identity_of(seen: ObservedProxy) -> Identity:
    """The same, of the pod that was asked."""
    return seen.namespace, seen.pod, seen.started


def still_there(state: ClusterState, sample: Sample) -> tuple[ObservedProxy, ...]:
    """The workloads of a sample whose pods haven't gone."""
    known = {(one.namespace, one.pod) for one in sample.proxies}
    there = {identity(pod) for pod in workloads(state) if (pod.metadata.namespace, pod.metadata.name) in known}
    return tuple(one for one in sample.proxies if identity_of(one) in there)


def unseen(state: ClusterState, sample: Sample) -> bool:
    """Whether there is a namespace with workloads, none of which was asked."""
    return {pod.metadata.namespace for pod in workloads(state)} != {one.namespace for one in still_there(state, sample)}


def published(state: ClusterState) -> tuple[x509.Certificate, ...]:
    """Every root that any namespace shows, once, in any order."""
    return tuple({root for text in {*_roots_texts(state)} for root in _certificates(text)})


def seen_workload(pod: Pod, shown: Handshake, seen: datetime, roots: Iterable[x509.Certificate] = ()) -> ObservedProxy:
    """What a handshake with a workload says. `roots`: where else to look for what issued its leaf."""
    namespace, name, started = identity(pod)
    said = ObservedProxy(namespace=namespace, pod=name, live=_follows_roots(pod), started=started, seen=seen)
    try:
        leaf, issuer, error = _leaf(shown, roots)
        trusts = _subjects(shown.authorities)
    except _Unreadable as why:
        return replace(said, error=str(why))
    return replace(
        said,
        issuer=sys.intern(issuer),
        authority=sys.intern(_authority(leaf)),
        trusts=_same(trusts),
        not_after=leaf.not_valid_after_utc,
        error=error or ("" if trusts else "it names no roots that it trusts"),
    )


@lru_cache(MAX_ROOTS)
def _same(trusts: tuple[str, ...]) -> tuple[str, ...]:
    """The first one of all that are equal: thousands of results are kept."""
    return trusts


def seen_istiod(pod: Pod, shown: Handshake, roots: Iterable[x509.Certificate] = ()) -> ObservedIssuer:
    """What a handshake with a replica of istiod says: it signs its own serving certificate, too."""
    try:
        _, issuer, error = _leaf(shown, roots)
    except _Unreadable as why:
        return ObservedIssuer(pod=pod.metadata.name, error=str(why))
    return ObservedIssuer(pod=pod.metadata.name, issuer=issuer, error=error)


class _Unreadable(Exception):
    """Why a handshake says nothing."""


def _leaf(shown: Handshake, roots: Iterable[x509.Certificate]) -> tuple[x509.Certificate, str, str]:
    """The leaf, the fingerprint of what issued it, and why that isn't known."""
    if shown.error:
        raise _Unreadable(shown.error[:_LONGEST])
    chain = _certificates("".join(map(ssl.DER_cert_to_PEM_cert, shown.chain)))
    if not chain:
        raise _Unreadable("it showed certificates that can't be read" if shown.chain else "it showed no certificate")
    leaf = chain[0]
    issuer = next((fingerprint(one) for one in (*chain[1:], *roots) if _issued(one, leaf)), "")
    return leaf, issuer, "" if issuer else "what issued its certificate isn't in its chain"


def _issued(issuer: x509.Certificate, leaf: x509.Certificate) -> bool:
    if issuer.subject != leaf.issuer:
        return False
    try:
        leaf.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _authority(leaf: x509.Certificate) -> str:
    try:
        found = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except x509.ExtensionNotFound:
        return ""
    return (found.key_identifier or b"").hex()[:_LONGEST]


def _subjects(names: tuple[bytes, ...]) -> tuple[str, ...]:
    if len(names) > MAX_ROOTS:
        raise _Unreadable(f"it names {len(names)} roots; at most {MAX_ROOTS} are read")
    try:
        return tuple(sorted({_name(name).rfc4514_string()[:_LONGEST] for name in names}))
    except (ValueError, TypeError) as error:
        raise _Unreadable("it names a root whose name can't be read") from error


_KEY: Final = bytes.fromhex("302a300506032b6570032100") + bytes(32)
"""SubjectPublicKeyInfo of an Ed25519 key, any (RFC 8410)."""
_SIGNED: Final = bytes.fromhex("a000")
_SIGNATURE: Final = bytes.fromhex("300506032b6570030100")


def _name(der: bytes) -> x509.Name:
    """A name by itself, which `cryptography` reads only in a document: here a request (RFC 2986). Raises ValueError."""
    information = _sequence(bytes.fromhex("020100") + der + _KEY + _SIGNED)
    return x509.load_der_x509_csr(_sequence(information + _SIGNATURE)).subject


def _sequence(content: bytes) -> bytes:
    size = len(content)
    length = size.to_bytes((size.bit_length() + 7) // 8 or 1)
    return b"\x30" + (length if size < 0x80 else bytes([0x80 | len(length)]) + length) + content


def _certificates(text: str) -> tuple[x509.Certificate, ...]:
    """None where anything in it can't be read: half a bundle would be another one."""
    try:
        return read_foreign_certificates(text, subject=ROOTS_CONFIG)
    except Rejected:
        return ()


def _roots_configs(state: ClusterState) -> Iterator[ConfigMap]:
    return (one for one in state.config_maps if one.metadata.name == ROOTS_CONFIG)


def _roots_texts(state: ClusterState) -> Iterator[str]:
    return (one.data.get(ROOTS_KEY, "") for one in _roots_configs(state))


def _bundles(state: ClusterState) -> tuple[ObservedBundle, ...]:
    read = {text: tuple(sorted(map(fingerprint, _certificates(text)))) for text in {*_roots_texts(state)}}
    found: dict[tuple[str, ...], list[str]] = {}
    for one in _roots_configs(state):
        found.setdefault(read[one.data.get(ROOTS_KEY, "")], []).append(one.metadata.namespace)
    return tuple(
        ObservedBundle(roots=roots, namespaces=len(namespaces), example=min(namespaces))
        for roots, namespaces in sorted(found.items())
    )


def _unread(state: ClusterState) -> int:
    """Namespaces with workloads of the mesh that have no such ConfigMap; what the others lack hurts nobody."""
    return len({pod.metadata.namespace for pod in workloads(state)} - {
        one.metadata.namespace for one in _roots_configs(state)
    })  # fmt: skip


def _agent(state: ClusterState) -> ObservedAgent | None:
    for one in state.config_maps:
        if (one.metadata.namespace, one.metadata.name) == (AGENT_NAMESPACE, STATUS_NAME):
            try:
                said = msgspec.json.decode(one.data.get(STATUS_KEY, ""), type=ObservedAgent)
                roots, crls, trouble = said.roots[:MAX_ROOTS], said.crls[:MAX_CRLS], said.trouble[:_LONGEST]
                return replace(said, roots=roots, crls=crls, trouble=trouble)
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                return ObservedAgent(trouble=f"what it says of itself in ConfigMap {STATUS_NAME} can't be read")
    return None


def _self_signed(bundles: Iterable[ObservedBundle], issuers: Iterable[ObservedIssuer]) -> bool | None:
    roots = {root for bundle in bundles for root in bundle.roots}
    signing = {one.issuer for one in issuers if one.issuer}
    return bool(signing & roots) if signing else None


def _newest(proxies: Iterable[ObservedProxy]) -> tuple[ObservedProxy, ...]:
    def age(one: ObservedProxy) -> tuple[float, str, str]:
        return -one.seen.timestamp() if one.seen else 0.0, one.namespace, one.pod

    newest = sorted(proxies, key=age)[:MAX_TOLD]
    return tuple(sorted(newest, key=lambda one: (one.namespace, one.pod)))


def _follows_roots(pod: Pod) -> bool | None:
    """None where its sidecar isn't among its containers: then nothing can be known of that."""
    for container in (*pod.spec.containers, *pod.spec.init_containers):
        if container.name == PROXY:
            return any(one.name == FOLLOWS_ROOTS and one.value.lower() in TRUE for one in container.env)
    return None


def _lag(state: ClusterState) -> ObservedLag | None:
    slow = sorted(
        (pod for pod in workloads(state) if not _follows_roots(pod)),
        key=lambda pod: (pod.metadata.namespace, pod.metadata.name),
    )
    if not slow:
        return None
    started = [_started(pod) for pod in slow]
    return ObservedLag(
        workloads=len(slow),
        example=f"{slow[0].metadata.namespace}/{slow[0].metadata.name}",
        oldest=None if None in started else min(at for at in started if at is not None),
    )


def _started(pod: Pod) -> datetime | None:
    try:
        started = datetime.fromisoformat(pod.status.start_time)
    except ValueError:
        return None
    return started if started.tzinfo else started.replace(tzinfo=UTC)
