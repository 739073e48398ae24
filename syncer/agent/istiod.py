"""What one replica of istiod signs with: a handshake that only looks."""

from __future__ import annotations

from typing import Final

from syncer.cluster.objects import Pod
from syncer.handshake import ISTIOD, handshake
from syncer.protocol.trust import ObservedIssuer
from syncer.trust import seen_istiod

_SECONDS: Final = 3.0


def asked(pod: Pod, *, istio_namespace: str, port: int) -> ObservedIssuer:
    """What it shows. Never raises."""
    name = f"istiod.{istio_namespace}.svc"
    return seen_istiod(pod, handshake(pod.status.pod_ip, port, protocol=ISTIOD, server_name=name, seconds=_SECONDS))
