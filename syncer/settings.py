"""The settings of a syncer: the only place that reads its environment.

Knows names, meanings and defaults, and refuses what can't be meant. Opens no connection and no file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from syncer.debounce import Timing
from syncer.foreign import MeshHosts
from syncer.gateway import GatewayPlace
from syncer.observe import Scope
from syncer.protocol.errors import HumanNeeded
from syncer.protocol.names import is_label, is_subdomain
from syncer.protocol.secret import Secret

_SCHEMES: Final = ("redis://", "rediss://", "redis+socket://")
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One variable of the environment, for the documentation and for messages. No default: it must be set."""

    name: str
    meaning: str
    default: str = ""


MESH: Final = Setting(name="PEERMESH_MESH", meaning="name of the mesh, as in `mesh/mesh.yaml`")
CLUSTER: Final = Setting(name="PEERMESH_CLUSTER", meaning="name of this cluster, as in `mesh/clusters/`")
BROKER: Final = Setting(
    name="PEERMESH_BROKER_URL",
    meaning="Redis in Celery's form (`redis://`, `rediss://`, `redis+socket://`), with the user of this cluster alone",
)
DIRECTORY: Final = Setting(name="PEERMESH_DIRECTORY", meaning="directory of manifests that stands for the cluster")
NAMESPACE: Final = Setting(
    name="PEERMESH_NAMESPACE", meaning="namespace of manifests that name none", default="default"
)
KEY_FILE: Final = Setting(
    name="PEERMESH_KEY_FILE",
    meaning="file of the key that observations are signed with; made at the first start",
    default="peermesh-syncer.key",
)
GATEWAY_NAMESPACE: Final = Setting(
    name="PEERMESH_GATEWAY_NAMESPACE", meaning="namespace of the east-west gateway's pods", default="istio-eastwest"
)
GATEWAY_SELECTOR: Final = Setting(
    name="PEERMESH_GATEWAY_SELECTOR",
    meaning="labels of the gateway's pods: `key=value`, separated by commas",
    default="istio=eastwestgateway",
)
GATEWAY_PORT: Final = Setting(
    name="PEERMESH_GATEWAY_PORT", meaning="port on which the gateway passes callers through", default="15443"
)
HOST_TEMPLATE: Final = Setting(
    name="PEERMESH_HOST_TEMPLATE",
    meaning="`spec.hosts.template` of the mesh",
    default="{service}.{namespace}.mesh.internal",
)
HOST_PATTERNS: Final = Setting(
    name="PEERMESH_HOST_PATTERNS",
    meaning="patterns of `spec.hosts.additional` of the mesh, separated by commas; not set: there are none",
)
QUIET: Final = Setting(
    name="PEERMESH_QUIET", meaning="seconds without a change before the cluster is read again", default="1"
)
LONGEST: Final = Setting(
    name="PEERMESH_LONGEST", meaning="seconds after a change after which it is read, quiet or not", default="10"
)
HEARTBEAT: Final = Setting(
    name="PEERMESH_HEARTBEAT",
    meaning="seconds after which is said again what is so; the centre refuses what is older than 900",
    default="300",
)

SETTINGS: Final = (
    MESH,
    CLUSTER,
    BROKER,
    DIRECTORY,
    NAMESPACE,
    KEY_FILE,
    GATEWAY_NAMESPACE,
    GATEWAY_SELECTOR,
    GATEWAY_PORT,
    HOST_TEMPLATE,
    HOST_PATTERNS,
    QUIET,
    LONGEST,
    HEARTBEAT,
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a syncer is told; prints without secrets."""

    scope: Scope
    broker: Secret
    directory: Path
    key_file: Path
    namespace: str = "default"
    timing: Timing = field(default_factory=Timing)


def settings_from_environment() -> Settings:
    """The settings of this process. Raises HumanNeeded, naming the variable."""
    return read_settings(os.environ)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings that these variables say; one that is empty is as good as not set.

    Raises:
        HumanNeeded: a variable that must be set isn't, or a value that can't be meant.
    """

    def value(setting: Setting, parse: Callable[[str], _T]) -> _T:
        text = environment.get(setting.name, "").strip() or setting.default
        if not text and setting is not HOST_PATTERNS:
            raise HumanNeeded("BadSetting", "it isn't set", subject=setting.name, remedy=f"It is {setting.meaning}.")
        try:
            return parse(text)
        except ValueError as error:
            raise HumanNeeded(
                "BadSetting", str(error), subject=setting.name, remedy=f"It is {setting.meaning}."
            ) from error

    return Settings(
        scope=Scope(
            mesh=value(MESH, _label),
            cluster=value(CLUSTER, _label),
            gateway=GatewayPlace(
                namespace=value(GATEWAY_NAMESPACE, _label),
                selector=value(GATEWAY_SELECTOR, _pairs),
                port=value(GATEWAY_PORT, _port),
            ),
            hosts=MeshHosts(template=value(HOST_TEMPLATE, _template), patterns=value(HOST_PATTERNS, _patterns)),
        ),
        broker=value(BROKER, _broker),
        directory=value(DIRECTORY, Path),
        namespace=value(NAMESPACE, _label),
        key_file=value(KEY_FILE, Path),
        timing=Timing(
            quiet=value(QUIET, _seconds), longest=value(LONGEST, _seconds), heartbeat=value(HEARTBEAT, _seconds)
        ),
    )


def _label(text: str) -> str:
    if not is_label(text):
        raise ValueError(f"{text[:80]!r} isn't a name of a-z, 0-9 and -")
    return text


def _broker(text: str) -> Secret:
    if not text.startswith(_SCHEMES):
        # Not the value itself: it may hold a password.
        raise ValueError(f"it doesn't start with {', '.join(_SCHEMES)}")
    return Secret(text)


def _pairs(text: str) -> dict[str, str]:
    pairs = [pair.strip().partition("=") for pair in text.split(",")]
    if not all(key and equals and said for key, equals, said in pairs):
        raise ValueError(f"{text[:80]!r} isn't key=value, separated by commas")
    return {key: said for key, _, said in sorted(pairs)}


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 16:
        raise ValueError(f"{text[:80]!r} isn't a port")
    return int(text)


def _template(text: str) -> str:
    labels = text.split(".")
    if not {"{service}", "{namespace}"} <= set(labels) or not is_subdomain(text.translate({123: None, 125: None})):
        raise ValueError(f"{text[:80]!r} isn't a host with labels {{service}} and {{namespace}}")
    return text


def _patterns(text: str) -> tuple[str, ...]:
    patterns = tuple(part.strip() for part in text.split(",") if part.strip())
    for pattern in patterns:
        if not is_subdomain(pattern.removeprefix("*.")):
            raise ValueError(f"{pattern[:80]!r} isn't a host, with or without `*.` in front")
    return patterns


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < math.inf:
        raise ValueError(f"{text[:80]!r} isn't a number of seconds")
    return seconds
