"""Which intermediate a cluster shall have next, and under which root: what is rendered for its agent, and what a
request is held against.

Pure: from the tree, and the clock only where one is given. Knows nothing of what was observed, and so nothing of
whether it may be signed now.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from workers.documents.trust import CertificateRequest, ClusterTrust, MeshTrust, RequestReason
from workers.pki.due import dates
from workers.pki.papers import PAPERS, Papers
from workers.tree import Pki, Tree


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """`reason` None: nothing is wanted, and `rotation` is the one that the cluster has (0: none).

    `root`: under which it stands or shall stand; empty: nothing may be signed for it now. `approved`: a request for
    exactly this one stands on main.
    """

    rotation: int
    root: str = ""
    reason: RequestReason | None = None
    approved: bool = False

    def fits(self, reason: str) -> bool:
        """Whether a request may give this reason: an agent that renews by its clock needn't know of an order."""
        alike = {"renewal", "ordered"} if self.reason in {"renewal", "ordered"} else {self.reason}
        return reason in alike or (self.reason == "rollover" and self.rotation == 1 and reason == "first")


def wanted(tree: Tree, cluster: str, now: datetime | None = None, *, papers: Papers = PAPERS) -> Wanted:
    """What the cluster shall have. Without `now` only what people or steps ordered, not what is due by a date."""
    trust, settings, pki = tree.mesh.spec.trust, settings_of(tree, cluster), tree.facts.pki
    standing = pki.intermediates.get(cluster)
    has, under = (standing.spec.rotation, standing.spec.root) if standing else (0, "")
    if trust is None or settings is None or cluster not in pki.steps:
        return Wanted(rotation=has, root=under)
    root = signing_root(pki, trust, cluster)
    if not root:
        return Wanted(rotation=has)
    last = pki.requests.get(cluster)
    waiting = last if last is not None and last.spec.rotation > has else None
    if waiting is not None and _fits(waiting, root, trust, settings, has=has, cluster=cluster):
        spec = waiting.spec
        return Wanted(rotation=spec.rotation, root=root, reason=spec.reason, approved=True)
    reason = _ordered(pki, trust, settings, cluster, root)
    if reason is None and (waiting is not None or (now is not None and _due(tree, cluster, now, papers))):
        reason = "renewal"
    if reason is None:
        return Wanted(rotation=has, root=under)
    order = trust.rotate.get(cluster)
    taken = max(has, waiting.spec.rotation if waiting else 0)
    return Wanted(rotation=max(taken + 1, order.rotation if order else 0), root=root, reason=reason)


def settings_of(tree: Tree, cluster: str) -> ClusterTrust | None:
    """What people say of a cluster's certificates; None: they are left alone."""
    document = tree.clusters.get(cluster)
    return document.spec.trust if document is not None else None


def signing_root(pki: Pki, trust: MeshTrust, cluster: str) -> str:
    """The root that the cluster's next intermediate stands under; empty: none may be signed now.

    It differs from that of the present one only on the way to the root that people want, and not while they paused.
    """
    step, standing = pki.steps[cluster], pki.intermediates.get(cluster)
    still = trust.paused or cluster in trust.exclude
    if standing is not None:
        stays = still or step.signer != trust.root or step.signer in trust.compromised
        root = standing.spec.root if stays else step.signer
    else:
        root = "" if (still and is_adopted(pki, cluster)) or cluster in trust.exclude else step.signer
    known = pki.roots.get(root)
    return "" if known is None or known.spec.imported or root in trust.compromised else root


def is_adopted(pki: Pki, cluster: str) -> bool:
    """Whether the cluster still signs with what it had before: it trusts an imported root and got nothing from here."""
    bundle = pki.steps[cluster].bundle if cluster in pki.steps else ()
    return cluster not in pki.intermediates and any(
        name in pki.roots and pki.roots[name].spec.imported for name in bundle
    )


def _fits(
    request: CertificateRequest, root: str, trust: MeshTrust, settings: ClusterTrust, *, has: int, cluster: str
) -> bool:
    """Whether an approved request is still the one that is wanted. One that isn't keeps its number for ever: it may
    have been signed already.
    """
    spec, order = request.spec, trust.rotate.get(cluster)
    if spec.root != root:
        return False
    if order is not None and spec.rotation < order.rotation:
        return False
    if order is not None and has < order.rotation and order.reason == "compromised":
        return spec.reason in {"compromised", "rollover"}
    sealed = settings.delivery == "sealed-secrets"
    return bool(spec.csr) != sealed and (not sealed or spec.key_fingerprint == settings.sealing)


def _ordered(pki: Pki, trust: MeshTrust, settings: ClusterTrust, cluster: str, root: str) -> RequestReason | None:
    """Why a new one is wanted whatever the date; what renews all leaves comes first."""
    standing, order = pki.intermediates.get(cluster), trust.rotate.get(cluster)
    if standing is None:
        return "rollover" if is_adopted(pki, cluster) else "first"
    if standing.spec.root != root:
        return "rollover"
    if order is not None and standing.spec.rotation < order.rotation:
        return order.reason
    last = pki.requests.get(cluster)
    if settings.delivery == "request":
        return "ordered" if standing.spec.sealed else None
    # A key is sealed for one certificate: another one means another key.
    return "ordered" if last is None or last.spec.key_fingerprint != settings.sealing else None


def _due(tree: Tree, cluster: str, now: datetime, papers: Papers) -> bool:
    found = dates(tree, cluster, papers=papers)
    return found is not None and now >= found.renews
