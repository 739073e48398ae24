"""Reading PEM: certificates and nothing else."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from syncer.protocol.certificates import (
    MAX_TEXT,
    fingerprint,
    key_fingerprint,
    name_text,
    read_certificate,
    read_certificates,
    read_foreign_certificates,
    same_key,
    serial_text,
    write_certificates,
)
from syncer.protocol.errors import Rejected
from tests.pki.authority import Mesh, key_pem, private_key
from tests.pki.leaks import printed, shows

MESH = Mesh()
A, B = MESH.root("a"), MESH.root("b")
SECRET = key_pem(A.key)


def refusal(text: str) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read_certificates(text, subject="root-cert.pem")
    assert caught.value.reason == "NotCertificates"
    assert caught.value.subject == "root-cert.pem"
    assert caught.value.remedy
    return caught.value


def test_what_is_written_is_read():
    text = write_certificates([A.certificate, B.certificate])
    assert (A.certificate, B.certificate) == read_certificates(text, subject="roots")
    assert text == write_certificates(read_certificates(text, subject="roots"))


def test_the_lever_leaves_the_certificates_as_they_are():
    assert (A.certificate,) == read_certificates(A.pem + "\n\n\n", subject="roots")


def test_the_last_line_may_lack_its_end():
    assert (A.certificate,) == read_certificates(A.pem.rstrip("\n"), subject="roots")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no certificate"),
        ("\n", "no certificate"),
        ("hello", "outside"),
        ("# root\n" + A.pem, "outside"),
        (A.pem + "trailing", "outside"),
        (A.pem + "\n" + B.pem, "outside"),
        (" " + A.pem, "outside"),
        (A.pem.replace("\n", "\r\n"), "outside"),
        (A.pem.replace("-----END CERTIFICATE-----\n", ""), "outside"),
        (A.pem[:200], "outside"),
        (A.pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), "another kind"),
        (A.pem.replace("CERTIFICATE", "X509 CRL"), "another kind"),
        (A.pem + A.pem, "twice"),
        (A.pem.replace("\nMII", "\nMI\nI"), "canonical"),
        ("-----BEGIN CERTIFICATE-----\nMAA\n-----END CERTIFICATE-----\n", "canonical"),
        ("-----BEGIN CERTIFICATE-----\nMAB=\n-----END CERTIFICATE-----\n", "canonical"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "parsed"),
        ("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "parsed"),
        (A.pem * (MAX_TEXT // len(A.pem) + 1), "at most"),
    ],
)
def test_anything_else_is_refused(text, says):
    assert says in refusal(text).what


def changed(der: bytes, old: str, new: str) -> str:
    assert der.count(bytes.fromhex(old)) == 1
    broken = der.replace(bytes.fromhex(old), bytes.fromhex(new))
    return write_pem(broken)


def write_pem(der: bytes) -> str:
    text = base64.b64encode(der).decode()
    lines = "\n".join(text[i : i + 64] for i in range(0, len(text), 64))
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"


def test_der_that_goes_on_after_the_certificate_is_refused():
    assert "parsed" in refusal(write_pem(A.certificate.public_bytes(Encoding.DER) + b"\0")).what


@pytest.mark.parametrize("serial", ["00", "81", "ff"])
def test_a_serial_number_that_is_not_positive_is_refused_as_by_go(serial):
    with_serial = Mesh()
    with_serial.serial = lambda: 0x55  # type: ignore[method-assign]
    der = with_serial.root("serial").certificate.public_bytes(Encoding.DER)
    assert "parsed" in refusal(changed(der, "a003020102020155", f"a0030201020201{serial}")).what


def reading(read: Callable[..., tuple[x509.Certificate, ...]], text: str) -> None:
    """It ends in certificates or in a refusal, whatever the text is."""
    with suppress(Rejected):
        assert read(text, subject="text")


@given(st.binary(max_size=200), st.integers(0, 400))
def test_damaged_certificates_are_refused_or_read_and_nothing_else_happens(noise, at):
    der = A.certificate.public_bytes(Encoding.DER)
    reading(read_certificates, write_pem(der[:at] + noise + der[at + len(noise) :]))


@given(st.text(max_size=300))
def test_no_text_raises_anything_but_a_refusal(text):
    for read in (read_certificates, read_foreign_certificates):
        for given_text in (text, A.pem + text, text + A.pem):
            reading(read, given_text)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("read", [read_certificates, read_certificate, read_foreign_certificates])
@pytest.mark.parametrize("place", ["{key}", "{key}{pem}", "{pem}{key}", "{pem}{cut}", "{bare}", "{disguised}"])
def test_a_private_key_is_refused_and_never_shown(form, read, place):
    key = A.key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()
    lines = key.splitlines()
    texts = {
        "key": key,
        "pem": A.pem,
        "cut": "\n".join(lines[:-1]),
        "bare": "\n".join(lines[1:-1]),
        "disguised": "\n".join(["-----BEGIN CERTIFICATE-----", *lines[1:-1], "-----END CERTIFICATE-----\n"]),
    }
    with pytest.raises(Rejected) as caught:
        read(place.format(**texts), subject="ca-cert.pem")
    assert not shows(printed(caught.value), key)


def test_the_search_for_keys_finds_one():
    assert shows(f"malformed: {SECRET}", SECRET)
    assert shows(f"near {SECRET.splitlines()[1][20:40]!r}", SECRET)


def test_of_several_certificates_none_is_the_one():
    with pytest.raises(Rejected, match="holds 2 certificates"):
        read_certificate(A.pem + B.pem, subject="ca-cert.pem")
    assert A.certificate == read_certificate(A.pem, subject="ca-cert.pem")


@pytest.mark.parametrize(
    "text",
    [
        "the root of acme\n" + A.pem + "\nand the other\n" + B.pem,
        (A.pem + B.pem).replace("\n", "\r\n"),
        A.pem + A.pem + "\n\n" + B.pem + A.pem,
        "\n\n" + "".join(A.pem.split("\n", 2)[:1]) + "\n" + "".join(A.pem.splitlines()[1:-1]) + "\n"
        "-----END CERTIFICATE-----" + B.pem,
    ],
    ids=["comments", "CRLF", "repetitions", "long lines"],
)
def test_what_others_wrote_is_read_as_istiod_reads_it(text):
    assert (A.certificate, B.certificate) == read_foreign_certificates(text, subject="root-cert.pem")


def test_what_others_wrote_may_still_hold_certificates_only():
    with pytest.raises(Rejected, match="another kind"):
        read_foreign_certificates(A.pem + SECRET, subject="root-cert.pem")
    with pytest.raises(Rejected, match="no certificate"):
        read_foreign_certificates("nothing here", subject="root-cert.pem")


def test_fingerprints_are_those_of_openssl():
    command = ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-serial"]
    said = subprocess.run(command, input=A.pem, capture_output=True, text=True, check=True, timeout=60).stdout
    shown, serial = (line.partition("=")[2] for line in said.splitlines())
    assert fingerprint(A.certificate) == f"sha256:{shown.replace(':', '').lower()}"
    assert int(serial_text(A.certificate), 16) == int(serial, 16)


def test_a_key_is_the_same_wherever_it_stands():
    renewed = Mesh(root_lifetime=MESH.root("a").certificate.not_valid_after_utc - MESH.now).root("a").certificate
    assert same_key(A.certificate.public_key(), renewed.public_key())
    assert key_fingerprint(A.key.public_key()) == key_fingerprint(renewed.public_key())
    assert not same_key(A.certificate.public_key(), B.certificate.public_key())
    assert not same_key(A.certificate.public_key(), private_key("other", "P-384").public_key())


def test_a_name_for_people_is_one_short_line():
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a\nREVOKED: b\x1b[31m")])
    assert name_text(name) == "CN=a?REVOKED: b?[31m"
    assert len(name_text(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x" * 64)] * 3))) == 120
