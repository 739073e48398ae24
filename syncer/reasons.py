"""Every reason for which something that people asked to export isn't exported, or not all of it.

Knows words only. They reach proposals, `explain` and the log; a test holds that no other reason is ever given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from syncer.protocol.offer import EXPORTS_NOTHING

REASONS: Final[Mapping[str, str]] = {
    EXPORTS_NOTHING: "`peermesh.io/ports` is empty, and an empty list exports nothing",
    "NoService": "a ServiceExport without a Service of its name",
    "ExternalName": "a Service of type ExternalName has no endpoints of its own",
    "NoPort": "no port is left that could be exported",
    "UDP": "a UDP port: a gateway that passes TLS through can't carry it",
    "SCTP": "an SCTP port: a gateway that passes TLS through can't carry it",
    "TargetPort": "a named target port that no container has, or that containers give different numbers",
    "SamePort": "two ports with the same number or name",
    "NoIdentity": "no selector, so nobody knows which service accounts answer",
    "NotEnforced": "an annotation that peermesh doesn't know: it would look like a rule and not be one",
    "BadAnnotation": "an annotation whose value can't be read",
    "BadLabel": "`peermesh.io/export` is neither true nor false, or isn't a label",
    "NotVisible": "`networking.istio.io/exportTo` hides the Service from the gateway",
    "NotMutualTLS": "people's DestinationRule lets the gateway reach the pods without Istio's mutual TLS",
    "NoIstio": "the cluster doesn't serve all of Istio's routing kinds; nothing is said of what they would show",
    "NoGateway": "no Service leads to the east-west gateway",
    "NodePortGateway": "the gateway's Service is of type NodePort: which addresses peers can use isn't known",
    "ClusterIPGateway": "the gateway's Service is of type ClusterIP: peers can't reach it",
    "PendingGateway": "the load balancer of the gateway's Service has no address yet",
}
