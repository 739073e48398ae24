"""What a syncer may do in its cluster: exactly what it reads, one Lease, and the one Secret that keeps its key.

Pure. What is read says `syncer.cluster.resources`, so no manifest lags behind the program.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from syncer.cluster.resources import Right, rights
from workers.cli.delivery.roles import Account, account_manifests
from workers.documents.writing import dump

SYNCER: Final = "peermesh-syncer"
"""The name of everything that it has."""
SYNCER_NAMESPACE: Final = "peermesh-system"
KEY_SECRET: Final = "peermesh-syncer-key"  # noqa: S105 - a name
ACCOUNT: Final = Account(name=SYNCER, namespace=SYNCER_NAMESPACE)
LABELS: Final[Mapping[str, str]] = ACCOUNT.labels
_OWN: Final = (
    Right(
        namespace=SYNCER_NAMESPACE,
        group="coordination.k8s.io",
        resource="leases",
        verbs=("get", "update"),
        names=(SYNCER,),
    ),
    Right(namespace=SYNCER_NAMESPACE, group="", resource="secrets", verbs=("get", "update"), names=(KEY_SECRET,)),
)


def syncer_rights() -> tuple[Right, ...]:
    """All of them."""
    return (*rights(), *_OWN)


def rights_manifests(granted: Iterable[Right] | None = None) -> bytes:
    """The service account with a Role for each namespace and a ClusterRole for what lies in many, as YAML."""
    return dump(account_manifests(ACCOUNT, syncer_rights() if granted is None else granted))
