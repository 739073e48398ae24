"""What one replica of istiod signs with: a handshake that only looks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from syncer.agent.sight import Shown
from syncer.cluster.objects import Pod
from syncer.handshake import ISTIOD, handshake
from syncer.protocol.certificates import Certificate
from syncer.trust import seen_istiod

_SECONDS: Final = 3.0


def asked(pod: Pod, published: Iterable[Certificate], *, istio_namespace: str, port: int) -> Shown:
    """What it shows, held against the roots that istiod publishes. Never raises."""
    name = f"istiod.{istio_namespace}.svc"
    shown = handshake(pod.status.pod_ip, port, protocol=ISTIOD, server_name=name, seconds=_SECONDS)
    issuer = seen_istiod(pod, shown)
    if issuer.issuer or not shown.chain:
        return Shown(issuer=issuer)
    found = seen_istiod(pod, shown, published)
    return Shown(issuer=found, own_root=bool(found.issuer))
