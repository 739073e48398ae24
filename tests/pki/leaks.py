"""Where a private key would show: everything that is printed of an exception, and of those behind it."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric import ec

from syncer.protocol.revocation import AuthorityKey


def printed(error: BaseException) -> str:
    """Tracebacks, messages and arguments of an error and of whatever led to it, also what isn't shown."""
    return "\n".join(part for one in _behind(error) for part in (*traceback.format_exception(one), repr(one.args)))


def shows(text: str, secret: str) -> bool:
    """Whether some 16 characters of a line of the secret stand in the text."""
    lines = [line for line in secret.splitlines() if not line.startswith("-----")]
    return any(line[at : at + 16] in text for line in lines for at in range(max(1, len(line) - 15)))


def spellings(key: AuthorityKey) -> tuple[str, ...]:
    """The secret number of a key on a curve as it may stand in a text: decimal, hex, and inside of base64."""
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    number = key.private_numbers().private_value
    raw = number.to_bytes(key.key_size // 8, "big")
    inside = (base64.b64encode(bytes(shift) + raw).decode()[4:-4] for shift in range(3))
    return (str(number), raw.hex(), raw.hex().upper(), *inside)


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
