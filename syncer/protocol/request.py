"""A signing request as it crosses the border: the CSR of a cluster's next intermediate, and who may ask for it.

Knows its bytes, their bounds, and what makes a CSR hostile. Whatever a CSR asks for beyond its public key is never
used, and one that asks at all is refused. Knows no queue, and holds a private key only while it signs with it.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from syncer.protocol.cacerts_rules import KEY_TYPES
from syncer.protocol.certificates import CertificateFault, name_text, pem_blocks
from syncer.protocol.errors import Rejected
from syncer.protocol.packing import unpacked
from syncer.protocol.revocation import AuthorityKey, make_crl, read_crls, signature_hash

FORMAT: Final = 1
SIGN_REQUEST_PURPOSE: Final = "peermesh/sign-request/1"
"""The purpose under which an agent signs the packed request with its Ed25519 key."""
REASONS: Final = ("first", "renewal", "ordered", "compromised", "rollover")
MAX_PACKED: Final = 64 << 10
MAX_UNPACKED: Final = 256 << 10
MAX_ROTATION: Final = 999_999_999
"""The number stands in a subject, which has room for 64 characters, and agents read no more digits."""
_PROOF: Final = b"peermesh/request-proof/1\0"


class SignRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the agent of `cluster` asks for. Defaults are sent, so that `format` is.

    `sequence` and `requested_at` as in an observation. `rotation`: number of the intermediate asked for. `csr`: PEM.
    `crl`: an empty list of that intermediate, signed by its own key; or empty. `proof`: by `prove` with the key of the
    intermediate in use; or empty.
    """

    format: int = FORMAT
    mesh: str
    cluster: str
    sequence: int
    requested_at: datetime
    rotation: int
    reason: str
    csr: str
    crl: str = ""
    proof: str = ""


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(SignRequest)


def pack(request: SignRequest) -> bytes:
    """The bytes that are signed and sent; equal requests give equal bytes."""
    return gzip.compress(_encoder.encode(request), mtime=0)


def unpack(packed: bytes) -> SignRequest:
    """Read what `pack` wrote.

    Raises:
        Rejected: too large packed or unpacked, not gzip, not JSON, another shape, an unknown format.
    """
    data = unpacked(packed, what="a signing request", most_packed=MAX_PACKED, most=MAX_UNPACKED)
    try:
        request = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected("BadRequest", f"a signing request that can't be read: {error}") from None
    if request.format != FORMAT:
        what = f"a signing request of format {request.format}; this program reads format {FORMAT}"
        raise Rejected("UnknownFormat", what, remedy="Upgrade the workers before the agents.")
    if request.requested_at.tzinfo is None:
        raise Rejected("BadRequest", "a signing request whose requestedAt has no time zone")
    return request


def subject_of(*, mesh: str, cluster: str, rotation: int) -> x509.Name:
    """The subject of a cluster's intermediate, known before it is issued: `CN=<cluster>-<rotation>, O=<mesh>`.

    A common name has at most 64 characters (RFC 5280, ub-common-name): a longer one is cut in the cluster's name, whose
    hash then stands before the number.
    """
    name = f"{cluster}-{rotation}"
    if len(name) > 64:
        tail = f"-{hashlib.sha256(cluster.encode()).hexdigest()[:8]}-{rotation}"
        name = cluster[: 64 - len(tail)] + tail
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, mesh), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )


def make_csr(private_key: AuthorityKey, *, mesh: str, cluster: str, rotation: int) -> str:
    """A CSR in PEM with this subject and nothing more."""
    subject = subject_of(mesh=mesh, cluster=cluster, rotation=rotation)
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    signed = builder.sign(private_key, signature_hash(private_key.public_key()))
    return signed.public_bytes(Encoding.PEM).decode()


def empty_crl(
    private_key: AuthorityKey, *, mesh: str, cluster: str, rotation: int, now: datetime, next_update: datetime
) -> str:
    """The first list of the intermediate that this key's CSR asks for: nothing is revoked. Number 1."""
    issuer = subject_of(mesh=mesh, cluster=cluster, rotation=rotation)
    return make_crl(private_key, issuer=issuer, now=now, next_update=next_update, number=1)


def read_csr(text: str, *, subject: str) -> x509.CertificateSigningRequest:
    """The one CSR of a text in canonical PEM.

    Raises:
        Rejected: `NotARequest`: anything else in it, or one that is malformed.
    """
    reason, remedy = "NotARequest", "Send PEM with one certificate request alone."
    if len(text) > MAX_PACKED:
        raise Rejected(reason, f"it has {len(text)} characters; at most {MAX_PACKED} are read", subject=subject,
                       remedy=remedy)  # fmt: skip
    blocks = list(pem_blocks(text, "CERTIFICATE REQUEST", subject=subject, reason=reason, remedy=remedy))
    if len(blocks) != 1:
        raise Rejected(reason, f"it holds {len(blocks)} certificate requests", subject=subject, remedy=remedy)
    try:
        csr = x509.load_der_x509_csr(blocks[0])
        _ = csr.subject, csr.public_key(), csr.extensions, csr.attributes, csr.signature_algorithm_oid
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        what = "it holds a certificate request that can't be parsed"
        raise Rejected(reason, what, subject=subject, remedy=remedy) from None
    return csr


def prove(csr_der: bytes, private_key: AuthorityKey) -> str:
    """Base64 of a signature over the CSR by the key of the intermediate in use: it asks for its own successor."""
    signed = _PROOF + csr_der
    algorithm = signature_hash(private_key.public_key())
    if isinstance(private_key, ec.EllipticCurvePrivateKey):
        return base64.b64encode(private_key.sign(signed, ec.ECDSA(algorithm))).decode()
    return base64.b64encode(private_key.sign(signed, padding.PKCS1v15(), algorithm)).decode()


def proof_holds(request: SignRequest, public_key: CertificatePublicKeyTypes) -> bool:
    """Whether this key made the request's proof, over exactly its CSR."""
    try:
        signature = base64.b64decode(request.proof, validate=True)
        signed = _PROOF + read_csr(request.csr, subject=request.cluster).public_bytes(Encoding.DER)
        if isinstance(public_key, ec.EllipticCurvePublicKey):
            public_key.verify(signature, signed, ec.ECDSA(signature_hash(public_key)))
        elif isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(signature, signed, padding.PKCS1v15(), signature_hash(public_key))
        else:
            return False
    except (binascii.Error, ValueError, InvalidSignature, Rejected):
        return False
    return True


def request_faults(request: SignRequest, *, cluster: str, mesh: str, key_type: str) -> tuple[CertificateFault, ...]:
    """Why this isn't an honest request of this cluster for a key of this type (`P-256`, `P-384`).

    Says nothing of age, sequence, approval, or whether the rotation is the one that is wanted.
    """
    where = f"the request of {cluster}"
    wrong = [*_envelope(request, cluster=cluster, mesh=mesh)]
    try:
        csr = read_csr(request.csr, subject=where)
        crls = read_crls(request.crl, subject=f"the CRL in {where}")
    except Rejected as error:
        wrong.append((error.reason, error.what, error.remedy))
    else:
        if _is_number(request.rotation):
            wrong += _asked(csr, subject_of(mesh=mesh, cluster=cluster, rotation=request.rotation))
        wrong += [*_key(csr, key_type), *(_list(crls, csr) if request.crl else ())]
    return tuple(CertificateFault(rule=rule, certificate=where, what=what, remedy=fix) for rule, what, fix in wrong)


_Fault = tuple[str, str, str]
"""Rule, what, remedy."""
_SUSPECT: Final = "The agent never sends this: look at who holds its key."


def _envelope(request: SignRequest, *, cluster: str, mesh: str) -> Iterator[_Fault]:
    if request.cluster != cluster:
        yield "ForeignCluster", "it is of another cluster than its sender", _SUSPECT
    if request.mesh != mesh:
        yield "ForeignMesh", "it is for another mesh", _SUSPECT
    if not _is_number(request.rotation):
        yield "BadRotation", f"the number of its rotation isn't one from 1 to {MAX_ROTATION}", _SUSPECT
    if request.reason not in REASONS:
        yield "BadReason", f"its reason isn't one of {', '.join(REASONS)}", _SUSPECT


def _is_number(rotation: int) -> bool:
    return 1 <= rotation <= MAX_ROTATION


def _asked(csr: x509.CertificateSigningRequest, subject: x509.Name) -> Iterator[_Fault]:
    if csr.subject.public_bytes() != subject.public_bytes():
        what = f"its subject is {name_text(csr.subject)}, and {name_text(subject)} belongs there"
        yield "ForeignSubject", what, _SUSPECT
    asked = {extension.oid for extension in csr.extensions}
    if x509.SubjectAlternativeName.oid in asked:
        yield "ForeignName", "it asks for a name (subjectAltName), which no CA of a mesh has", _SUSPECT
    if asked - {x509.SubjectAlternativeName.oid} or (len(csr.attributes) and not asked):
        what = "it asks for more than a signature under its key: extensions, a lifetime, or other attributes"
        yield "AsksForMore", what, _SUSPECT


def _key(csr: x509.CertificateSigningRequest, key_type: str) -> Iterator[_Fault]:
    key = csr.public_key()
    remedy = f"Make a key on {key_type}, as `spec.trust.intermediates.key` of mesh/mesh.yaml says."
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.key_size < 256:
            yield "WeakKey", f"its key is on {key.curve.name}", remedy
        elif key.curve.name != KEY_TYPES[key_type]:
            yield "WrongKeyType", f"its key is on {key.curve.name}", remedy
    elif isinstance(key, rsa.RSAPublicKey) and key.key_size < 2048:
        yield "WeakKey", f"its RSA key has {key.key_size} bits", remedy
    else:
        yield "WrongKeyType", "its key isn't on an elliptic curve of NIST", remedy
    if not _own_signature(csr):
        yield "BadCsrSignature", "its key hasn't signed it", _SUSPECT


def _list(crls: tuple[x509.CertificateRevocationList, ...], csr: x509.CertificateSigningRequest) -> Iterator[_Fault]:
    key = csr.public_key()
    if len(crls) != 1:
        yield "BadCrl", f"it brings {len(crls)} revocation lists, and one belongs there", _SUSPECT
        return
    (crl,) = crls
    if crl.issuer.public_bytes() != csr.subject.public_bytes():
        yield "BadCrl", "its revocation list is of another issuer", _SUSPECT
    elif not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey) or not _signed(crl, key):
        yield "BadCrl", "its key hasn't signed its revocation list", _SUSPECT
    if len(crl):
        yield "BadCrl", "its revocation list isn't empty", _SUSPECT


def _own_signature(csr: x509.CertificateSigningRequest) -> bool:
    try:
        return csr.is_signature_valid
    except (UnsupportedAlgorithm, ValueError, TypeError):
        return False


def _signed(crl: x509.CertificateRevocationList, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bool:
    try:
        return crl.is_signature_valid(key)
    except (UnsupportedAlgorithm, ValueError, TypeError):
        return False
