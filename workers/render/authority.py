"""What brings one cluster its intermediate and its bundle, as a view: from the documents of trust alone.

Knows trust's documents and what follows for one cluster. Knows no Kubernetes object, no clock and no observation.
Where a document is missing that it needs, there is no view: what stands in the cluster stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from syncer.protocol.certificates import read_certificates
from syncer.protocol.errors import Rejected
from syncer.protocol.revocation import crl_faults, read_crls
from workers.documents import paths
from workers.documents.kinds import Cluster
from workers.documents.trust import ClusterStep, MeshTrust
from workers.pki.crl import crl_bundle
from workers.pki.due import renew_after
from workers.pki.wanted import wanted
from workers.tree import Pki, Tree

_ABSENT: Final = frozenset({"CrlMissing", "CrlSignature", "CrlTwice"})
"""What no clock mends, and what stops every connection (`syncer.protocol.revocation`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuthorityView:
    """What one cluster shall sign with and trust, as its agent, or the controller of Sealed Secrets, gets it.

    `rotation`: of the intermediate, 0: it has none of ours, and `certificate` and `chain` are empty. `wanted`: the
    rotation that it shall have, for `reason` and under `root`. `renew_after`: RFC 3339, or empty. `sealed`: the key,
    sealed for it; empty: its agent has the key.
    """

    cluster: str
    mesh: str
    trust_domain: str
    key_type: str
    rotation: int
    wanted: int
    reason: str
    root: str
    renew_after: str
    certificate: str
    chain: str
    bundle: str
    crls: str
    sealed: str

    @property
    def source(self) -> str:
        return paths.intermediate_path(self.cluster) if self.rotation else paths.TRUST


def authorities(tree: Tree, clusters: Iterable[str]) -> Iterator[tuple[str, tuple[AuthorityView, ...]]]:
    """Path and view of the file of trust of these clusters; no view where nothing is managed."""
    trust = tree.mesh.spec.trust
    crls = mesh_crls(tree.facts.pki) if trust is not None and trust.crls else ""
    for name in clusters:
        cluster, step = tree.clusters.get(name), tree.facts.pki.steps.get(name)
        managed = trust is not None and cluster is not None and cluster.spec.trust is not None and step is not None
        yield paths.ca_path(name), _views(tree, trust, cluster, step, crls) if managed else ()  # type: ignore[arg-type]


def _views(tree: Tree, trust: MeshTrust, cluster: Cluster, step: ClusterStep, crls: str) -> tuple[AuthorityView, ...]:
    pki, name = tree.facts.pki, cluster.name
    standing = pki.intermediates.get(name)
    sealed = cluster.spec.trust is not None and cluster.spec.trust.delivery == "sealed-secrets"
    if not pki.roots.keys() >= set(step.bundle) or (standing is None and sealed):
        return ()
    following, renews = wanted(tree, name), renew_after(tree, name)
    return (
        AuthorityView(
            cluster=name,
            mesh=tree.mesh.metadata.name,
            trust_domain=cluster.spec.trust_domain,
            key_type=trust.intermediates.key,
            rotation=standing.spec.rotation if standing else 0,
            wanted=following.rotation,
            reason=following.reason or "renewal",
            root=following.root,
            renew_after=f"{renews:%Y-%m-%dT%H:%M:%SZ}" if renews else "",
            certificate=standing.spec.certificate if standing else "",
            chain=standing.spec.certificate + standing.spec.chain if standing else "",
            bundle=bundle_of(pki, step, standing.spec.lever if standing else 0),
            crls=crls,
            # A sealed key only while its delivery is this one: then the agent of the cluster takes over.
            sealed=standing.spec.sealed if standing and sealed else "",
        ),
    )


def bundle_of(pki: Pki, step: ClusterStep, lever: int) -> str:
    """`root-cert.pem`: the roots in the order of the bundle, and line breaks: one more renews every leaf at once."""
    return "".join(pki.roots[name].spec.certificate for name in step.bundle) + "\n" * lever


def mesh_crls(pki: Pki) -> str:
    """`ca-crl.pem`: the lists of all CAs of all clusters; empty as long as one of them lacks its own.

    A CA without a list stops every new connection (`unable_to_get_certificate_CRL`), so it is all of them or none.
    """
    used = sorted({name for step in pki.steps.values() for name in step.bundle} & pki.roots.keys())
    roots = [pki.roots[name].spec for name in used]
    intermediates = [one.spec for one in pki.intermediates.values()]
    lists = [*(root.crl for root in roots), *(one.crl for one in intermediates)]
    authorities = [text for root in roots for text in (root.certificate, root.issuers)]
    return _complete(tuple(lists), (*authorities, *(one.certificate for one in intermediates)))


@lru_cache(maxsize=8)
def _complete(lists: tuple[str, ...], authorities: tuple[str, ...]) -> str:
    try:
        together = crl_bundle(lists)
        crls = read_crls(together, subject="pki")
        known = [found for text in authorities if text for found in read_certificates(text, subject="pki")]
    except Rejected:
        return ""
    begins = max((crl.last_update_utc for crl in crls), default=None)
    if begins is None or any(fault.rule in _ABSENT for fault in crl_faults(crls, known, now=begins)):
        return ""
    return together
