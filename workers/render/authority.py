"""What brings one cluster its intermediate and its bundle, as a view: from the documents of trust alone.

Knows trust's documents and what follows for one cluster. Knows no Kubernetes object, no clock and no observation.
Where a document is missing that it needs, there is no view: what stands in the cluster stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from workers.documents import paths
from workers.documents.trust import ClusterStep
from workers.pki.due import renew_after
from workers.pki.lists import mesh_crls
from workers.pki.wanted import wanted
from workers.tree import Pki, Tree


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
        yield paths.ca_path(name), _views(tree, name, crls)


def _views(tree: Tree, name: str, crls: str) -> tuple[AuthorityView, ...]:
    trust, cluster, pki = tree.mesh.spec.trust, tree.clusters.get(name), tree.facts.pki
    step, standing = pki.steps.get(name), pki.intermediates.get(name)
    if trust is None or cluster is None or cluster.spec.trust is None or step is None:
        return ()
    sealed = cluster.spec.trust.delivery == "sealed-secrets"
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
