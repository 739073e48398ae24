"""What must hold between the documents of trust, and between them and the clusters.

Knows documents and where they stand. Knows no clock, and nothing that follows from the documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from syncer.protocol.cacerts_rules import KEY_TYPES, issued
from syncer.protocol.certificates import Certificate, fingerprint, read_certificate, read_sealing_certificate
from syncer.protocol.request import SignRequest, read_csr, request_faults
from workers.documents import paths
from workers.documents.agreement import Disagreement
from workers.documents.kinds import Cluster, Mesh
from workers.documents.shape import Fault, Where, dotted
from workers.documents.trust import (
    CertificateRequest,
    CertificateRequestSpec,
    ClusterStep,
    Intermediate,
    MeshTrust,
    Root,
    SealingCertificate,
)


class Documents(Protocol):
    """The documents of `pki/`, by name of the root, else by cluster."""

    @property
    def roots(self) -> Mapping[str, Root]: ...
    @property
    def requests(self) -> Mapping[str, CertificateRequest]: ...
    @property
    def intermediates(self) -> Mapping[str, Intermediate]: ...
    @property
    def sealing(self) -> Mapping[str, SealingCertificate]: ...
    @property
    def steps(self) -> Mapping[str, ClusterStep]: ...


def trust_faults(mesh: Mesh, clusters: Mapping[str, Cluster], pki: Documents) -> Iterator[Disagreement]:
    """Whatever names something that isn't there, or says of it what isn't so."""
    if mesh.spec.trust is not None:
        yield from _orders(mesh.spec.trust, clusters, pki.roots)
    yield from _agents(clusters)
    yield from _roots(pki.roots)
    for name, request in pki.requests.items():
        yield from _request(mesh, clusters, pki, name, request.spec)
    for name, intermediate in pki.intermediates.items():
        path = paths.intermediate_path(name)
        yield from _known_cluster(path, name, clusters)
        yield from _known_root(path, ("spec", "root"), intermediate.spec.root, pki.roots)
    yield from _sealing(clusters, pki.sealing)
    for name, step in pki.steps.items():
        where: Where = ("spec", "clusters", name)
        yield from _known_cluster(paths.TRUST, name, clusters, where)
        for i, root in enumerate(step.bundle):
            yield from _known_root(paths.TRUST, (*where, "bundle", i), root, pki.roots)
        yield from _known_root(paths.TRUST, (*where, "signer"), step.signer, pki.roots)


def _orders(trust: MeshTrust, clusters: Mapping[str, Cluster], roots: Mapping[str, Root]) -> Iterator[Disagreement]:
    """People's orders name what exists. Before the first root stands in `pki/` its name can be ordered."""
    where: Where = ("spec", "trust")
    if roots:
        yield from _known_root(paths.MESH, (*where, "root"), trust.root, roots)
    for i, name in enumerate(trust.compromised):
        yield from _known_root(paths.MESH, (*where, "compromised", i), name, roots)
    for i, entry in enumerate(trust.revoked):
        yield from _known_root(paths.MESH, (*where, "revoked", i, "issuer"), entry.issuer, roots)
    for key, names in (("canary", trust.canary), ("exclude", trust.exclude)):
        for i, name in enumerate(names):
            yield from _known_cluster(paths.MESH, name, clusters, (*where, key, i))
    for name in trust.rotate:
        yield from _known_cluster(paths.MESH, name, clusters, (*where, "rotate", name))


def _agents(clusters: Mapping[str, Cluster]) -> Iterator[Disagreement]:
    """A key speaks for one: what a syncer signs must never pass for an agent's, or another cluster's."""
    owners = {key: paths.cluster_path(name) for name, one in clusters.items() for key in one.spec.syncer.public_keys}
    for name, cluster in clusters.items():
        path = paths.cluster_path(name)
        keys = cluster.spec.trust.agent.public_keys if cluster.spec.trust else ()
        for i, key in enumerate(keys):
            if key in owners:
                remedy = "Each agent has a key of its own: copy the one that this cluster's agent logs at its start."
                what = f"this key also stands in {owners[key]}"
                yield Disagreement(path, Fault(("spec", "trust", "agent", "publicKeys", i), what, remedy))
        owners |= dict.fromkeys(keys, path)


def _roots(roots: Mapping[str, Root]) -> Iterator[Disagreement]:
    """No two roots have one subject: what proxies name couldn't be told apart. Two imported ones may: no workload is
    given both, and nobody waits for an imported root to be trusted. (Each istiod that makes its root itself calls it
    after its trust domain, and most began as `cluster.local`.)
    """
    certificates = {name: _certificate(root.spec.certificate) for name, root in roots.items()}
    subjects: dict[bytes, str] = {}
    for name, certificate in certificates.items():
        path = paths.root_path(name)
        other = subjects.setdefault(certificate.subject.public_bytes(), name)
        if other != name and not (roots[other].spec.imported and roots[name].spec.imported):
            what = f"its subject is also that of {paths.root_path(other)}"
            yield Disagreement(path, Fault(("spec", "certificate"), what, "Give each root a subject of its own."))
        for issuer, text in roots[name].spec.cross_signed.items():
            where: Where = ("spec", "crossSigned", issuer)
            yield from _known_root(path, where, issuer, roots)
            if issuer in certificates and not issued(_certificate(text), certificates[issuer]):
                what = f"{paths.root_path(issuer)} hasn't signed it"
                yield Disagreement(path, Fault(where, what, "Make the cross certificate again, or take it out."))


def _request(
    mesh: Mesh, clusters: Mapping[str, Cluster], pki: Documents, name: str, spec: CertificateRequestSpec
) -> Iterator[Disagreement]:
    path, cluster = paths.request_path(name), clusters.get(name)
    if mesh.spec.trust is None or cluster is None or cluster.spec.trust is None:
        what = f"a request of {name}, whose certificates peermesh doesn't manage"
        remedy = f"Remove it, or write spec.trust into {paths.cluster_path(name)} and {paths.MESH}."
        yield Disagreement(path, Fault((), what, remedy))
    yield from _known_root(path, ("spec", "root"), spec.root, pki.roots)
    if spec.csr:
        for what, remedy in _asked(mesh.metadata.name, name, spec.rotation, spec.csr, spec.crl):
            yield Disagreement(path, Fault(("spec", "csr"), what, remedy))


@lru_cache(maxsize=1024)
def _asked(mesh: str, cluster: str, rotation: int, csr: str, crl: str) -> tuple[tuple[str, str], ...]:
    """Why a cluster can't have asked for this. Its type of key may be one that people have left since."""
    key = read_csr(csr, subject=cluster).public_key()
    curve = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else ""
    kind = next((kind for kind, known in KEY_TYPES.items() if known == curve), next(iter(KEY_TYPES)))
    request = SignRequest(mesh=mesh, cluster=cluster, sequence=1, requested_at=datetime(1970, 1, 1, tzinfo=UTC),
                          rotation=rotation, reason="renewal", csr=csr, crl=crl)  # fmt: skip
    faults = request_faults(request, cluster=cluster, mesh=mesh, key_type=kind)
    return tuple((fault.what, fault.remedy) for fault in faults)


def _sealing(clusters: Mapping[str, Cluster], sealing: Mapping[str, SealingCertificate]) -> Iterator[Disagreement]:
    """What is sealed for is what people pinned. Told of the robot's file, so that exports go on."""
    for name, document in sealing.items():
        path, cluster = paths.sealing_path(name), clusters.get(name)
        yield from _known_cluster(path, name, clusters)
        pinned = cluster.spec.trust.sealing if cluster is not None and cluster.spec.trust else None
        found = fingerprint(read_sealing_certificate(document.spec.certificate, subject=path))
        if pinned is not None and pinned != found:
            what = f"it is {found}, and {paths.cluster_path(name)} pins {pinned} (spec.trust.sealing)"
            remedy = "Look at which of the two is the controller's, and commit the other anew."
            yield Disagreement(path, Fault(("spec", "certificate"), what, remedy))
    for name, cluster in clusters.items():
        if cluster.spec.trust is not None and cluster.spec.trust.sealing is not None and name not in sealing:
            what = f"missing, but {paths.cluster_path(name)} pins it (spec.trust.sealing)"
            remedy = f"`peermesh ca manage {name} --sealing-certificate FILE` brings the controller's certificate."
            yield Disagreement(paths.sealing_path(name), Fault((), what, remedy))


def _known_root(path: str, where: Where, name: str, roots: Mapping[str, Root]) -> Iterator[Disagreement]:
    if name not in roots:
        known = f"Write one of those there: {', '.join(roots)}." if roots else "`peermesh ca init-root` proposes one."
        what = f"{dotted(where)} is {name}, but there is no {paths.root_path(name)}"
        yield Disagreement(path, Fault(where, what, known))


def _known_cluster(path: str, name: str, clusters: Mapping[str, Cluster], where: Where = ()) -> Iterator[Disagreement]:
    if name not in clusters:
        subject = f"{dotted(where)} is about {name}" if where else f"about {name}"
        what = f"{subject}, but there is no {paths.cluster_path(name)}"
        yield Disagreement(path, Fault(where, what, "Take it out, or bring the cluster's file back."))


@lru_cache(maxsize=1024)
def _certificate(text: str) -> Certificate:
    """Of a document that was read, so it is one."""
    return read_certificate(text, subject="pki")
