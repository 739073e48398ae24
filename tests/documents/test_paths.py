"""What peermesh invents as paths: one for each name, and none that somebody else takes for something of theirs."""

from __future__ import annotations

import pytest

from syncer.protocol.names import ServiceKey
from workers.documents import paths


@pytest.mark.parametrize("name", ["cart", "kustomization", "kustomizations", "a-b", "cloudbuild"])
def test_a_rendered_file_says_whose_it_is(name):
    imported = paths.import_path("west", ServiceKey("shop", name))  # type: ignore[arg-type]
    assert (name, "shop") == (paths.name_in(imported.rpartition("/")[2]), paths.namespace_of(imported))
    assert name == paths.namespace_of(paths.gateway_path("west", name))
    assert paths.is_rendered(imported)


def test_no_rendered_file_is_one_that_kustomize_takes_for_instructions():
    key = ServiceKey("kustomization", "kustomization")  # type: ignore[arg-type]
    files = (paths.import_path("west", key), paths.gateway_path("west", "kustomization"))
    assert not {"kustomization.yaml", "kustomization.yml", "Kustomization"} & {
        path.rpartition("/")[2] for path in files
    }
