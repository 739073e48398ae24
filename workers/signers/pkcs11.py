"""A signing key in a hardware token (PKCS #11): it never leaves it, only what shall be signed goes in.

Knows python-pkcs11, an extra (`pip install peermesh[pkcs11]`), and which troubles of a token end by themselves.
A session is opened when it is first needed, in the process that signs, and again after the token was away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from syncer.protocol.certificates import Certificate, name_text
from syncer.protocol.errors import HumanNeeded, Rejected, Transient
from syncer.protocol.revocation import AuthorityKey, signature_hash
from workers.signers.place import Place, read_issuers, read_secret

if TYPE_CHECKING:
    import pkcs11

T = TypeVar("T")
Sign = Callable[[bytes, str], bytes]
"""Signs data by a mechanism that is named as in PKCS #11, without `CKM_`."""
CURVES: Final = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1}
_PROBE: Final = b"peermesh/is-this-the-key/1"


class Token:
    """`workers.outside.Signer` over the key of a token.

    Raises:
        HumanNeeded: what is named can't be meant, or python-pkcs11 isn't installed.
    """

    def __init__(self, place: Place) -> None:
        self.issuers: tuple[Certificate, ...] = read_issuers(place.issuers)
        self._session = _Session(place, self.issuers[0])
        self.key: AuthorityKey = _key(self.issuers[0].public_key(), self._session.sign, subject=str(place.issuers))

    def check(self) -> None:
        self._session.open()


def make_key(place: Place, key_type: str) -> AuthorityKey:
    """Make a key (`P-256`, `P-384`) in the token: it can't be read out of it. `place` needs no issuers.

    Raises:
        Rejected: `Exists`: the token has a key of this label.
        HumanNeeded, Transient: as `Token`.
    """
    session = _Session(place, None)
    return _key(session.make(key_type), session.sign, subject=session.subject)


class _Session:
    """A session with a token, in which its key is known; opened when needed, and again after the token was away."""

    def __init__(self, place: Place, certificate: Certificate | None) -> None:
        self._place = place
        self._certificate = certificate
        self._library = _load(place.module)
        self._open: tuple[pkcs11.Session, Any] | None = None
        self._refused = ""
        """Digest of a PIN that the token refused: it counts how often, and locks itself."""
        self.subject = f"token {place.token}"
        for given, setting in ((place.token, "PEERMESH_SIGNER_TOKEN"), (place.label, "PEERMESH_SIGNER_KEY_LABEL")):
            if not given:
                raise HumanNeeded("BadSetting", "it isn't set", subject=setting)

    def open(self) -> Any:
        """The key. Raises HumanNeeded, Transient."""
        if self._open is None:
            with self._errors():
                session = self._log_in()
                self._open = session, self._find(session)
            if self._certificate is not None:
                self._prove(self._certificate)
        return self._open[1]

    def sign(self, data: bytes, mechanism: str) -> bytes:
        """What the key signs. Raises HumanNeeded, Transient."""
        return self._again(lambda: self._signed(data, mechanism))

    def make(self, key_type: str) -> ec.EllipticCurvePublicKey:
        """Make the key. Raises Rejected, HumanNeeded, Transient."""
        from pkcs11 import Attribute, KeyType, ObjectClass
        from pkcs11.util.ec import encode_named_curve_parameters

        curve = CURVES[key_type]()
        with self._errors():
            session = self._log_in(rw=True)
            try:
                if list(
                    session.get_objects({Attribute.LABEL: self._place.label, Attribute.CLASS: ObjectClass.PRIVATE_KEY})
                ):
                    what = f"it has a key {self._place.label} already"
                    raise Rejected("Exists", what, subject=self.subject, remedy="Name another label.")
                parameters = encode_named_curve_parameters(curve.name)
                domain = session.create_domain_parameters(KeyType.EC, {Attribute.EC_PARAMS: parameters}, local=True)
                unreadable = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
                public, _ = domain.generate_keypair(
                    store=True, label=self._place.label, id=self._place.label.encode(), private_template=unreadable
                )
                point = bytes(public[Attribute.EC_POINT])
            finally:
                session.close()
        # An OCTET STRING around the point (PKCS #11 v2.40 §2.3.3); its length fits in one byte.
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point[2:])

    def _signed(self, data: bytes, mechanism: str) -> bytes:
        from pkcs11 import Mechanism

        key = self.open()
        with self._errors():
            return bytes(key.sign(data, mechanism=Mechanism[mechanism]))

    def _again(self, act: Callable[[], T]) -> T:
        """Once more in a new session if the token was away for a while; what it said of this one is no news then."""
        if self._open is None:
            return act()
        try:
            return act()
        except Transient:
            return act()

    def _log_in(self, *, rw: bool = False) -> pkcs11.Session:
        """A new session. What was known of the token is forgotten: it may have been taken out and put in again."""
        pin = read_secret(self._place.pin, what="PIN", setting="PEERMESH_SIGNER_PIN_FILE")
        digest = hashlib.sha256(pin.reveal().encode()).hexdigest()
        if digest == self._refused:
            raise self._wrong_pin()
        self._library.reinitialize()
        from pkcs11.exceptions import PinIncorrect

        token = self._library.get_token(token_label=self._place.token)
        try:
            session: pkcs11.Session = token.open(rw=rw, user_pin=pin.reveal())
        except PinIncorrect:
            self._refused = digest
            raise
        return session

    def _find(self, session: pkcs11.Session) -> Any:
        from pkcs11 import KeyType, ObjectClass

        is_rsa = self._certificate is not None and isinstance(self._certificate.public_key(), rsa.RSAPublicKey)
        kind = KeyType.RSA if is_rsa else KeyType.EC
        return session.get_key(object_class=ObjectClass.PRIVATE_KEY, key_type=kind, label=self._place.label)

    def _prove(self, certificate: Certificate) -> None:
        """Whether the key is that of the certificate: the token needn't have its public half."""
        public, algorithm = certificate.public_key(), signature_hash(certificate.public_key())
        try:
            if isinstance(public, ec.EllipticCurvePublicKey):
                public.verify(_ecdsa(self._signed, _PROBE, algorithm), _PROBE, ec.ECDSA(algorithm))
            elif isinstance(public, rsa.RSAPublicKey):
                signature = self._signed(_PROBE, _rsa_mechanism(algorithm))
                public.verify(signature, _PROBE, padding.PKCS1v15(), algorithm)
        except (InvalidSignature, ValueError):
            self._forget()
            what = f"its key {self._place.label} isn't that of {name_text(certificate.subject)}"
            remedy = "Name the label of the key that belongs to the first certificate of the issuers."
            raise HumanNeeded("OtherKey", what, subject=self.subject, remedy=remedy) from None

    def _forget(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            from pkcs11.exceptions import PKCS11Error

            with suppress(PKCS11Error):
                opened[0].close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """None of the token's errors holds a PIN; they are named, not quoted."""
        from pkcs11 import exceptions

        try:
            yield
        except (exceptions.PinIncorrect, exceptions.PinInvalid, exceptions.PinLenRange):
            raise self._wrong_pin() from None
        except (exceptions.PinLocked, exceptions.PinExpired, exceptions.UserPinNotInitialized) as error:
            what, remedy = f"it lets nobody in: {type(error).__name__}", "Its security officer unlocks it."
            raise HumanNeeded("TokenLocked", what, subject=self.subject, remedy=remedy) from None
        except (exceptions.NoSuchKey, exceptions.MultipleObjectsReturned) as error:
            many = isinstance(error, exceptions.MultipleObjectsReturned)
            self._forget()
            what = f"it has {'several keys' if many else 'no key'} {self._place.label} of the kind that is looked for"
            raise HumanNeeded("NoKey", what, subject=self.subject) from None
        except (exceptions.MechanismInvalid, exceptions.KeyTypeInconsistent, exceptions.FunctionNotSupported,
                exceptions.DataLenRange, exceptions.KeySizeRange) as error:  # fmt: skip
            self._forget()
            what = f"it can't sign with its key {self._place.label} as its certificate says: {type(error).__name__}"
            raise HumanNeeded("OtherKey", what, subject=self.subject) from None
        except exceptions.PKCS11Error as error:
            self._forget()
            what = f"it doesn't answer: {type(error).__name__}"
            remedy = "Is it there, under this label? `pkcs11-tool --list-slots` shows which are."
            raise Transient("TokenAway", what, subject=self.subject, remedy=remedy) from None

    def _wrong_pin(self) -> HumanNeeded:
        what = f"it refuses the PIN in {self._place.pin}; this one isn't tried again"
        return HumanNeeded("WrongPin", what, subject=self.subject, remedy="Write the right one there: it locks itself.")


def _load(module: Path | None) -> Any:
    if module is None:
        remedy = "It is the library of the token, as /usr/lib/softhsm/libsofthsm2.so."
        raise HumanNeeded("BadSetting", "it isn't set", subject="PEERMESH_SIGNER_MODULE", remedy=remedy)
    try:
        import pkcs11
    except ImportError:
        remedy = "`pip install 'peermesh[pkcs11]'`"
        raise HumanNeeded("NoPkcs11", "python-pkcs11 isn't installed", subject="pkcs11", remedy=remedy) from None
    try:
        return pkcs11.lib(str(module))
    except (pkcs11.exceptions.PKCS11Error, RuntimeError) as error:
        what = f"it can't be loaded: {type(error).__name__} {error}"
        raise HumanNeeded("NoPkcs11", what, subject=str(module)) from None


def _key(public: object, sign: Sign, *, subject: str) -> AuthorityKey:
    if isinstance(public, ec.EllipticCurvePublicKey):
        return _EllipticCurveKey(public, sign)
    if isinstance(public, rsa.RSAPublicKey):
        return _RSAKey(public, sign)
    what = "its first certificate has neither a key on an elliptic curve of NIST nor an RSA key"
    raise HumanNeeded("UnsuitableKey", what, subject=subject)


def _ecdsa(sign: Sign, data: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    digest = hashes.Hash(algorithm)
    digest.update(data)
    raw = sign(digest.finalize(), "ECDSA")
    half = len(raw) // 2
    return encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))


def _rsa_mechanism(algorithm: object) -> str:
    if not isinstance(algorithm, hashes.SHA256 | hashes.SHA384 | hashes.SHA512):
        raise TypeError("CAs of a mesh sign with SHA-256, SHA-384 or SHA-512")
    return f"{algorithm.name.upper()}_RSA_PKCS"


class _Kept:
    """What both kinds of keys are: nothing of them can be had but signatures."""

    def __repr__(self) -> str:
        return "***"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> str:
        raise TypeError("a key isn't serialised")

    def private_numbers(self) -> NoReturn:
        raise TypeError("a key doesn't leave its token")

    def private_bytes(self, *_: object) -> NoReturn:
        raise TypeError("a key doesn't leave its token")


class _EllipticCurveKey(_Kept, ec.EllipticCurvePrivateKey):
    def __init__(self, public: ec.EllipticCurvePublicKey, sign: Sign) -> None:
        self._public, self._sign = public, sign

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public.curve

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    def exchange(self, *_: object) -> NoReturn:
        raise TypeError("it signs, and nothing else")

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        algorithm = signature_algorithm.algorithm
        if isinstance(algorithm, Prehashed):
            raise TypeError("it hashes what it signs")
        return _ecdsa(self._sign, bytes(data), algorithm)


class _RSAKey(_Kept, rsa.RSAPrivateKey):
    def __init__(self, public: rsa.RSAPublicKey, sign: Sign) -> None:
        self._public, self._sign = public, sign

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        return self._public

    def decrypt(self, *_: object) -> NoReturn:
        raise TypeError("it signs, and nothing else")

    def sign(self, data: Any, padding: object, algorithm: object) -> bytes:
        if not isinstance(padding, PKCS1v15):
            raise TypeError("certificates are signed with PKCS #1 v1.5")
        return self._sign(bytes(data), _rsa_mechanism(algorithm))


PKCS1v15: Final = padding.PKCS1v15
