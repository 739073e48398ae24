"""What a CA agent pushes: honest requests, and hostile ones with the reason for which the border refuses them."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from syncer.protocol.message import SIGN_REQUEST, arguments
from syncer.protocol.request import SIGN_REQUEST_PURPOSE, SignRequest, make_csr, pack
from syncer.protocol.signature import OBSERVATION, SigningKey
from tests.border.messages import AGENT, EAST, WEST, message, microseconds


@cache
def csr(rotation: int) -> str:
    return make_csr(ec.generate_private_key(ec.SECP256R1()), mesh="acme", cluster="west", rotation=rotation)


def request(now: datetime, **changes: Any) -> SignRequest:
    """West asks for its second intermediate at `now`."""
    honest = SignRequest(
        mesh="acme",
        cluster="west",
        sequence=microseconds(now),
        requested_at=now,
        rotation=2,
        reason="renewal",
        csr=csr(2),
    )
    return msgspec.structs.replace(honest, **changes)


def signed(packed: bytes, *, key: SigningKey = AGENT, purpose: str = SIGN_REQUEST_PURPOSE) -> tuple[str, str, str]:
    return arguments("west", packed, key.sign(purpose, "acme", "west", packed))


def request_args(now: datetime, **changes: Any) -> tuple[str, str, str]:
    return signed(pack(request(now, **changes)))


def request_message(now: datetime, **changes: Any) -> bytes:
    return message(request_args(now, **changes), headers={"task": SIGN_REQUEST})


NOT_BELIEVED: Mapping[str, tuple[str, Callable[[datetime], tuple[str, str, str]]]] = {
    "signed by the syncer": ("BadSignature", lambda now: signed(pack(request(now)), key=WEST)),
    "signed by another cluster": ("BadSignature", lambda now: signed(pack(request(now)), key=EAST)),
    "signed as an observation": ("BadSignature", lambda now: signed(pack(request(now)), purpose=OBSERVATION)),
    "too large": ("TooLarge", lambda _: signed(bytes(70_000))),
    "a zip bomb": ("TooLarge", lambda _: signed(gzip.compress(bytes(10 << 20), 9))),
    "not gzip": ("NotGzip", lambda _: signed(b"garbage{")),
    "no JSON in gzip": ("BadRequest", lambda _: signed(gzip.compress(b"garbage{"))),
    "an unknown format": ("UnknownFormat", lambda now: request_args(now, format=2)),
    "of another mesh": ("WrongCluster", lambda now: request_args(now, mesh="other")),
    "of another cluster": ("WrongCluster", lambda now: request_args(now, cluster="east")),
    "sixteen minutes old": ("TooOld", lambda now: request_args(now, requested_at=now - timedelta(minutes=16))),
    "six minutes ahead": ("ClockAhead", lambda now: request_args(now, requested_at=now + timedelta(minutes=6))),
    "a number far ahead": ("ClockAhead", lambda now: request_args(now, sequence=2**62)),
}
"""What is a message of the task, and isn't kept. What a request asks for is judged when it is planned."""
