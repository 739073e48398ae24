"""A Redis with TLS for tests, from `redis-server` on PATH: its settings are those of `delivery/redis/redis.conf`.

Knows how certificates for it are made and how it is started and ended. Skips where it isn't installed: Valkey's wheel
has no TLS.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.servers.listening import listening
from workers.cli.delivery.redis import redis_files

_ADMIN = "user tests on >tests allkeys allchannels +@all"


@dataclass(frozen=True)
class Authority:
    """A CA in a folder: `ca` is the file with its certificate."""

    folder: Path
    name: str

    @property
    def ca(self) -> Path:
        return self.folder / f"{self.name}.crt"

    def issue(self, name: str, *, host: str = "localhost", days: int = 1) -> tuple[Path, Path]:
        """Certificate and key, for `host` and 127.0.0.1; with `days` below zero it is over."""
        issuer = x509.load_pem_x509_certificate(self.ca.read_bytes())
        signing = serialization.load_pem_private_key((self.folder / f"{self.name}.key").read_bytes(), None)
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(host), *([x509.IPAddress(ip_address("127.0.0.1"))] if host == "localhost" else [])]
        made = (
            _builder(name, issuer.subject, key, days)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(signing, hashes.SHA256())  # type: ignore[arg-type]
        )
        return _written(self.folder / name, made, key)


def authority(folder: Path, name: str) -> Authority:
    """A new CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    constraint = x509.BasicConstraints(ca=True, path_length=None)
    made = _builder(name, subject, key, 1).add_extension(constraint, critical=True).sign(key, hashes.SHA256())
    _written(folder / name, made, key)
    return Authority(folder, name)


def _builder(name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=days))
    )


def _written(at: Path, made: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> tuple[Path, Path]:
    certificate, secret = at.with_suffix(".crt"), at.with_suffix(".key")
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, secret


@dataclass(frozen=True)
class RedisTls:
    """`url_for` is an address as a process of the site would have it; with `certificate` it shows one of its own."""

    port: int
    authority: Authority
    certificate: tuple[Path, Path]

    def url_for(
        self, user: str, password: str, *, ca: Path | None = None, certificate: bool = True, host: str = "127.0.0.1"
    ) -> str:
        options = {"ssl_ca_certs": str(ca or self.authority.ca)}
        if certificate:
            options |= {"ssl_certfile": str(self.certificate[0]), "ssl_keyfile": str(self.certificate[1])}
        query = urlencode(options, quote_via=quote, safe="/")
        return f"rediss://{user}:{password}@{host}:{self.port}/0?{query}"

    def client(self) -> redis.Redis:
        """A connection pool of the tests' own user, which may do everything; close it (`with`)."""
        return redis.Redis.from_url(self.url_for("tests", "tests"), socket_timeout=90)


@contextmanager
def redis_tls(
    folder: Path, *, acl: str, clients: str = "yes", host: str = "localhost", days: int = 1
) -> Iterator[RedisTls]:
    """A running server with TLS; `clients`: `tls-auth-clients`; `host`, `days`: of its certificate."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server isn't installed: apt-get install redis-server")
    trusted = authority(folder, "ca")
    certificate, key = trusted.issue("server", host=host, days=days)
    (folder / "users.acl").write_text(f"{acl.rstrip()}\n{_ADMIN}\n")
    (folder / "data").mkdir()
    settings = redis_files()["delivery/redis/redis.conf"].decode()
    for there, here in {
        "/etc/redis/tls/tls.crt": certificate,
        "/etc/redis/tls/tls.key": key,
        "/etc/redis/tls/ca.crt": trusted.ca,
        "/etc/redis/users.acl": folder / "users.acl",
        "dir /data": f"dir {folder / 'data'}",
    }.items():
        assert there in settings
        settings = settings.replace(there, str(here))
    settings = settings.replace("tls-auth-clients optional", f"tls-auth-clients {clients}")

    def command(port: int) -> list[str]:
        path = folder / "redis.conf"
        path.write_text(re.sub(r"^tls-port \d+$", f"tls-port {port}\nbind 127.0.0.1", settings, flags=re.MULTILINE))
        return ["redis-server", str(path)]

    with listening(command, folder / "log") as port:
        yield RedisTls(port, trusted, trusted.issue("client"))
