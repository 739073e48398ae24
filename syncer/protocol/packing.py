"""Bytes as they cross the border: gzip, read within bounds, because what a cluster sends may be hostile.

Knows gzip. Knows nothing of what is in it.
"""

from __future__ import annotations

import zlib

from syncer.protocol.errors import Rejected


def unpacked(packed: bytes, *, what: str, most_packed: int, most: int) -> bytes:
    """What one gzip member holds. `what` it is ("an observation"); `most_packed` and `most`: bytes, before and after.

    Raises:
        Rejected: too large packed or unpacked, not gzip, something behind it.
    """
    if len(packed) > most_packed:
        raise Rejected("TooLarge", f"{what} of {len(packed)} bytes; at most {most_packed} are accepted")
    inflate = zlib.decompressobj(wbits=31)
    try:
        data = inflate.decompress(packed, most + 1)
    except zlib.error:
        raise Rejected("NotGzip", f"{what} that isn't gzip") from None
    if len(data) > most:
        raise Rejected("TooLarge", f"{what} that unpacks to more than {most} bytes")
    if not inflate.eof or inflate.unused_data:
        raise Rejected("NotGzip", f"{what} that isn't exactly one gzip member")
    return data
