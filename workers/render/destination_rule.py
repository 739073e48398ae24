"""DestinationRule: how a host is called, so that only its providers can answer.

One per host with a complete block for every port: a port block replaces the policy above it, and a port without one
fails. Without `sni` the provider's gateway closes the connection; without `subjectAltNames` any identity under the
common root would be accepted as the service. Knows a HostView; decides nothing about who may call.
"""

from __future__ import annotations

from typing import Any, Final

from workers.documents.paths import IMPORTS_NAMESPACE
from workers.reach import PortWay
from workers.render.metadata import Object, istio_object
from workers.render.view import HostView, cluster_local

VIEW: Final = HostView

_OUTLIER_DETECTION: Final = {
    "splitExternalLocalOriginErrors": True,
    "consecutiveLocalOriginFailures": 3,  # connect, TLS, reset, timeout
    "consecutiveGatewayErrors": 5,  # 502, 503, 504 from the pods behind the gateway
    "consecutive5xxErrors": 0,  # absent means 5: one URL that answers 500 would put a whole cluster out
    "interval": "1s",
    "baseEjectionTime": "10s",
    "maxEjectionPercent": 99,  # 100 turns an outage of 3 s into 10 s of "no healthy upstream"
}
_CONNECTION_POOL: Final = {
    # The default of 10 s lets a gateway that swallows packets hold all callers that long.
    "tcp": {"connectTimeout": "1s", "tcpKeepalive": {"time": "10s", "interval": "2s", "probes": 3}}
}
_OWN_NETWORK_FIRST: Final = {"enabled": True, "failoverPriority": ["topology.istio.io/network"]}
# With `resolution: DNS`, failoverPriority makes istiod panic (Istio 1.31, applyFailoverPriorityPerLocality); without
# this line the caller's region would get all calls.
_SPREAD: Final = {"enabled": False}


def render(view: HostView) -> tuple[Object, ...]:
    """The rule of one host."""
    spec = {
        "host": view.name,
        "exportTo": ["*"],
        "trafficPolicy": {"portLevelSettings": [_block(view, port) for port in view.ports]},
    }
    return (
        istio_object(
            "DestinationRule", name=view.object_name, namespace=IMPORTS_NAMESPACE, source=view.source, spec=spec
        ),
    )


def _block(view: HostView, port: PortWay) -> dict[str, Any]:
    identities = {identity for provider in view.answering(port) for identity in provider.identities}
    return {
        "port": {"number": port.number},
        "tls": {
            "mode": "ISTIO_MUTUAL",
            "sni": f"outbound_.{port.number}_._.{cluster_local(view.key)}",
            "subjectAltNames": sorted(identities),
        },
        "outlierDetection": _OUTLIER_DETECTION,
        "connectionPool": _CONNECTION_POOL,
        "loadBalancer": {
            "simple": "LEAST_REQUEST",
            "localityLbSetting": _SPREAD if view.by_dns else _OWN_NETWORK_FIRST,
        },
    }
