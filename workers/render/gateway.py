"""Gateway: what a cluster lets in, one object per exporting namespace.

It routes by SNI and terminates nothing, so the caller's identity reaches the pod. Only exact cluster-local names stand
in it: with names of the mesh, two clusters that import each other would loop. Knows a GatewayView.
"""

from __future__ import annotations

from typing import Final

from workers.documents.paths import gateway_name
from workers.render.metadata import Object, istio_object
from workers.render.view import GatewayView

VIEW: Final = GatewayView


def render(view: GatewayView) -> tuple[Object, ...]:
    """The one Gateway of a namespace, in the namespace of the gateway's pods (PILOT_SCOPE_GATEWAY_TO_NAMESPACE)."""
    server = {
        "port": {"number": view.port, "name": "tls-peermesh", "protocol": "TLS"},
        "tls": {"mode": "AUTO_PASSTHROUGH"},
        "hosts": list(view.hosts),
    }
    spec = {"selector": dict(view.selector), "servers": [server]}
    name = gateway_name(view.namespace)
    return (istio_object("Gateway", name=name, namespace=view.gateway_namespace, source=view.source, spec=spec),)
