"""Which protocol the owner of a port declares, by Istio's rules.

Source: Istio 1.31, `pkg/config/kube/conversion.go` (ConvertProtocol) and `pkg/config/protocol/instance.go` (Parse).
What Istio assumes of well-known port numbers isn't declared by anybody and is left to it.
"""

from __future__ import annotations

from typing import Final

_KUBERNETES: Final = {"kubernetes.io/h2c": "HTTP2", "kubernetes.io/ws": "HTTP", "kubernetes.io/wss": "HTTPS"}
"""Only as `appProtocol`, and only in lower case."""
_GRPC_WEB: Final = "GRPC-WEB"
_PROTOCOLS: Final = frozenset({"TCP", "HTTP", "HTTP2", "HTTPS", "GRPC", "TLS", "MONGO", "MYSQL", "REDIS"})


def declared(app_protocol: str | None, name: str) -> str | None:
    """The protocol that `appProtocol`, or where that is absent the port's name up to its first `-`, declares.

    An `appProtocol` that Istio doesn't know hides the name: nothing is declared then.
    """
    if app_protocol in _KUBERNETES:
        return _KUBERNETES[app_protocol]
    said = (name if app_protocol is None else app_protocol).upper()
    if said.startswith(_GRPC_WEB):
        return _GRPC_WEB
    prefix = said.partition("-")[0]
    return prefix if prefix in _PROTOCOLS else None
