"""Deliveries: how a cluster comes by its key, by the name that `spec.trust.delivery` gives it.

A row is a function from an approved request to the public key that is certified, with what goes along. It holds the
request against all that this way asks for first, so that a hostile one never meets the signer.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Protocol

from workers.deliveries import request, sealed_secrets
from workers.pki.approved import Approved, Brought


class Delivery(Protocol):
    """Raises Rejected: the request may not be signed, named by the rule."""

    def __call__(self, asked: Approved, now: datetime, /) -> Brought: ...


DELIVERIES: Final[Mapping[str, Delivery]] = {"request": request.bring, "sealed-secrets": sealed_secrets.bring}
