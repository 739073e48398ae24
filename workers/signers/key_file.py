"""A signing key in an encrypted file (PKCS #8), its passphrase in another one.

Knows the two files and what is wrong with them. Quotes neither.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from syncer.protocol.certificates import Certificate, name_text, same_key
from syncer.protocol.errors import HumanNeeded, Rejected
from syncer.protocol.revocation import AuthorityKey
from syncer.protocol.secret import Secret
from workers.signers.place import Place, read_issuers, read_secret

_ENCRYPTED: Final = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
_PLAIN: Final = "PRIVATE KEY-----"


class KeyFile:
    """`workers.outside.Signer` over the files of a place, which are read once.

    Raises:
        HumanNeeded: what `workers.signers.place` finds wrong with the files; `NotEncrypted`, `NotAKey`,
            `WrongPassphrase`, `UnsuitableKey`, `OtherKey`: the key.
    """

    def __init__(self, place: Place) -> None:
        self.issuers: tuple[Certificate, ...] = read_issuers(place.issuers)
        self.key: AuthorityKey = read_key_file(place.key, place.passphrase)
        if not same_key(self.key.public_key(), self.issuers[0].public_key()):
            what = f"it isn't the key of {name_text(self.issuers[0].subject)}, the first certificate of {place.issuers}"
            raise HumanNeeded("OtherKey", what, subject=str(place.key), remedy="Name the key that belongs to it.")

    def check(self) -> None:
        """A key in memory can always sign."""


def read_key_file(file: Path | None, passphrase: Path | None) -> AuthorityKey:
    """The key of a file that is encrypted.

    Raises:
        HumanNeeded: as `KeyFile`.
    """
    text = read_secret(file, what="key", setting="PEERMESH_SIGNER_KEY_FILE")
    subject = str(file)
    if not text.reveal().startswith(_ENCRYPTED):
        if _PLAIN in text.reveal():
            what = "the key in it isn't encrypted as PKCS #8"
            remedy = "`openssl pkcs8 -topk8` encrypts it; then destroy what was written here."
            raise HumanNeeded("NotEncrypted", what, subject=subject, remedy=remedy)
        raise HumanNeeded("NotAKey", "there is no encrypted PKCS #8 key in it", subject=subject)
    word = read_secret(passphrase, what="passphrase", setting="PEERMESH_SIGNER_PASSPHRASE_FILE")
    return _suitable(_decrypted(text, word, subject, passphrase), subject)


def _decrypted(text: Secret, passphrase: Secret, subject: str, named: Path | None) -> object:
    try:
        return load_pem_private_key(text.reveal().encode() + b"\n", passphrase.reveal().encode())
    except ValueError as error:
        # What OpenSSL says of a wrong passphrase, and says of nothing else; its text holds none of either file.
        if "password" in str(error).lower() or "decrypt" in str(error).lower():
            what = f"the passphrase in {named} doesn't open it"
            raise HumanNeeded("WrongPassphrase", what, subject=subject) from None
        raise HumanNeeded("NotAKey", "what is encrypted in it can't be read", subject=subject) from None
    except (TypeError, UnsupportedAlgorithm):
        raise HumanNeeded("NotAKey", "what is encrypted in it isn't a key of a known kind", subject=subject) from None


def _suitable(key: object, subject: str) -> AuthorityKey:
    if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        return key
    what = "it is neither a key on an elliptic curve of NIST nor an RSA key"
    raise HumanNeeded("UnsuitableKey", what, subject=subject, remedy="Envoy and istiod know no others well.")


def write_key_file(key: AuthorityKey, file: Path, passphrase: Secret) -> None:
    """Write a new encrypted key that only its owner may read.

    Raises:
        Rejected: `InRepository`: the file would lie in a Git work tree; `Exists`; `NoFolder`; `WeakPassphrase`.
    """
    check_key_file(file)
    if len(passphrase.reveal()) < _SHORTEST:
        what = f"the passphrase has fewer than {_SHORTEST} characters"
        raise Rejected("WeakPassphrase", what, subject=str(file), remedy="`openssl rand -base64 32` makes a good one.")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.reveal().encode()))
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, stat.S_IRUSR | stat.S_IWUSR)
    with os.fdopen(descriptor, "wb") as written:
        written.write(pem)
        written.flush()
        os.fsync(descriptor)
    # Its name, too: what stands in Git for ever mustn't be of a key that a power failure took.
    folder = os.open(file.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


_SHORTEST: Final = 12


def check_key_file(file: Path) -> None:
    """Whether a key may be written there.

    Raises:
        Rejected: `InRepository`, `Exists`, `NoFolder`.
    """
    folder = file.absolute().parent
    if file.exists() or file.is_symlink():
        raise Rejected("Exists", "it is there already", subject=str(file), remedy="Name a file that isn't.")
    if not folder.is_dir():
        raise Rejected("NoFolder", "its folder isn't there", subject=str(file), remedy=f"`mkdir -m 700 {folder}`")
    if any((above / ".git").exists() for above in (folder.resolve(), *folder.resolve().parents)):
        what = "it would lie in the work tree of a Git repository"
        remedy = "Name a file outside of it: what is committed can't be taken back."
        raise Rejected("InRepository", what, subject=str(file), remedy=remedy)
