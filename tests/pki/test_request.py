"""A signing request as it crosses the border, honest and hostile."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AttributeOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from syncer.protocol.errors import Rejected
from syncer.protocol.request import (
    MAX_PACKED,
    MAX_UNPACKED,
    REASONS,
    SIGN_REQUEST_PURPOSE,
    SignRequest,
    empty_crl,
    make_csr,
    pack,
    proof_holds,
    prove,
    read_csr,
    request_faults,
    subject_of,
    unpack,
)
from syncer.protocol.revocation import Revoked, make_crl
from syncer.protocol.signature import OBSERVATION, SigningKey, verify
from tests.pki.authority import DAY, MESH, NOW, Mesh, digest_of, key_pem, private_key
from tests.pki.leaks import printed, shows, spellings

REQUEST = Mesh().request("west", 3, reason="renewal", with_crl=True, current=private_key("west-2"))
KEY = private_key("west-3")


def rules(request: SignRequest, *, cluster: str = "west", key_type: str = "P-256") -> list[str]:
    return [fault.rule for fault in request_faults(request, cluster=cluster, mesh=MESH, key_type=key_type)]


def changed(**fields: object) -> SignRequest:
    return msgspec.structs.replace(REQUEST, **fields)


def csr(key: object = KEY, *extensions: x509.ExtensionType, name: x509.Name | None = None, **fields: object) -> str:
    """A CSR that asks for more than it may."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        name or subject_of(mesh=MESH, cluster="west", rotation=3)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    for oid, value in fields.get("attributes", ()):  # type: ignore[attr-defined]
        builder = builder.add_attribute(oid, value)
    return builder.sign(key, digest_of(key)).public_bytes(Encoding.PEM).decode()  # type: ignore[arg-type]


def test_what_is_packed_is_unpacked():
    assert unpack(pack(REQUEST)) == REQUEST


def test_equal_requests_give_equal_bytes():
    assert pack(REQUEST) == pack(unpack(pack(REQUEST)))


def test_an_honest_request_has_no_fault():
    assert [] == rules(REQUEST)
    assert [] == rules(changed(crl="", proof="", reason="first"))


@pytest.mark.parametrize("kind", ["P-256", "P-384"])
def test_the_type_of_key_is_the_one_that_people_chose(kind):
    request = Mesh().request("west", 3, kind=kind, with_crl=True)
    assert [] == rules(request, key_type=kind)
    assert ["WrongKeyType"] == rules(request, key_type="P-384" if kind == "P-256" else "P-256")


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (bytes(MAX_PACKED + 1), "TooLarge"),
        (gzip.compress(bytes(MAX_UNPACKED + 1)), "TooLarge"),
        (b"", "NotGzip"),
        (b"hello", "NotGzip"),
        (pack(REQUEST)[:-1], "NotGzip"),
        (pack(REQUEST) + b"x", "NotGzip"),
        (pack(REQUEST) * 2, "NotGzip"),
        (gzip.compress(b"[]"), "BadRequest"),
        (gzip.compress(b"{}"), "BadRequest"),
        (gzip.compress(b"[" * 100_000), "BadRequest"),
        (gzip.compress(b"\xff"), "BadRequest"),
        (pack(changed(format=2)), "UnknownFormat"),
        (pack(changed(requested_at=datetime(2026, 1, 1))), "BadRequest"),  # noqa: DTZ001 - a clock without a zone
        (gzip.compress(json.dumps({"rotation": "3"}).encode()), "BadRequest"),
    ],
    ids=[
        "packed",
        "unpacked",
        "empty",
        "text",
        "cut",
        "longer",
        "twice",
        "a list",
        "nothing",
        "deep",
        "not UTF-8",
        "another format",
        "no time zone",
        "another type",
    ],
)
def test_hostile_bytes_are_refused_by_name(packed, reason):
    with pytest.raises(Rejected) as caught:
        unpack(packed)
    assert caught.value.reason == reason


@given(st.binary(max_size=300), st.integers(0, 2000))
def test_damaged_bytes_are_refused_or_read(noise, at):
    good = pack(REQUEST)
    for packed in (noise, good[:at] + noise + good[at + len(noise) :], gzip.compress(noise)):
        try:
            request = unpack(packed)
        except Rejected:
            continue
        assert isinstance(request, SignRequest)


HOSTILE = {
    "of another cluster": (changed(cluster="east"), ["ForeignCluster"]),
    "for another mesh": (changed(mesh="other"), ["ForeignMesh"]),
    "a CSR of another cluster": (Mesh().request("east", 3), ["ForeignCluster", "ForeignSubject"]),
    "a CSR of another cluster in an envelope of this one": (
        changed(csr=csr(name=subject_of(mesh=MESH, cluster="east", rotation=3)), crl=""), ["ForeignSubject"]),
    "a CSR for another mesh": (
        changed(csr=csr(name=subject_of(mesh="other", cluster="west", rotation=3)), crl=""), ["ForeignSubject"]),
    "a CSR of another rotation": (changed(rotation=4, crl=""), ["ForeignSubject"]),
    "a subject with another attribute": (changed(crl="", csr=csr(name=x509.Name([
        *subject_of(mesh=MESH, cluster="west", rotation=3), x509.NameAttribute(NameOID.COMMON_NAME, "root")]))),
        ["ForeignSubject"]),
    "rotation 0": (changed(rotation=0, csr=make_csr(KEY, mesh=MESH, cluster="west", rotation=0), crl=""),
                   ["BadRotation"]),
    "a rotation that no subject has room for": (changed(rotation=10**70), ["BadRotation"]),
    "a rotation of ten digits": (changed(rotation=10**9), ["BadRotation"]),
    "a reason of its own": (changed(reason="because"), ["BadReason"]),
    "a SAN of another mesh": (changed(csr=csr(KEY, x509.SubjectAlternativeName(
        [x509.UniformResourceIdentifier("spiffe://other.example/ns/a/sa/b")])), crl=""), ["ForeignName"]),
    "a SAN of its own trust domain": (changed(csr=csr(KEY, x509.SubjectAlternativeName(
        [x509.UniformResourceIdentifier("spiffe://west.acme.example/")])), crl=""), ["ForeignName"]),
    "a path length of its own": (changed(csr=csr(KEY, x509.BasicConstraints(ca=True, path_length=9)), crl=""),
                                 ["AsksForMore"]),
    "name constraints of its own": (changed(csr=csr(KEY, x509.NameConstraints(
        [x509.UniformResourceIdentifier("other.example")], None)), crl=""), ["AsksForMore"]),
    "a lifetime": (changed(csr=csr(attributes=[(x509.ObjectIdentifier("1.3.6.1.4.1.311.13.2.1"), b"9999 days")]),
                           crl=""), ["AsksForMore"]),
    "a challenge password": (changed(csr=csr(attributes=[(AttributeOID.CHALLENGE_PASSWORD, b"pw")]), crl=""),
                             ["AsksForMore"]),
    "a name and a path length": (changed(csr=csr(KEY, x509.BasicConstraints(ca=True, path_length=9),
        x509.SubjectAlternativeName([x509.DNSName("istiod")])), crl=""), ["ForeignName", "AsksForMore"]),
    "RSA 1024": (changed(csr=csr(private_key("weak", "RSA-1024")), crl=""), ["WeakKey"]),
    "RSA 2048": (changed(csr=csr(private_key("weak", "RSA-2048")), crl=""), ["WrongKeyType"]),
    "P-224": (changed(csr=csr(private_key("weak", "P-224")), crl=""), ["WeakKey"]),
    "P-384 where P-256 is wanted": (changed(csr=csr(private_key("weak", "P-384")), crl=""), ["WrongKeyType"]),
    "P-521": (changed(csr=csr(private_key("weak", "P-521")), crl=""), ["WrongKeyType"]),
    "Ed25519": (changed(csr=csr(ed25519.Ed25519PrivateKey.generate()), crl=""), ["WrongKeyType"]),
    "no CSR": (changed(csr=""), ["NotARequest"]),
    "a certificate": (changed(csr=Mesh().root("a").pem), ["NotARequest"]),
    "two CSRs": (changed(csr=REQUEST.csr * 2), ["NotARequest"]),
    "text around the CSR": (changed(csr="x" + REQUEST.csr), ["NotARequest"]),
    "a very long CSR": (changed(csr=REQUEST.csr * 500), ["NotARequest"]),
    "a CRL of another key": (changed(crl=empty_crl(private_key("other"), mesh=MESH, cluster="west", rotation=3,
        now=NOW, next_update=NOW + DAY)), ["BadCrl"]),
    "a CRL in another name": (changed(crl=empty_crl(KEY, mesh=MESH, cluster="east", rotation=3,
        now=NOW, next_update=NOW + DAY)), ["BadCrl"]),
    "a CRL that takes something back": (changed(crl=make_crl(KEY, issuer=subject_of(mesh=MESH, cluster="west",
        rotation=3), revoked=[Revoked(7)], now=NOW, next_update=NOW + DAY, number=1)), ["BadCrl"]),
    "two CRLs": (changed(crl=REQUEST.crl * 2), ["BadCrl"]),
    "no CRL where one should be": (changed(crl="x"), ["NotRevocationLists"]),
}  # fmt: skip


@pytest.mark.parametrize(("request_", "expected"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_request_is_refused_by_name(request_, expected):
    assert expected == rules(unpack(pack(request_)))


def test_a_refusal_names_the_cluster_and_what_to_do():
    (fault,) = request_faults(changed(cluster="east"), cluster="west", mesh=MESH, key_type="P-256")
    assert str(fault) == (
        "the request of west: it is of another cluster than its sender. "
        "The agent never sends this: look at who holds its key."
    )


def test_a_csr_that_its_key_did_not_sign_is_refused():
    ours, theirs = (read_csr(text, subject="x").public_bytes(Encoding.DER) for text in (REQUEST.csr, csr(KEY)))
    signature = read_csr(REQUEST.csr, subject="x").signature
    broken = bytes([signature[-1] ^ 1])
    tampered = x509.load_der_x509_csr(ours[:-1] + broken).public_bytes(Encoding.PEM).decode()
    assert ours != theirs
    assert ["BadCsrSignature"] == rules(changed(csr=tampered, crl=""))


def test_a_csr_with_a_foreign_public_key_in_it_is_refused():
    def spki(key: object) -> bytes:
        return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined, no-any-return]

    der = read_csr(REQUEST.csr, subject="x").public_bytes(Encoding.DER)
    stolen = x509.load_der_x509_csr(der.replace(spki(KEY), spki(private_key("victim"))))
    text = stolen.public_bytes(Encoding.PEM).decode()
    assert ["BadCsrSignature"] == rules(changed(csr=text, crl=""))


@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA-2048"])
def test_a_proof_holds_for_the_key_and_the_csr_that_it_was_made_with(kind):
    current = private_key("current", kind)
    request = Mesh().request("west", 3, current=current)
    assert proof_holds(request, current.public_key())
    assert not proof_holds(request, private_key("another", kind).public_key())
    assert not proof_holds(request, private_key("current", "P-521").public_key())
    assert not proof_holds(msgspec.structs.replace(request, csr=csr(private_key("attacker"))), current.public_key())


@pytest.mark.parametrize("proof", ["", "x", "AAAA", "🔑", "===="])
def test_what_is_no_proof_holds_for_nothing(proof):
    assert not proof_holds(changed(proof=proof), private_key("west-2").public_key())


def test_a_signature_that_the_current_key_gave_for_something_else_is_no_proof():
    der = read_csr(REQUEST.csr, subject="x").public_bytes(Encoding.DER)
    current = private_key("west-2")
    plain = base64.b64encode(current.sign(der, ec.ECDSA(hashes.SHA256()))).decode()  # type: ignore[call-arg, arg-type]
    assert not proof_holds(changed(proof=plain), current.public_key())


def test_a_request_signed_by_the_agent_passes_as_nothing_else():
    agent, body = SigningKey.generate(), pack(REQUEST)
    signature = agent.sign(SIGN_REQUEST_PURPOSE, MESH, "west", body)
    verify([agent.public], SIGN_REQUEST_PURPOSE, MESH, "west", body, signature)
    for purpose, mesh, cluster in (
        (OBSERVATION, MESH, "west"),
        (SIGN_REQUEST_PURPOSE, "other", "west"),
        (SIGN_REQUEST_PURPOSE, MESH, "east"),
    ):
        with pytest.raises(Rejected, match="no key of this cluster"):
            verify([agent.public], purpose, mesh, cluster, body, signature)


def test_the_longest_names_of_clusters_have_subjects_of_their_own():
    west, east = (f"{'x' * 59}-{name}" for name in ("west", "east"))
    names = [
        subject_of(mesh="m" * 63, cluster=cluster[-63:], rotation=rotation).rfc4514_string()
        for cluster in (west, east)
        for rotation in (1, 12)
    ]
    assert len(set(names)) == 4
    assert [name.partition(",")[0].rpartition("-")[2] for name in names] == ["1", "12", "1", "12"]


@given(
    rotation=st.integers(1, 10**9),
    reason=st.sampled_from(REASONS),
    sequence=st.integers(0, 2**62),
    at=st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - see timezones
    cluster=st.from_regex(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True),
)
def test_what_an_agent_makes_is_accepted_whatever_its_numbers(rotation, reason, sequence, at, cluster):
    named = {"mesh": MESH, "cluster": cluster, "rotation": rotation}
    text = make_csr(KEY, **named)
    request = SignRequest(
        mesh=MESH,
        cluster=cluster,
        sequence=sequence,
        requested_at=at,
        rotation=rotation,
        reason=reason,
        csr=text,
        crl=empty_crl(KEY, now=at, next_update=at + timedelta(days=100), **named),
        proof=prove(read_csr(text, subject="x").public_bytes(Encoding.DER), private_key("current")),
    )
    assert request == unpack(pack(request))
    assert [] == rules(request, cluster=cluster)
    assert proof_holds(request, private_key("current").public_key())


def test_a_private_key_in_place_of_a_csr_is_refused_and_never_shown():
    secret = key_pem(KEY)
    for field in ("csr", "crl"):
        for text in (secret, getattr(REQUEST, field) + secret, secret + getattr(REQUEST, field)):
            faults = request_faults(changed(**{field: text}), cluster="west", mesh=MESH, key_type="P-256")
            assert faults
            assert not any(shows(str(fault), secret) for fault in faults)
    with pytest.raises(Rejected) as caught:
        unpack(gzip.compress(json.dumps({"csr": secret, "rotation": secret}).encode()))
    assert not shows(printed(caught.value), secret)


def test_nothing_that_is_sent_shows_the_key():
    sent = gzip.decompress(pack(REQUEST)).decode()
    for key in (KEY, private_key("west-2")):
        assert [] == [spelling for spelling in spellings(key) if spelling in sent + repr(REQUEST)]
        assert any(spelling in key_pem(key).replace("\n", "") for spelling in spellings(key))
