"""An offer: one export as its cluster says it.

Lenient, because a newer worker reads an older syncer: unknown fields are ignored, and a field that wasn't sent is
`UNSET`, "not said", which is never the same as empty. An annotation that is absent on the object is sent as `None`.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

GATEWAY: Final = "gateway"
"""`source` of a refusal that is about the east-west gateway, not about a Service that people export."""

EXPORTS_NOTHING: Final = "ExportsNothing"
"""The one reason that is people's own wish (an empty list of ports): what stood before is withdrawn. Whatever else is
refused keeps what stood, because people still ask for it."""


class Port(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One port of an exported Service.

    `protocol` is Istio's (`HTTP`, `HTTP2`, `GRPC`, `GRPC-WEB`, `HTTPS`, `TCP`, `TLS`, `MONGO`, `MYSQL`, `REDIS`) if the
    owner declared one by `appProtocol` or by the prefix of the name, else None: declared protocols are rendered,
    others are left to Istio's detection. `target_port` is resolved to a number. A port without a name is called
    `p<number>`.
    """

    name: str
    number: int
    protocol: str | None = None
    target_port: int


class Offer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What a cluster offers under `namespace`/`service`. Tuples are sorted (ports by number), without repetition.

    `source` is a name of `syncer.sources.SOURCES`; `since` the creation of the exporting object as RFC 3339 in UTC, or
    None; `service_accounts` those of all selected pods and workload templates, empty when none was seen.
    """

    namespace: str
    service: str
    source: str
    since: str | UnsetType | None = UNSET
    headless: bool = False
    ports: tuple[Port, ...] = ()
    service_accounts: tuple[str, ...] | UnsetType = UNSET
    selector: dict[str, str] | UnsetType = UNSET
    consumers: tuple[str, ...] | UnsetType | None = UNSET
    hosts: tuple[str, ...] | UnsetType | None = UNSET


class Refused(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Something that people asked to export and that can't be, with a KEP-1645 style reason. Text from a cluster."""

    namespace: str
    service: str
    source: str
    reason: str
    message: str = ""
