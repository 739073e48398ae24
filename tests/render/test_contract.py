"""What every renderer keeps, run over each row of RENDERERS: a new kind passes it and needs a golden case."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable

import pytest

from syncer.protocol.labels import DIGEST, MANAGED_BY, MANAGER, SOURCE
from syncer.protocol.trust import AGENT_NAMESPACE
from tests.meshes import files_of
from tests.render.cases import CASES, given
from workers.documents import kinds
from workers.documents.paths import IMPORTS_NAMESPACE
from workers.reach import reach
from workers.render import RENDERERS, RENDERINGS
from workers.render.authority import authorities
from workers.render.metadata import Object, digest
from workers.render.view import View, Views, gateways, imports
from workers.tree import Tree

TREES = [given(case) for case in CASES]
OTHERS = {"cacerts": {("v1", "ConfigMap"), ("bitnami.com/v1alpha1", "SealedSecret")}}
"""What isn't Istio's."""


def views(tree: Tree, kind: str) -> list[View]:
    """All that the renderer of a kind is called with for a tree."""
    reached = reach(tree)
    places = [(cluster, key.namespace) for cluster in tree.clusters for key in tree.facts.exports]
    files = (*imports(tree, reached, tree.facts.exports), *gateways(tree, reached, places))
    found: dict[str, Views] = dict([*files, *authorities(tree, tree.clusters)])
    return [view for file in found.values() for view in file if isinstance(view, RENDERERS[kind].VIEW)]


def objects(kind: str) -> Iterable[tuple[Tree, Object]]:
    for tree in TREES:
        for view in views(tree, kind):
            for content in RENDERERS[kind].render(view):
                yield tree, content


@pytest.mark.parametrize("kind", RENDERERS)
class TestEveryRenderer:
    def test_makes_objects_of_its_kind_in_a_golden_case(self, kind: str):
        made = {(content["apiVersion"], content["kind"]) for _, content in objects(kind)}
        assert OTHERS.get(kind, {("networking.istio.io/v1", kind)}) == made

    def test_says_whose_an_object_is(self, kind: str):
        assert {MANAGER} == {content["metadata"]["labels"][MANAGED_BY] for _, content in objects(kind)}

    def test_signs_the_content_with_its_digest(self, kind: str):
        for _, content in objects(kind):
            assert digest(content) == content["metadata"]["annotations"][DIGEST]

    def test_names_a_source_that_stands_in_the_tree(self, kind: str):
        for tree, content in objects(kind):
            source = content["metadata"]["annotations"][SOURCE]
            assert any(path == source or path.startswith(source) for path in files_of(tree)), source

    def test_writes_only_where_the_robot_may_apply(self, kind: str):
        for tree, content in objects(kind):
            gateway_namespaces = {cluster.spec.gateway.namespace for cluster in tree.clusters.values()}
            own = {IMPORTS_NAMESPACE, AGENT_NAMESPACE, "istio-system"}
            assert content["metadata"]["namespace"] in {*own, *gateway_namespaces}

    def test_makes_the_same_of_the_same(self, kind: str):
        for tree in TREES:
            for one, other in zip(views(tree, kind), views(tree, kind), strict=True):
                assert hash(one) == hash(other)
                assert RENDERERS[kind].render(one) == RENDERERS[kind].render(other)


def test_every_rendering_that_a_mesh_may_ask_for_is_known():
    assert set(kinds.RENDERINGS) == set(RENDERINGS)


_ALL = """
import hashlib
from tests.render.cases import CASES, given
from workers.reach import reach
from workers.render import render
digest = hashlib.sha256()
for case in CASES:
    tree = given(case)
    for path, file in render(tree, reach(tree)).items():
        digest.update(path.encode() + file.data)
print(digest.hexdigest())
"""


def test_hash_seed_locale_and_time_zone_change_no_byte():
    worlds = (
        {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "UTC"},
        {"PYTHONHASHSEED": "2", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"},
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", _ALL], env={**os.environ, **world}, capture_output=True, text=True, check=True
        ).stdout
        for world in worlds
    }
    assert len(said) == 1
