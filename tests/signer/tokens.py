"""SoftHSM: a software token (Debian's `softhsm2`), as a hardware one behaves.

Its library reads the environment whenever it is initialised, which each login does: so each test has a token of its
own, and one at a time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pkcs11
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pkcs11 import Attribute, KeyType

from workers.signers import Place
from workers.signers.pkcs11 import make_key

LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "5678-of-the-token"


@dataclass(frozen=True, kw_only=True)
class SoftToken:
    """A token with nothing in it, and a file with its PIN."""

    label: str
    pin: Path

    def place(self, label: str, issuers: Path | None = None) -> Place:
        return Place(issuers=issuers, module=LIBRARY, token=self.label, label=label, pin=self.pin)

    def make(self, label: str, kind: str) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
        """A key in it (`P-256`, `P-384`, `RSA-2048`); its public half."""
        if not kind.startswith("RSA"):
            public = make_key(self.place(label), kind).public_key()
            assert isinstance(public, ec.EllipticCurvePublicKey)
            return public
        library = pkcs11.lib(str(LIBRARY))
        library.reinitialize()
        with library.get_token(token_label=self.label).open(rw=True, user_pin=PIN) as session:
            made, _ = session.generate_keypair(KeyType.RSA, int(kind[4:]), store=True, label=label)
            numbers = (int.from_bytes(made[name]) for name in (Attribute.PUBLIC_EXPONENT, Attribute.MODULUS))
            return rsa.RSAPublicNumbers(*numbers).public_key()


def new_token(folder: Path) -> SoftToken:
    """The token of a test, below its folder: moved away, `folder/tokens` is a token that was taken out."""
    (folder / "tokens").mkdir()
    (folder / "conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "conf")
    token = SoftToken(label="mesh", pin=folder / "pin")
    token.pin.write_text(f"{PIN}\n")
    token.pin.chmod(0o600)
    tool = shutil.which("softhsm2-util")
    if tool is None:
        pytest.skip("no softhsm2-util here (Debian package softhsm2)")
    command = [tool, "--init-token", "--free", "--label", token.label, "--so-pin", "12345678", "--pin", PIN]
    subprocess.run(command, check=True, capture_output=True)
    return token
