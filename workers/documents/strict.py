"""What all documents are made of: the strict struct, and the values that more than one kind holds.

Knows shapes only.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

API_VERSION: Final = "peermesh.io/v1alpha1"
Version = Literal["peermesh.io/v1alpha1"]

Label = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", title="a DNS label (RFC 1123)")]
PublicKey = Annotated[str, Meta(pattern=r"^ed25519:[A-Za-z0-9+/]{43}=$", title="`ed25519:` and a public key in base64")]
Fingerprint = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}$", title="`sha256:` and 64 hexadecimal digits")]
Duration = Annotated[str, Meta(pattern=r"^(0|[1-9][0-9]{0,5})[smhd]$", title="a time like 30s, 2m, 24h or 90d")]


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """Immutable; an unknown key is an error; defaults aren't written."""


class Name(Strict, frozen=True, kw_only=True):
    """What a document is called."""

    name: Label
