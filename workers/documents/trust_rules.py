"""What must hold inside `spec.trust` of one of people's documents beyond the shape of its type.

Knows one document. Knows no certificates and no other document (`trust_agreement`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from syncer.protocol.names import is_label
from syncer.protocol.signature import parse_public_key
from workers.documents.shape import Fault, Where, dotted, shown
from workers.documents.trust import ClusterTrust, MeshTrust, duration_of

_SHORTEST: Final = timedelta(minutes=1)
_LONGEST: Final = timedelta(days=36500)
"""Dates are reckoned with these, and no calendar has years before the first."""
_TRUST: Final[Where] = ("spec", "trust")


def mesh_trust_faults(trust: MeshTrust) -> Iterator[Fault]:
    """All faults of what is ordered for all clusters."""
    for key, text in (("workloadLifetime", trust.workload_lifetime), ("intermediates", trust.intermediates.lifetime)):
        if not _SHORTEST <= duration_of(text) <= _LONGEST:
            where = (*_TRUST, key) if key == "workloadLifetime" else (*_TRUST, key, "lifetime")
            yield Fault(where, f"{dotted(where)} is {text}, which is no time to live", "Write a time like 24h or 90d.")
    for name, values in (("canary", trust.canary), ("exclude", trust.exclude), ("compromised", trust.compromised)):
        yield from _once(values, (*_TRUST, name))
    for cluster in trust.rotate:
        yield from _label(cluster, (*_TRUST, "rotate", cluster))
    if trust.root in trust.compromised:
        where = (*_TRUST, "compromised")
        remedy = "Name the root that shall take its place as `root`."
        yield Fault(where, f"{dotted(where)} has {trust.root}, which is also the `root` that all shall trust", remedy)
    if trust.distrust_first and not trust.compromised:
        where = (*_TRUST, "distrustFirst")
        remedy = "Take it out, or name the root in `compromised`."
        yield Fault(where, f"{dotted(where)} breaks calls, and no root is compromised", remedy)
    serials = [(entry.issuer, entry.serial) for entry in trust.revoked]
    for i, serial in enumerate(serials):
        if serial in serials[:i]:
            where = (*_TRUST, "revoked", i)
            yield Fault(where, f"{dotted(where)} stands twice", "Keep one of the two.")


def cluster_trust_faults(trust: ClusterTrust) -> Iterator[Fault]:
    """All faults of how one cluster gets its certificate."""
    keys, where = trust.agent.public_keys, (*_TRUST, "agent", "publicKeys")
    for i, key in enumerate(keys):
        try:
            parse_public_key(key)
        except ValueError as error:
            remedy = "Copy the key that the cluster's CA agent logs at its start."
            yield Fault((*where, i), f"{dotted((*where, i))} is {shown(key)}, but {error}", remedy)
    yield from _twice(keys, where)
    sealing: Where = (*_TRUST, "sealing")
    if trust.delivery == "sealed-secrets" and trust.sealing is None:
        remedy = "`peermesh ca manage CLUSTER --sealing-certificate FILE` brings the certificate and pins it."
        yield Fault(_TRUST, f"{dotted(sealing)} is missing, and delivery sealed-secrets needs it", remedy)
    if trust.delivery != "sealed-secrets" and trust.sealing is not None:
        remedy = "Take it out, or write delivery: sealed-secrets."
        yield Fault(sealing, f"{dotted(sealing)} is for delivery sealed-secrets alone", remedy)


def _once(values: tuple[str, ...], where: Where) -> Iterator[Fault]:
    for i, value in enumerate(values):
        yield from _label(value, (*where, i))
    yield from _twice(values, where)


def _twice(values: tuple[str, ...], where: Where) -> Iterator[Fault]:
    for i, value in enumerate(values):
        if value in values[:i]:
            at = (*where, i)
            yield Fault(at, f"{dotted(at)} is {shown(value)}, which stands twice", "Keep one of the two.")


def _label(value: str, where: Where) -> Iterator[Fault]:
    if not is_label(value):
        yield Fault(where, f"{dotted(where)} is {shown(value)}, which isn't a name", "Write a DNS label (RFC 1123).")
