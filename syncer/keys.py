"""The file that keeps the signing key: made once, read at every start.

Knows files. What is in them goes into no message.
"""

from __future__ import annotations

import base64
import os
import tempfile
from pathlib import Path

from syncer.protocol.errors import HumanNeeded
from syncer.protocol.signature import SigningKey


def signing_key(path: Path) -> SigningKey:
    """The key in a file (its 32 secret bytes in base64); a new one where there is no file, readable for its owner only.

    Raises:
        HumanNeeded: the file can't be read or made, or holds something else.
    """
    try:
        if not path.exists():
            _make(path)
        text = path.read_bytes()
    except OSError as error:
        remedy = "Name a file in a folder that this process may write."
        raise HumanNeeded(
            "NoKeyFile", f"the signing key: {error.strerror}", subject=str(path), remedy=remedy
        ) from error
    try:
        return SigningKey.from_seed(base64.b64decode(text.strip(), validate=True))
    except ValueError:
        remedy = "Take it from a backup; or remove it: a new key is made, which `peermesh cluster trust` must trust."
        # Without the cause: it could quote what is in the file.
        raise HumanNeeded("BadKeyFile", "it doesn't hold a signing key", subject=str(path), remedy=remedy) from None


def _make(path: Path) -> None:
    """Whole or not at all; of two processes that start at once, the first one's key counts for both."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.") as file:  # made with mode 0600
        file.write(base64.b64encode(SigningKey.generate().seed()) + b"\n")
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)
        except FileExistsError:
            return
