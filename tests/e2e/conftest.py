"""What end-to-end tests share: two clusters with Istio's kinds, for tests that don't kill them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.kubernetes import Cluster, clusters, install_crds


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Cluster]]:
    """West and east. They are shared: use namespaces of your own, and take back what has none."""
    with clusters(tmp_path_factory.mktemp("clusters"), "west", "east") as (west, east):
        install_crds(west)
        install_crds(east, service_export="v1alpha1")
        yield west, east
