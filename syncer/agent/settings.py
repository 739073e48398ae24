"""The settings of a CA agent: the only place that reads its environment.

Knows names, meanings and defaults, and refuses what can't be meant. What the syncer has is called as there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from syncer.agent.decide import Terms
from syncer.protocol.broker import broker_url
from syncer.protocol.environment import Setting, Values, address, label, port, seconds, subdomain
from syncer.protocol.secret import Secret
from syncer.settings import BROKER, CLUSTER, CONTEXT, ISTIO_NAMESPACE, KUBECONFIG, LISTEN, MESH, Api

TRUST_DOMAIN: Final = Setting(
    name="PEERMESH_TRUST_DOMAIN", meaning="trust domain of this cluster, as in `mesh/clusters/`"
)
ISTIOD_PORT: Final = Setting(
    name="PEERMESH_ISTIOD_PORT", meaning="port of istiod's pods that shows what it signs with", default="15012"
)
PATIENCE: Final = Setting(
    name="PEERMESH_PATIENCE",
    meaning="seconds after which a change that istiod wasn't seen to take is put back: two periods of the kubelet",
    default="120",
)
LOOK: Final = Setting(
    name="PEERMESH_LOOK", meaning="seconds after which the agent looks again at everything", default="10"
)
AGENT_HEARTBEAT: Final = Setting(
    name="PEERMESH_HEARTBEAT",
    meaning="seconds after which a request is sent again that has no certificate yet",
    default="300",
)
ADOPT: Final = Setting(
    name="PEERMESH_ADOPT_SELF_SIGNED",
    meaning="`yes`: where istiod made its own root, `cacerts` is made of it; the agent then needs the right to get "
    "Secret `istio-ca-secret`",
    default="no",
)

SETTINGS: Final = (
    MESH,
    CLUSTER,
    TRUST_DOMAIN,
    BROKER,
    KUBECONFIG,
    CONTEXT,
    LISTEN,
    ISTIO_NAMESPACE,
    ISTIOD_PORT,
    PATIENCE,
    LOOK,
    AGENT_HEARTBEAT,
    ADOPT,
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an agent is told; prints without secrets. `look`: in seconds."""

    terms: Terms
    broker: Secret
    api: Api
    listen: tuple[str, int] | None
    istio_namespace: str
    istiod_port: int
    look: float
    adopt: bool


def settings_from_environment() -> Settings:
    """The settings of this process. Raises HumanNeeded, naming the variable."""
    return read_settings(os.environ)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings that these variables say; one that is empty is as good as not set.

    Raises:
        HumanNeeded: a variable that must be set isn't, or a value that can't be meant.
    """
    values = Values(environment)
    value = values.read
    return Settings(
        terms=Terms(
            mesh=value(MESH, label),
            cluster=value(CLUSTER, label),
            trust_domain=value(TRUST_DOMAIN, subdomain),
            patience=timedelta(seconds=value(PATIENCE, seconds)),
            heartbeat=timedelta(seconds=value(AGENT_HEARTBEAT, seconds)),
        ),
        broker=value(BROKER, broker_url),
        api=Api(kubeconfig=values.optional(KUBECONFIG, Path), context=values.said(CONTEXT)),
        listen=values.optional(LISTEN, address),
        istio_namespace=value(ISTIO_NAMESPACE, label),
        istiod_port=value(ISTIOD_PORT, port),
        look=value(LOOK, seconds),
        adopt=value(ADOPT, _yes_or_no),
    )


def _yes_or_no(text: str) -> bool:
    if text not in {"yes", "no"}:
        raise ValueError(f"{text[:80]!r} is neither yes nor no")
    return text == "yes"
