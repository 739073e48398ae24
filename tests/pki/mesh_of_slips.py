"""Trees whose certificates are slips: what people order, and how far the clusters are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import structs

from tests.pki.slips import BEGIN, FAR, slip
from workers.documents import kinds, paths
from workers.documents.kinds import Cluster, Mesh
from workers.documents.strict import Name
from workers.documents.trust import (
    ClusterStep,
    ClusterTrust,
    Intermediate,
    IntermediateSpec,
    MeshTrust,
    Root,
    RootSpec,
    SealingCertificate,
    SealingSpec,
    Trust,
    TrustSpec,
)
from workers.tree import Tree

KEY = "ed25519:" + "A" * 43 + "="


def root_slip(name: str, *, life: timedelta = FAR, subject: str | None = None) -> str:
    return slip(subject or f"CN={name}", subject or f"CN={name}", f"key of root {name}", life=life)


def cross_slip(name: str, by: str) -> str:
    """The key of a root, certified by another."""
    return slip(f"CN={name}", f"CN={by}", f"key of root {name}")


def root(
    name: str,
    *,
    crossed_by: Iterable[str] = (),
    imported: bool = False,
    life: timedelta = FAR,
    subject: str | None = None,
    crl: str = "",
) -> Root:
    return Root(
        metadata=Name(name=name),
        spec=RootSpec(
            certificate=root_slip(name, life=life, subject=subject),
            cross_signed={by: cross_slip(name, by) for by in crossed_by},
            imported=imported,
            crl=crl,
        ),
    )


def intermediate(
    cluster: str,
    rotation: int,
    under: str,
    *,
    key: str | None = None,
    lever: int = 0,
    crossed_by: str | None = None,
    begins: datetime = BEGIN,
    life: timedelta = FAR,
    crl: str = "",
    sealed: str = "",
) -> Intermediate:
    """`crossed_by`: a root that vouches for the one it stands under."""
    return Intermediate(
        metadata=Name(name=cluster),
        spec=IntermediateSpec(
            rotation=rotation,
            root=under,
            certificate=slip(
                f"CN={cluster}-{rotation}", f"CN={under}", key or key_of(cluster, rotation), begins=begins, life=life
            ),
            chain=cross_slip(under, crossed_by) if crossed_by else "",
            lever=lever,
            crl=crl,
            sealed=sealed,
        ),
    )


def key_of(cluster: str, rotation: int) -> str:
    return f"key {rotation} of {cluster}"


def cluster(name: str, trust: ClusterTrust | None = ClusterTrust()) -> Cluster:  # noqa: B008 - immutable
    """A cluster whose certificates are managed, unless `trust` is None."""
    return Cluster(
        metadata=kinds.NameAndLabels(name=name),
        spec=kinds.ClusterSpec(network=name, trust_domain=f"{name}.acme.example", trust=trust),
    )


def mesh(**orders: Any) -> Mesh:
    """`orders`: fields of `spec.trust`; root a unless said otherwise."""
    return Mesh(metadata=Name(name="acme"), spec=kinds.MeshSpec(trust=MeshTrust(**{"root": "a", **orders})))


def ordered(tree: Tree, **orders: Any) -> Tree:
    """The tree after people changed `spec.trust`."""
    trust = tree.mesh.spec.trust
    assert trust is not None
    spec = structs.replace(tree.mesh.spec, trust=structs.replace(trust, **orders))
    return Tree(mesh=structs.replace(tree.mesh, spec=spec), clusters=tree.clusters, facts=tree.facts)


def tree(
    *clusters: Cluster,
    roots: Iterable[Root] = (),
    intermediates: Iterable[Intermediate] = (),
    steps: Mapping[str, tuple[Iterable[str], str]] | None = None,
    sealing: Mapping[str, str] | None = None,
    **orders: Any,
) -> Tree:
    """`steps`: bundle and signer by cluster."""
    said = {name: ClusterStep(bundle=tuple(bundle), signer=signer) for name, (bundle, signer) in (steps or {}).items()}
    documents: list[Any] = [*roots, *intermediates]
    documents += [
        SealingCertificate(metadata=Name(name=name), spec=SealingSpec(certificate=text))
        for name, text in (sealing or {}).items()
    ]
    if said:
        documents.append(Trust(metadata=Name(name="acme"), spec=TrustSpec(clusters=said)))
    found = Tree(mesh=mesh(**orders), clusters={one.name: one for one in sorted(clusters, key=lambda one: one.name)})
    return found.with_facts(found.facts.with_changes({paths.path_of(one): one for one in documents}))
