"""What end-to-end tests share: two clusters with Istio's kinds, for tests that don't kill them, and two meshes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.istio.authority import intermediate, root
from tests.e2e.istio.mesh import Meshes, meshes
from tests.e2e.kubernetes import Cluster, clusters, install_crds


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Cluster]]:
    """West and east. They are shared: use namespaces of your own, and take back what has none."""
    with clusters(tmp_path_factory.mktemp("clusters"), "west", "east") as (west, east):
        install_crds(west)
        install_crds(east, service_export="v1alpha1")
        yield west, east


@pytest.fixture(scope="session")
def _meshes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meshes]:
    folder = tmp_path_factory.mktemp("meshes")
    with meshes(folder / "run", "west", "east") as running:
        with running.fabric.inside():
            first = root("root-1")
            for mesh in running.all:
                mesh.change(signer=intermediate(f"{mesh.name}-1", first), bundle=[first])
            assert running.start()
            running.connect(folder / "joined")
        yield running


@pytest.fixture
def two_meshes(_meshes: Meshes) -> Iterator[Meshes]:
    """West and east as real meshes, each of which calls the other; under which root is left to the tests.

    They are shared. The test's thread is in their network: what it starts listens there.
    """
    with _meshes.fabric.inside():
        yield _meshes
        assert [] == [line for mesh in _meshes.all for line in mesh.istiod.rejected()]
