"""The place of the demo: three clusters as directories of manifests, their keys, and the mesh repository between them.

Knows how they are laid out in a folder, and the edits that the story makes. Starts nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from syncer.keys import signing_key
from workers.cli.checkout import run_git
from workers.cli.joining import add_cluster, trust_key
from workers.cli.template import write_template
from workers.documents.kinds import Cluster, ClusterSpec, NameAndLabels

MESH: Final = "shop"
CLUSTERS: Final = {"west": "eu-west-1", "east": "eu-east-1", "north": "eu-north-1"}
PERSON: Final = ("Demo", "demo@localhost.invalid")
_MANIFESTS: Final = Path(__file__).parent / "manifests"


@dataclass(frozen=True, kw_only=True)
class Site:
    """`checkout`: the mesh repository as a person has it; `remote`: where all meet."""

    folder: Path

    @property
    def checkout(self) -> Path:
        return self.folder / "mesh"

    @property
    def remote(self) -> Path:
        return self.folder / "mesh.git"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def manifests(self, cluster: str) -> Path:
        """The directory that stands for a cluster."""
        return self.folder / "manifests" / cluster

    def key_file(self, cluster: str) -> Path:
        return self.folder / "keys" / cluster

    # --- what happens to the manifests

    def edit(self, manifest: str, changes: Mapping[str, str]) -> None:
        """Change texts in `<cluster>/<file>`, in one step, as an editor does."""
        path = self.folder / "manifests" / manifest
        text = path.read_text()
        for old, new in changes.items():
            assert old in text, manifest
            text = text.replace(old, new)
        beside = path.with_suffix(".edited")  # no manifest by its name
        beside.write_text(text)
        beside.replace(path)

    def take_away(self, cluster: str, names: tuple[str, ...]) -> None:
        """Manifests vanish, as by a wrong directory in a pipeline of that cluster."""
        (self.folder / "away").mkdir()
        for name in names:
            (self.manifests(cluster) / f"{name}.yaml").replace(self.folder / "away" / f"{name}.yaml")

    def bring_back(self, cluster: str) -> None:
        """They are there again."""
        for path in sorted((self.folder / "away").iterdir()):
            path.replace(self.manifests(cluster) / path.name)


def build(folder: Path) -> Site:
    """Lay everything out: what `init`, `cluster add` and `cluster trust` do, committed and pushed."""
    site = Site(folder=folder)
    shutil.copytree(_MANIFESTS, folder / "manifests")
    (folder / "keys").mkdir(mode=0o700)
    write_template(site.checkout, MESH)
    for name, region in CLUSTERS.items():
        spec = ClusterSpec(network=name, trust_domain=f"{name}.shop.example", locality=region)
        add_cluster(site.checkout, Cluster(metadata=NameAndLabels(name=name), spec=spec), remote=site.remote.as_uri())
        trust_key(site.checkout, name, signing_key(site.key_file(name)).public)
    run_git(folder, "init", "--quiet", "--bare", "--initial-branch=main", site.remote.name)
    run_git(site.checkout, "init", "--quiet", "--initial-branch=main")
    for key, value in (("user.name", PERSON[0]), ("user.email", PERSON[1]), ("commit.gpgSign", "false")):
        run_git(site.checkout, "config", key, value)
    run_git(site.checkout, "add", "--all")
    run_git(site.checkout, "commit", "--quiet", "--message", f"Begin mesh {MESH} with {', '.join(CLUSTERS)}")
    run_git(site.checkout, "remote", "add", "origin", str(site.remote))
    run_git(site.checkout, "push", "--quiet", "--set-upstream", "origin", "main")
    return site
