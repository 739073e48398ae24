from __future__ import annotations

import pytest

from syncer.sources.protocols import declared


@pytest.mark.parametrize(
    ("app_protocol", "name", "expected"),
    [
        # By the name of the port: everything before the first `-`.
        (None, "http", "HTTP"),
        (None, "http-web", "HTTP"),
        (None, "http2", "HTTP2"),
        (None, "http2-api", "HTTP2"),
        (None, "https", "HTTPS"),
        (None, "https-admin", "HTTPS"),
        (None, "grpc", "GRPC"),
        (None, "grpc-api", "GRPC"),
        (None, "grpc-web", "GRPC-WEB"),
        (None, "grpc-web-x", "GRPC-WEB"),
        (None, "grpc-webx", "GRPC-WEB"),
        (None, "tcp", "TCP"),
        (None, "tcp-db", "TCP"),
        (None, "tls", "TLS"),
        (None, "mongo", "MONGO"),
        (None, "mysql-primary", "MYSQL"),
        (None, "redis", "REDIS"),
        (None, "", None),
        (None, "web", None),
        (None, "httpx", None),
        (None, "web-http", None),
        (None, "grpcweb-x", None),
        (None, "udp-dns", None),
        # By appProtocol, in any case; Kubernetes' own names as they are written there.
        ("http", "", "HTTP"),
        ("HTTP", "", "HTTP"),
        ("Grpc-Web", "", "GRPC-WEB"),
        ("tcp", "", "TCP"),
        ("mysql", "", "MYSQL"),
        ("kubernetes.io/h2c", "", "HTTP2"),
        ("kubernetes.io/ws", "", "HTTP"),
        ("kubernetes.io/wss", "", "HTTPS"),
        ("kubernetes.io/H2C", "", None),
        ("h2c", "", None),
        # appProtocol beats the name, even one that says nothing.
        ("https", "http-web", "HTTPS"),
        ("tcp", "grpc", "TCP"),
        ("postgresql", "tcp-db", None),
        ("example.com/own", "http", None),
        ("", "http", None),
        ("http_proxy", "", None),
    ],
)
def test_a_protocol_is_declared_by_istios_rules(app_protocol: str | None, name: str, expected: str | None) -> None:
    assert expected == declared(app_protocol, name)
