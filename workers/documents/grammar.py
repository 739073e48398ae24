"""Which values a fact may hold: names, addresses, ports. Offers are held against it, and the facts that come of them.

What passes needs no escaping in paths, YAML or texts. Knows single values only.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from syncer.protocol.names import is_label, is_subdomain
from syncer.protocol.observation import Foreign, GatewayAddress

PROTOCOLS: Final = frozenset({"HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTPS", "TCP", "TLS", "MONGO", "MYSQL", "REDIS"})
"""What Istio reads in a ServiceEntry (pkg/config/protocol/instance.go), without UDP, which no gateway passes."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_CONSUMER = re.compile(r"[A-Za-z0-9._/-]{1,316}=[A-Za-z0-9._-]{0,63}")
_SELECTOR = re.compile(r"[A-Za-z0-9._/-]{0,316}")
_KIND = re.compile(r"[A-Za-z]{1,40}")


def is_time(text: str) -> bool:
    """A time as Kubernetes writes it: RFC 3339, UTC, whole seconds."""
    return _TIME.fullmatch(text) is not None


def is_consumer(text: str) -> bool:
    """A cluster's name, or a label of clusters as `key=value`."""
    return is_label(text) or _CONSUMER.fullmatch(text) is not None


def is_selector_text(text: str) -> bool:
    """A key or a value of a label."""
    return _SELECTOR.fullmatch(text) is not None


def is_ip(text: str) -> bool:
    """An IP address of either version that somebody else can call: no zone, not this host, no group."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    # A zone may be any text, line breaks included: "fe80::1%a\nb" is an address to `ipaddress`.
    return "%" not in text and not (address.is_loopback or address.is_unspecified or address.is_multicast)


def is_ipv4(text: str) -> bool:
    """Such an address of version 4."""
    return is_ip(text) and ":" not in text


def is_port_number(value: int) -> bool:
    """A TCP port."""
    return 1 <= value <= 65535


def is_gateway_address(address: GatewayAddress) -> bool:
    """Either an IP address or a host name, and a port."""
    good = is_ip(address.ip) if address.ip is not None else address.host is not None and is_subdomain(address.host)
    return good and None in {address.ip, address.host} and is_port_number(address.port)


def is_foreign(entry: Foreign) -> bool:
    """An object whose names are names."""
    names = is_label(entry.namespace) and is_subdomain(entry.name) and is_subdomain(entry.host)
    return names and _KIND.fullmatch(entry.kind) is not None
