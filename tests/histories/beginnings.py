"""Where histories begin: each is the events that lead there. Clusters move in the order of their names."""

from __future__ import annotations

from typing import Final

_TWO: Final = ("east, west sign under a",)
_SOAK: Final = ("2 minutes pass", "2 minutes pass")


def _turn(name: str, rotation: int = 2) -> tuple[str, ...]:
    """A cluster gets its intermediate under the root that is wanted."""
    return (
        "people approve rollover",
        f"{name} asks for {rotation}: rollover",
        f"people approve request-{name}",
        f"the signer signs {name}",
        f"people approve certificate-{name}",
        f"{name} applies",
        *_SOAK,
    )


def _step(name: str) -> tuple[str, ...]:
    """A cluster gets another bundle."""
    return ("people approve rollover", f"{name} applies", *_SOAK)


_ORDERED: Final = (*_TWO, "people order root=b")
_EAST_TRUSTS: Final = (*_ORDERED, *_step("east"))
_BOTH_TRUST: Final = (*_EAST_TRUSTS, *_step("west"))
_EAST_SIGNS: Final = (*_BOTH_TRUST, *_turn("east"))
_BOTH_SIGN: Final = (*_EAST_SIGNS, *_turn("west"))
_EAST_DISTRUSTS: Final = (*_BOTH_SIGN, *_step("east"))

BEGINNINGS: Final = {
    "nobody has a certificate": (),
    "both sign under a": _TWO,
    "the rollover to b is ordered": _ORDERED,
    "east trusts a and b": _EAST_TRUSTS,
    "both trust a and b": _BOTH_TRUST,
    "east is to sign under b": (*_BOTH_TRUST, "people approve rollover"),
    "east signs under b": _EAST_SIGNS,
    "both sign under b": _BOTH_SIGN,
    "east distrusts a": _EAST_DISTRUSTS,
    "both are under b alone": (
        *_EAST_DISTRUSTS, *_step("west"), "people approve rollover", "people approve rollover", "east, west apply"
    ),
    "west signs under a root of its own": ("east signs under a", "west signs under old"),
}  # fmt: skip
