"""What people order of trust, as the change of a mesh repository that says so.

Pure: a tree of files in, an `Order` out, which is proposed elsewhere. Knows `spec.trust` and what may stand in it; what
follows from it is decided by `workers.pki`, later and from observations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from syncer.protocol.errors import Rejected
from workers.cli.edit import with_item, with_value, without, without_item
from workers.cli.rendered import FilesWith, rendering_changes, valid_tree
from workers.documents import paths
from workers.documents.kinds import Cluster
from workers.documents.reading import read
from workers.documents.trust import MeshTrust, Revoked
from workers.documents.trust import Order as Rotate
from workers.tree import Changes, Files, Tree

TRUST: Final = ("spec", "trust")
RevocationReason = Literal["keyCompromise", "caCompromise", "superseded", "cessationOfOperation"]


@dataclass(frozen=True, kw_only=True)
class Order:
    """`what`: the last part of the branch's name; `sentences`: what people who review it read below the title;
    `hints`: what whoever ordered it does next, or should know.
    """

    what: str
    title: str
    sentences: tuple[str, ...]
    changes: Changes
    hints: tuple[str, ...] = field(default=())


class Orders:
    """Orders on top of one tree of files, which must be valid.

    Raises:
        Invalid: it isn't.
    """

    def __init__(self, files: Files) -> None:
        self.files = files
        self.tree: Tree = valid_tree(files)

    # --- what is ordered

    def rotation(self, name: str, *, compromised: bool) -> Order:
        """A new intermediate for a cluster, though none is due. Raises Rejected."""
        trust = self.trust()
        self.managed(name)
        pki = self.tree.facts.pki
        said = [known[name].spec.rotation for known in (pki.intermediates, pki.requests) if name in known]
        number = max(said, default=0) + 1
        reason: Literal["ordered", "compromised"] = "compromised" if compromised else "ordered"
        wanted = Rotate(rotation=number, reason=reason)
        if trust.rotate.get(name) == wanted:
            raise _said_already(f"rotation {number} of {name} is ordered already")
        after = msgspec.structs.replace(trust, rotate={**trust.rotate, name: wanted})
        written = {"rotation": number, "reason": reason} if compromised else {"rotation": number}
        sentences = [f"{name} shall have a new intermediate, rotation {number}: {_REASONS[reason]}."]
        hints: list[str] = []
        if compromised:
            sentences.append("All its workloads get new certificates at once, which is a stampede of a few seconds.")
            hints += _after_a_compromise(self.tree, name)
        return self._ordered(
            f"rotate-{name}-{number}",
            f"Order rotation {number} of {name}" + (", compromised" if compromised else ""),
            sentences,
            lambda text: with_value(text, (*TRUST, "rotate", name), written),
            after,
            hints,
        )

    def rollover(
        self, root: str, *, canary: Sequence[str], soak: str | None, compromised: bool, distrust_first: bool
    ) -> Order:
        """That all clusters shall come to stand under another root. Raises Rejected."""
        trust = self.trust()
        self._signs(root)
        if root == trust.root:
            raise _said_already(f"{root} is the root that is wanted already")
        if distrust_first and not compromised:
            raise Rejected("NotCompromised", "distrust comes first only where a root is compromised",
                           remedy="Add --compromised, or leave --distrust-first out.")  # fmt: skip
        for name in canary:
            self.managed(name)
        changed: dict[str, Any] = {"root": root}
        changed |= {"canary": tuple(canary)} if canary else {}
        changed |= {"soak": soak} if soak else {}
        if compromised:
            changed["compromised"] = tuple(sorted({*trust.compromised, trust.root}))
        changed |= {"distrust_first": True} if distrust_first else {}
        sentences = _of_a_rollover(trust.root, root, compromised=compromised, distrust_first=distrust_first)
        hints = ("It is paused: `peermesh ca rollover resume` lets it begin.",) if trust.paused else ()
        return self._replaced(f"rollover-{root}", f"Roll over to root {root}", sentences, changed, hints)

    def back(self, to: str | None) -> Order:
        """That a rollover is taken back. `to`: the root; None: the one that clusters still trust. Raises Rejected."""
        trust = self.trust()
        steps = self.tree.facts.pki.steps.values()
        known = {root for step in steps for root in (*step.bundle, step.signer)} - {trust.root, *trust.compromised}
        left = sorted(name for name in known if name in self.tree.facts.pki.roots)
        if to is None and len(left) != 1:
            remedy = (
                f"Name it with --to: {' or '.join(left)}." if left else "Clusters trust no other: name it with --to."
            )
            raise Rejected("NoWayBack", "no single root is left to go back to", subject=trust.root, remedy=remedy)
        root = to or left[0]
        if root in trust.compromised:
            remedy = "Take it out of spec.trust.compromised first, if it isn't."
            raise Rejected("Compromised", "nobody may go back to a compromised root", subject=root, remedy=remedy)
        self._signs(root)
        sentences = (
            f"All clusters shall trust {root} and sign under it again, in place of {trust.root}.",
            "Steps that were made are taken back in the same safe order: trust, sign, distrust.",
        )
        return self._replaced(f"back-{root}", f"Take the rollover back, to root {root}", sentences, {"root": root})

    def pause(self) -> Order:
        """That no further step of a rollover is made. Raises Rejected."""
        if self.trust().paused:
            raise _said_already("rollovers are paused already")
        sentences = ("No further step of a rollover is proposed. What is done stays; renewals go on.",)
        return self._replaced("pause", "Pause the rollover", sentences, {"paused": True})

    def resume(self) -> Order:
        """That it goes on. Raises Rejected."""
        if not self.trust().paused:
            raise _said_already("nothing is paused")
        return self._replaced("resume", "Resume the rollover", ("Its next step is proposed.",), {"paused": False})

    def exclude(self, name: str) -> Order:
        """That nothing waits for a cluster. Raises Rejected."""
        trust = self.trust()
        self.managed(name)
        if name in trust.exclude:
            raise _said_already(f"nothing waits for {name} already")
        return self._ordered(
            f"exclude-{name}",
            f"Exclude {name} from the gates of trust",
            (
                f"The others don't wait for {name} any more.",
                f"Calls between {name} and clusters that distrust its root fail until it has caught up.",
                "When it is back, include it again: it catches up alone, and nobody trusts the old root for it.",
            ),
            lambda text: with_item(text, (*TRUST, "exclude"), name),
            msgspec.structs.replace(trust, exclude=(*trust.exclude, name)),
        )

    def include(self, name: str) -> Order:
        """That an excluded cluster counts again. Raises Rejected."""
        trust = self.trust()
        if name not in trust.exclude:
            raise _said_already(f"{name} isn't excluded")
        position = trust.exclude.index(name)
        after = tuple(other for other in trust.exclude if other != name)
        return self._ordered(
            f"include-{name}",
            f"Include {name} in the gates of trust again",
            ("It takes the steps that it missed, and the others wait for it from now on.",),
            lambda text: without_item(text, (*TRUST, "exclude"), position),
            msgspec.structs.replace(trust, exclude=after),
        )

    def revoke(self, issuer: str, serial: str, reason: RevocationReason) -> Order:
        """That a CRL names a certificate. Raises Rejected."""
        trust = self.trust()
        serial = serial.lower().replace(":", "").lstrip("0")
        self.root(issuer)
        if any((entry.issuer, entry.serial) == (issuer, serial) for entry in trust.revoked):
            raise _said_already(f"serial number {serial} of {issuer} is revoked already")
        entry = Revoked(issuer=issuer, serial=serial, reason=reason)
        written = {"issuer": issuer, "serial": serial, "reason": reason}
        hints = () if trust.crls else (
            "spec.trust.crls is off, so no cluster gets a CRL: turn it on where all have Istio 1.27 or newer.",
        )  # fmt: skip
        return self._ordered(
            f"revoke-{serial[:12]}",
            f"Revoke {serial} of {issuer}",
            (
                f"The next CRL of {issuer} names serial number {serial}, {reason}.",
                "New connections with it are refused once clusters have that CRL; connections that stand go on.",
            ),
            lambda text: with_item(text, (*TRUST, "revoked"), written),
            msgspec.structs.replace(trust, revoked=(*trust.revoked, entry)),
            hints,
        )

    # --- what must be there

    def trust(self) -> MeshTrust:
        """What people ordered so far. Raises Rejected: nothing."""
        trust = self.tree.mesh.spec.trust
        if trust is None:
            remedy = "`peermesh ca init-root NAME` begins with a root; docs/trust.md tells the way."
            raise Rejected("NoTrust", "it has no spec.trust", subject=paths.MESH, remedy=remedy)
        return trust

    def managed(self, name: str) -> Cluster:
        """A cluster whose certificates are managed. Raises Rejected."""
        cluster = self.cluster(name)
        if cluster.spec.trust is None:
            remedy = f"`peermesh ca manage {name} …` proposes that they are."
            raise Rejected("NotManaged", "its certificates aren't managed", subject=name, remedy=remedy)
        return cluster

    def cluster(self, name: str) -> Cluster:
        """A cluster of the mesh. Raises Rejected."""
        cluster = self.tree.clusters.get(name)
        if cluster is None:
            known = ", ".join(self.tree.clusters) or "none yet"
            raise Rejected("UnknownCluster", "no such cluster", subject=name, remedy=f"There are: {known}.")
        return cluster

    def root(self, name: str) -> None:
        """Raises Rejected: no such root."""
        known = self.tree.facts.pki.roots
        if name not in known:
            remedy = f"There are: {', '.join(known) or 'none yet'}. `peermesh ca init-root {name}` makes one."
            raise Rejected("UnknownRoot", "no such root", subject=name, remedy=remedy)

    def _signs(self, name: str) -> None:
        self.root(name)
        if self.tree.facts.pki.roots[name].spec.imported:
            remedy = "Name a root of your own."
            raise Rejected("ImportedRoot", "nobody signs under an imported root here", subject=name, remedy=remedy)

    # --- how it is written

    def _replaced(
        self, what: str, title: str, sentences: Sequence[str], changed: dict[str, Any], hints: Sequence[str] = ()
    ) -> Order:
        """Fields of `spec.trust` exchanged; one that gets its default goes."""

        def edit(text: str) -> str:
            for field_, value in changed.items():
                path = (*TRUST, _KEYS[field_])
                if value is not False:
                    text = with_value(text, path, list(value) if isinstance(value, tuple) else value)
                else:
                    text = without(text, path)
            return text

        return self._ordered(what, title, sentences, edit, msgspec.structs.replace(self.trust(), **changed), hints)

    def _ordered(
        self,
        what: str,
        title: str,
        sentences: Sequence[str],
        edit: Callable[[str], str],
        after: MeshTrust,
        hints: Sequence[str] = (),
    ) -> Order:
        text = edit(self.files.read(paths.MESH).decode())
        if said_by(text) != after:
            remedy = "Edit spec.trust there by hand; docs/formats.md has its fields."
            raise Rejected("NotEdited", "it can't be edited as it is written", subject=paths.MESH, remedy=remedy)
        return self.order(what, title, sentences, {paths.MESH: text.encode()}, hints)

    def order(
        self, what: str, title: str, sentences: Sequence[str], changes: Changes, hints: Sequence[str] = ()
    ) -> Order:
        """A change with what it renders to. Raises Invalid: the mesh wouldn't be valid with it."""
        rendered = rendering_changes(FilesWith(self.files, changes))
        return Order(
            what=what,
            title=title,
            sentences=tuple(sentences),
            changes=dict(sorted({**changes, **rendered}.items())),
            hints=tuple(hints),
        )


def said_by(text: str) -> MeshTrust | None:
    """What a text of `mesh/mesh.yaml` orders. Raises Invalid."""
    document = read(paths.MESH, text.encode())
    trust: MeshTrust | None = getattr(document.spec, "trust", None)
    return trust


_KEYS: Final = {info.name: info.encode_name for info in msgspec.structs.fields(MeshTrust)}
_REASONS: Final = {
    "ordered": "people want it, though it isn't due",
    "compromised": "its key, or the key of one that it had before, may be in other hands",
}


def _said_already(what: str) -> Rejected:
    return Rejected("NothingToOrder", what, remedy="`peermesh ca status` shows what is ordered.")


def _of_a_rollover(old: str, new: str, *, compromised: bool, distrust_first: bool) -> tuple[str, ...]:
    first = f"All clusters shall trust {new} and sign under it, in place of {old}."
    if distrust_first:
        return (first, f"{old} is compromised: each cluster drops it as soon as it signs under {new} itself.",
                "Calls between it and clusters that aren't as far fail until they are.")  # fmt: skip
    if compromised:
        return (first, f"{old} is compromised: no step soaks, and no cross certificate is used.")
    return (first, "Each cluster trusts both first, then signs under the new one, then trusts the new one alone.",
            "Each step is a proposal, made when all clusters were observed to have taken the one before.")  # fmt: skip


def _after_a_compromise(tree: Tree, name: str) -> list[str]:
    from syncer.protocol.certificates import read_certificate, serial_text

    standing = tree.facts.pki.intermediates.get(name)
    if standing is None:
        return []
    certificate = read_certificate(standing.spec.certificate, subject=paths.intermediate_path(name))
    return [
        "Connections that stand survive it: restart the workloads, or drain them.",
        f"When {name} signs with the new one: peermesh ca revoke {standing.spec.root} {serial_text(certificate)}",
    ]
