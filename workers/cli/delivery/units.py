"""The sync units of a cluster as reconcilers get them: what is applied where, by whose leave.

Pure. The kinds are those that are rendered today; a unit that nothing is ever rendered for isn't among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from syncer.protocol.trust import AGENT_NAMESPACE
from workers.documents.kinds import Cluster
from workers.documents.paths import IMPORTS_NAMESPACE
from workers.render.cacerts import COMMITTED, SECRET

_ISTIO: Final = "networking.istio.io"
_PLURALS: Final[Mapping[str, str]] = {
    "ConfigMap": "configmaps",
    "DestinationRule": "destinationrules",
    "Gateway": "gateways",
    "SealedSecret": "sealedsecrets",
    "ServiceEntry": "serviceentries",
}


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A folder of `clusters/<cluster>/`: the kinds in it, of one API group, and the namespace that they are applied to.

    `only`: the one object that may be applied, and never deleted; empty: any.
    """

    name: str
    kinds: tuple[str, ...]
    namespace: str
    group: str = _ISTIO
    only: str = ""

    @property
    def resources(self) -> tuple[str, ...]:
        """The kinds as RBAC calls them."""
        return tuple(_PLURALS[kind] for kind in self.kinds)


def units_of(cluster: Cluster) -> tuple[Unit, ...]:
    """What is applied to a cluster."""
    return (
        Unit(name="gateway", kinds=("Gateway",), namespace=cluster.spec.gateway.namespace),
        Unit(name="imports", kinds=("DestinationRule", "ServiceEntry"), namespace=IMPORTS_NAMESPACE),
        _authority(cluster),
    )


def _authority(cluster: Cluster) -> Unit:
    """There from the start, so that a cluster whose certificates are managed later needs no new unit."""
    if cluster.spec.trust is not None and cluster.spec.trust.delivery == "sealed-secrets":
        namespace, name = SECRET
        return Unit(name="ca", kinds=("SealedSecret",), namespace=namespace, group="bitnami.com", only=name)
    return Unit(name="ca", kinds=("ConfigMap",), namespace=AGENT_NAMESPACE, group="", only=COMMITTED)
