"""ServiceEntry: a host of the mesh with its virtual address and the gateways that lead to it.

One per group of ports that the same providers have, because an endpoint without a port of its entry would be called at
the port's own number; Istio merges entries of one host that agree in everything but ports. Knows a HostView; identities
and SNI are the DestinationRule's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from syncer.protocol.labels import CLUSTER
from syncer.protocol.observation import GatewayAddress
from workers.documents.paths import IMPORTS_NAMESPACE, shortened
from workers.reach import PortWay, Provider
from workers.render.metadata import Object, istio_object
from workers.render.view import MAX_NAME, HostView

VIEW: Final = HostView


def render(view: HostView) -> tuple[Object, ...]:
    """The entries of one host; the group with the lowest port keeps the plain name."""
    groups: dict[tuple[str, ...], list[PortWay]] = {}
    for port in view.ports:
        groups.setdefault(port.providers, []).append(port)
    first, *others = groups.values()
    named = [(view.object_name, first)]
    named += [(shortened(f"{view.object_name}.p{ports[0].number}", MAX_NAME), ports) for ports in others]
    return tuple(_entry(view, name, ports) for name, ports in named)


def _entry(view: HostView, name: str, ports: Sequence[PortWay]) -> Object:
    spec = {
        "hosts": [view.name],
        "addresses": [view.address],
        "exportTo": ["*"],
        "location": "MESH_INTERNAL",  # MESH_EXTERNAL would switch mTLS off
        "resolution": "DNS" if view.by_dns else "STATIC",
        "ports": [_port(port) for port in ports],
        "endpoints": _endpoints(view.answering(ports[0]), ports),
    }
    return istio_object("ServiceEntry", name=name, namespace=IMPORTS_NAMESPACE, source=view.source, spec=spec)


def _port(port: PortWay) -> dict[str, Any]:
    """An undeclared protocol stays out: as HTTP, callers with gRPC or TCP would fail; left out, all of them work."""
    declared = {} if port.protocol is None else {"protocol": port.protocol}
    return {"number": port.number, "name": port.name, **declared}


def _endpoints(providers: Sequence[Provider], ports: Sequence[PortWay]) -> list[dict[str, Any]]:
    """One per gateway address; weights give every cluster the same share, however many addresses it has."""
    addresses = [sorted(set(provider.addresses), key=_order) for provider in providers]
    total = math.lcm(*map(len, addresses))
    weights = [total // len(own) for own in addresses]
    weighted = any(weight != 1 for weight in weights)
    return [
        _endpoint(provider, address, ports) | ({"weight": weight} if weighted else {})
        for provider, own, weight in zip(providers, addresses, weights, strict=True)
        for address in own
    ]


def _order(address: GatewayAddress) -> tuple[str, str, int]:
    return (address.ip or "", address.host or "", address.port)


def _endpoint(provider: Provider, address: GatewayAddress, ports: Sequence[PortWay]) -> dict[str, Any]:
    locality = {"locality": provider.locality} if provider.locality else {}
    return {
        "address": address.ip or address.host,
        "network": provider.network,  # keeps it out of the caller's own gateway, and is the failover key
        **locality,
        "labels": {"security.istio.io/tlsMode": "istio", CLUSTER: provider.cluster},
        "ports": {port.name: address.port for port in ports},
    }
