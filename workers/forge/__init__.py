"""Forges: where people review proposals. A forge is a module and a row in `FORGES`.

Knows which there are. A forge knows `workers.outside` and its own API, and neither Git objects nor meshes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from workers.forge.git import GitForge
from workers.forge.gitea import GiteaForge
from workers.outside import ForgeFactory

FORGES: Final[Mapping[str, ForgeFactory]] = {
    "git": GitForge,
    "gitea": GiteaForge,
}
"""By `spec.approval.forge.type` of the Mesh document."""
