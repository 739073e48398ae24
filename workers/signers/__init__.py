"""Signers: what a signing key lies in, by the name that `PEERMESH_SIGNER` gives it.

A row is a class that opens `workers.outside.Signer` from what a `Place` names; all pass the contract of
`tests/signer/test_contract.py`. A key leaves no module of this package but as a value that signs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from workers.outside import Signer
from workers.signers.key_file import KeyFile
from workers.signers.pkcs11 import Token
from workers.signers.place import Place

__all__ = ["SIGNERS", "Place"]

SIGNERS: Final[Mapping[str, Callable[[Place], Signer]]] = {"key-file": KeyFile, "pkcs11": Token}
