"""Trust: how certificates stand: of each cluster the intermediate, its dates, its phase, and what it waits for.

Pure: from main, from what the machine of `workers.pki` says next, and from what clusters were observed to do. Knows no
texts for people but those that it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from syncer.protocol.cacerts import Cacerts, cacerts_faults
from syncer.protocol.certificates import Certificate, fingerprint, name_text, read_certificate, serial_text
from syncer.protocol.errors import Rejected
from syncer.protocol.trust import ObservedTrust
from workers.documents import paths
from workers.documents.trust import Intermediate, MeshTrust
from workers.pki.due import Dates, dates
from workers.tree import Tree


@dataclass(frozen=True, kw_only=True)
class RootStatus:
    """A root, and who has it in the bundle that main says."""

    name: str
    subject: str
    fingerprint: str
    begins: datetime
    ends: datetime
    imported: bool
    trusted_by: tuple[str, ...]
    used_by: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ClusterCertificate:
    """How a cluster's certificates stand. `root`: that it signs under, as main has it; `rotation` 0: nothing was signed
    for it yet. `ordered`: the rotation that people ordered and it doesn't have. `phase`, `waits`: empty where nobody
    looked. `observed`: None where nothing was observed; `unmet`: what was observed otherwise than main has it.
    """

    name: str
    managed: bool
    excluded: bool
    root: str
    bundle: tuple[str, ...]
    rotation: int
    serial: str
    dates: Dates | None
    alarm: str
    ordered: int
    phase: str
    waits: str
    observed: ObservedTrust | None
    unmet: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TrustStatus:
    """`orders` None: people ordered nothing of trust. `waits`: what the whole mesh waits for."""

    mesh: str
    orders: MeshTrust | None
    roots: tuple[RootStatus, ...]
    clusters: tuple[ClusterCertificate, ...]
    waits: str

    @property
    def progress(self) -> Mapping[str, tuple[int, int]]:
        """How many of the clusters that count have done each step towards the root that is wanted, as main has it."""
        counting = [cluster for cluster in self.clusters if cluster.managed and not cluster.excluded]
        goal = self.orders.root if self.orders else ""
        done = {
            "trust": sum(goal in cluster.bundle for cluster in counting),
            "sign": sum(cluster.root == goal and cluster.rotation > 0 for cluster in counting),
            "trust it alone": sum(cluster.bundle == (goal,) for cluster in counting),
        }
        return {step: (count, len(counting)) for step, count in done.items()}


def trust_status(
    tree: Tree,
    now: datetime,
    *,
    observed: Mapping[str, ObservedTrust],
    phases: Mapping[str, str],
    waiting: Mapping[str, str],
) -> TrustStatus:
    """How certificates stand. `phases` and `waiting`: by cluster, `*` for the mesh; what nobody says is left empty."""
    return TrustStatus(
        mesh=tree.mesh.metadata.name,
        orders=tree.mesh.spec.trust,
        roots=tuple(_roots(tree)),
        clusters=tuple(
            _cluster(tree, name, now, observed.get(name), phases.get(name, ""), waiting.get(name, ""))
            for name in tree.clusters
        ),
        waits=waiting.get("*", ""),
    )


def _roots(tree: Tree) -> Iterator[RootStatus]:
    pki = tree.facts.pki
    for name, document in pki.roots.items():
        try:
            certificate = read_certificate(document.spec.certificate, subject=paths.root_path(name))
        except Rejected:
            continue  # `check` says so
        yield RootStatus(
            name=name,
            subject=name_text(certificate.subject),
            fingerprint=fingerprint(certificate),
            begins=certificate.not_valid_before_utc,
            ends=certificate.not_valid_after_utc,
            imported=document.spec.imported,
            trusted_by=tuple(cluster for cluster, step in pki.steps.items() if name in step.bundle),
            used_by=tuple(cluster for cluster in pki.steps if _signs_under(tree, cluster) == name),
        )


def _cluster(
    tree: Tree, name: str, now: datetime, observed: ObservedTrust | None, phase: str, waits: str
) -> ClusterCertificate:
    pki, trust = tree.facts.pki, tree.mesh.spec.trust
    standing, step = pki.intermediates.get(name), pki.steps.get(name)
    found = dates(tree, name)
    rotation = standing.spec.rotation if standing else 0
    order = trust.rotate.get(name) if trust else None
    certificate = certificate_of(standing)
    return ClusterCertificate(
        name=name,
        managed=trust is not None and tree.clusters[name].spec.trust is not None,
        excluded=trust is not None and name in trust.exclude,
        root=_signs_under(tree, name),
        bundle=step.bundle if step else (),
        rotation=rotation,
        serial=serial_text(certificate) if certificate else "",
        dates=found,
        alarm=found.alarm(now) if found else "",
        ordered=order.rotation if order and order.rotation > rotation else 0,
        phase=phase,
        waits=waits,
        observed=observed,
        unmet=unmet(tree, name, observed) if observed else (),
    )


def _signs_under(tree: Tree, name: str) -> str:
    standing, step = tree.facts.pki.intermediates.get(name), tree.facts.pki.steps.get(name)
    if standing:
        return standing.spec.root
    # Adopted, it signs under what it came with until its first intermediate is signed here.
    return next((root for root in step.bundle if _imported(tree, root)), "") if step else ""


def _imported(tree: Tree, root: str) -> bool:
    document = tree.facts.pki.roots.get(root)
    return document is not None and document.spec.imported


def certificate_of(standing: Intermediate | None) -> Certificate | None:
    """The certificate of an intermediate; None where there is none, or none that can be read."""
    if standing is None:
        return None
    try:
        return read_certificate(standing.spec.certificate, subject=paths.intermediate_path(standing.metadata.name))
    except Rejected:
        return None


def unmet(tree: Tree, name: str, observed: ObservedTrust) -> tuple[str, ...]:
    """What of a cluster isn't as main has it, as far as it was observed: for two kubelet periods that is normal."""
    pki = tree.facts.pki
    standing, step = pki.intermediates.get(name), pki.steps.get(name)
    if step is None:
        return ()
    wanted = {root.fingerprint for root in _roots(tree) if root.name in step.bundle}
    found = [
        f"namespace {bundle.example} has other roots than main"
        for bundle in observed.bundles
        if set(bundle.roots) != wanted
    ]
    certificate = certificate_of(standing)
    if certificate is not None:
        ours = fingerprint(certificate)
        others = [issuer.pod for issuer in observed.issuers if issuer.issuer not in {"", ours}]
        found += [f"{pod} signs with another intermediate than main has" for pod in others]
    has = standing.spec.rotation if standing else 0
    if observed.agent is not None and observed.agent.rotation != has:
        found.append(f"its agent has installed rotation {observed.agent.rotation}, main has {has}")
    return tuple(found)


# --- whether pairs accept each other


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Whether `client`, say, accepts what `server` shows: `shower`'s chain, held against `verifier`'s bundle.

    `source`: whose word the bundle is: `main`, or what `verifier` was observed to trust. `why`: empty if it does.
    """

    shower: str
    verifier: str
    source: Literal["main", "observed"]
    why: str


def pairs(tree: Tree, now: datetime, observed: Mapping[str, ObservedTrust]) -> tuple[Pair, ...]:
    """Every cluster that signs with an intermediate on main, against every other one: calls need both directions."""
    pki = tree.facts.pki
    found: list[Pair] = []
    for shower in sorted(pki.intermediates):
        for verifier in sorted(pki.steps):
            if shower == verifier or shower not in tree.clusters:
                continue
            found.append(_pair(tree, now, shower, verifier, "main", pki.steps[verifier].bundle))
            seen = observed.get(verifier)
            known = _by_fingerprint(tree)
            for bundle in seen.bundles if seen else ():
                names = tuple(known[root] for root in bundle.roots if root in known)
                found.append(_pair(tree, now, shower, verifier, "observed", names))
    return tuple(dict.fromkeys(found))


def _pair(
    tree: Tree, now: datetime, shower: str, verifier: str, source: Literal["main", "observed"], bundle: Iterable[str]
) -> Pair:
    pki = tree.facts.pki
    spec = pki.intermediates[shower].spec
    roots = "".join(pki.roots[name].spec.certificate for name in bundle if name in pki.roots)
    if not roots:
        return Pair(shower=shower, verifier=verifier, source=source, why=_NO_ROOT)
    files = Cacerts(certificate=spec.certificate, chain=spec.certificate + spec.chain, roots=roots)
    faults = cacerts_faults(files, trust_domain=tree.clusters[shower].spec.trust_domain, now=now)
    return Pair(shower=shower, verifier=verifier, source=source, why="; ".join(map(str, faults)))


_NO_ROOT: Final = "it trusts no root that pki/roots/ knows"


def _by_fingerprint(tree: Tree) -> dict[str, str]:
    return {root.fingerprint: root.name for root in _roots(tree)}
