"""The sync units of a cluster as reconcilers get them: what is applied where, by whose leave.

Pure. The kinds are those that are rendered today; a unit that nothing is rendered for isn't among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from workers.documents.kinds import Cluster
from workers.documents.paths import IMPORTS_NAMESPACE

GROUP: Final = "networking.istio.io"
_PLURALS: Final[Mapping[str, str]] = {
    "DestinationRule": "destinationrules",
    "Gateway": "gateways",
    "ServiceEntry": "serviceentries",
}


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A folder of `clusters/<cluster>/`: the kinds in it, and the namespace that they are applied to."""

    name: str
    kinds: tuple[str, ...]
    namespace: str

    @property
    def resources(self) -> tuple[str, ...]:
        """The kinds as RBAC calls them."""
        return tuple(_PLURALS[kind] for kind in self.kinds)


def units_of(cluster: Cluster) -> tuple[Unit, ...]:
    """What is applied to a cluster."""
    return (
        Unit(name="gateway", kinds=("Gateway",), namespace=cluster.spec.gateway.namespace),
        Unit(name="imports", kinds=("DestinationRule", "ServiceEntry"), namespace=IMPORTS_NAMESPACE),
    )
