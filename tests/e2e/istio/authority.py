"""Roots and intermediates for tests that change `cacerts` by hand: what a `cacerts` holds, from a few words.

Not peermesh's own issuing: these tests show what istiod and Envoy do, whatever peermesh makes of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, kw_only=True)
class Authority:
    """A certificate that signs, and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def name(self) -> str:
        return common_name(self.certificate.subject)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


def root(name: str) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    return Authority(certificate=_sign(name, key, issuer=None, path_length=None), key=key)


def intermediate(name: str, issuer: Authority) -> Authority:
    """What istiod of a cluster signs with."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Authority(certificate=_sign(name, key, issuer=issuer, path_length=0), key=key)


def cacerts(signer: Authority, bundle: Sequence[Authority], *, lever: int = 0) -> dict[str, str]:
    """The files of the Secret; `lever`: how many newlines end the bundle, a change of which renews every leaf."""
    key = signer.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "ca-cert.pem": signer.pem,
        "ca-key.pem": key.decode(),
        "cert-chain.pem": signer.pem,
        "root-cert.pem": "".join(root.pem for root in bundle) + "\n" * lever,
    }


def common_name(name: x509.Name) -> str:
    """All of the name where it has no common name, as that of a root that istiod made itself."""
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()


def _sign(
    name: str, key: ec.EllipticCurvePrivateKey, *, issuer: Authority | None, path_length: int | None
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by = issuer.key if issuer else key
    usage = {
        use: use in ("key_cert_sign", "crl_sign")
        for use in (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        )
    }
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
        .sign(by, hashes.SHA256())
    )
