"""Trust: how certificates stand: of each cluster the intermediate, its dates, its phase, and what it waits for.

Pure: from main, from what the machine of `workers.pki` says next, and from what clusters were observed to do. Knows no
texts for people but those that it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal

from syncer.protocol.cacerts import Cacerts, cacerts_faults
from syncer.protocol.certificates import Certificate, fingerprint, name_text, read_certificate, serial_text
from syncer.protocol.errors import Rejected
from syncer.protocol.trust import ObservedTrust
from workers.documents import paths
from workers.documents.trust import Intermediate, MeshTrust
from workers.pki.due import Dates, dates
from workers.pki.past import Past, called
from workers.pki.proposing import Lasting
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
    looked. `lasting`: what of it is so, and since when, as far as somebody knows. `observed`: None where nothing was
    observed; `unmet`: what was observed otherwise than main has it.
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
    lasting: tuple[Lasting, ...]
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
    lasting: tuple[Lasting, ...]

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
    lasting: Mapping[str, tuple[Lasting, ...]] | None = None,
    past: Past | None = None,
) -> TrustStatus:
    """How certificates stand. `phases`, `waiting` and `lasting`: by cluster, `*` for the mesh; what nobody says is left
    empty. `past`: what main had before gives it a name.
    """
    said = _Said(phases=phases, waiting=waiting, lasting=lasting or {}, past=past or Past())
    return TrustStatus(
        mesh=tree.mesh.metadata.name,
        orders=tree.mesh.spec.trust,
        roots=tuple(_roots(tree)),
        clusters=tuple(_cluster(tree, name, now, observed.get(name), said) for name in tree.clusters),
        waits=waiting.get("*", ""),
        lasting=said.lasting.get("*", ()),
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


@dataclass(frozen=True, kw_only=True)
class _Said:
    """What is told of the clusters by name."""

    phases: Mapping[str, str]
    waiting: Mapping[str, str]
    lasting: Mapping[str, tuple[Lasting, ...]]
    past: Past


def _cluster(tree: Tree, name: str, now: datetime, observed: ObservedTrust | None, said: _Said) -> ClusterCertificate:
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
        phase=said.phases.get(name, ""),
        waits=said.waiting.get(name, ""),
        lasting=said.lasting.get(name, ()),
        observed=observed,
        unmet=unmet(tree, name, observed, said.past) if observed else (),
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


def unmet(tree: Tree, name: str, observed: ObservedTrust, past: Past) -> tuple[str, ...]:
    """What of a cluster isn't as main has it, as far as it was observed: for two kubelet periods that is normal."""
    pki = tree.facts.pki
    standing, step = pki.intermediates.get(name), pki.steps.get(name)
    if step is None:
        return ()
    wanted = {printed for printed, root in _by_fingerprint(tree).items() if root in step.bundle}
    found = [
        f"namespace {bundle.example} has other roots than main"
        for bundle in observed.bundles
        if set(bundle.roots) != wanted
    ]
    certificate = certificate_of(standing)
    if certificate is not None:
        ours = fingerprint(certificate)
        earlier = {
            fingerprint(before): called(one) for one in past.earlier.get(name, ()) if (before := certificate_of(one))
        }
        others = [issuer for issuer in observed.issuers if issuer.issuer not in {"", ours}]
        found += [_signs_otherwise(issuer.pod, earlier.get(issuer.issuer, ""), standing) for issuer in others]
    has = standing.spec.rotation if standing else 0
    if observed.agent is not None and observed.agent.rotation != has:
        found.append(f"its agent has installed rotation {observed.agent.rotation}, main has {has}")
    return tuple(found)


def _signs_otherwise(pod: str, earlier: str, standing: Intermediate | None) -> str:
    if earlier and standing is not None:
        return f"{pod} still signs with {earlier}; main has {standing.spec.rotation}"
    return f"{pod} signs with another intermediate than main has"


# --- whether pairs accept each other


_Source = Literal["main", "observed"]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Whether `client`, say, accepts what `server` shows: `shower`'s chain, held against `verifier`'s bundle.

    `source`: whose word the bundle is: `main`, or what `verifier` was observed to trust. `why`: empty if it does.
    """

    shower: str
    verifier: str
    source: _Source
    why: str


def pairs(tree: Tree, now: datetime, observed: Mapping[str, ObservedTrust]) -> tuple[Pair, ...]:
    """Every cluster that signs with an intermediate on main, against every other one: calls need both directions."""
    pki, known = tree.facts.pki, _by_fingerprint(tree)
    trusted = [
        (verifier, source, bundle)
        for verifier, step in sorted(pki.steps.items())
        for source, bundle in dict.fromkeys(_bundles(step.bundle, observed.get(verifier), known))
    ]
    found: list[Pair] = []
    for shower in sorted(pki.intermediates.keys() & tree.clusters.keys()):
        verdicts: dict[tuple[str, ...], str] = {}  # most clusters have one bundle, and a verdict takes milliseconds
        for verifier, source, bundle in trusted:
            if verifier != shower:
                if bundle not in verdicts:
                    verdicts[bundle] = _verdict(tree, now, shower, bundle)
                found.append(Pair(shower=shower, verifier=verifier, source=source, why=verdicts[bundle]))
    return tuple(found)


def _bundles(
    main: tuple[str, ...], observed: ObservedTrust | None, known: Mapping[str, str]
) -> Iterator[tuple[_Source, tuple[str, ...]]]:
    """Which roots a cluster trusts, and who says so."""
    yield "main", main
    for bundle in observed.bundles if observed else ():
        yield "observed", tuple(sorted(known[root] for root in bundle.roots if root in known))


def _verdict(tree: Tree, now: datetime, shower: str, bundle: Iterable[str]) -> str:
    pki = tree.facts.pki
    spec = pki.intermediates[shower].spec
    roots = "".join(pki.roots[name].spec.certificate for name in bundle if name in pki.roots)
    if not roots:
        return _NO_ROOT
    files = Cacerts(certificate=spec.certificate, chain=spec.certificate + spec.chain, roots=roots)
    faults = cacerts_faults(files, trust_domain=tree.clusters[shower].spec.trust_domain, now=now)
    return "; ".join(map(str, faults))


_NO_ROOT: Final = "it trusts no root that pki/roots/ knows"


def _by_fingerprint(tree: Tree) -> dict[str, str]:
    printed = {_fingerprint(root.spec.certificate): name for name, root in tree.facts.pki.roots.items()}
    return {text: name for text, name in printed.items() if text}


@lru_cache(maxsize=256)
def _fingerprint(text: str) -> str:
    """Empty where it can't be read: `check` says so."""
    try:
        return fingerprint(read_certificate(text, subject="pki/roots"))
    except Rejected:
        return ""
