"""Who commits in these tests: somebody that this machine's configuration needn't know."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.calls import done, mesh_with_clusters, sources


@pytest.fixture(autouse=True)
def person(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the person's configuration of git."""
    return as_person(tmp_path_factory.mktemp("home"), monkeypatch)


@pytest.fixture(scope="session")
def meshes_of_the_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`mesh`: the demo's three clusters, of which nothing is known yet; `after`: with all that they export."""
    folder = tmp_path_factory.mktemp("meshes")
    with pytest.MonkeyPatch.context() as patch:
        as_person(folder, patch)
        mesh = mesh_with_clusters(folder / "mesh")
        done("plan", "--repo", mesh, *sources(), "--write", folder / "after")
    return folder


@pytest.fixture
def mesh(meshes_of_the_demo: Path, tmp_path: Path) -> Path:
    """A mesh of the demo's three clusters, of which nothing is known yet."""
    return Path(shutil.copytree(meshes_of_the_demo / "mesh", tmp_path / "mesh"))


@pytest.fixture
def after(meshes_of_the_demo: Path, tmp_path: Path) -> Path:
    """That mesh with all that the demo's clusters export, as `plan --write` leaves it."""
    return Path(shutil.copytree(meshes_of_the_demo / "after", tmp_path / "after"))


def as_person(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Git and `peermesh` are told of Ann, and of nothing else."""
    config = folder / "gitconfig"
    config.write_text("[user]\nname = Ann Example\nemail = ann@shop.example\n")
    patch.setenv("GIT_CONFIG_GLOBAL", str(config))
    patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    patch.delenv("PEERMESH_BROKER_URL", raising=False)
    return config
