"""What a cluster holds, against what main commits for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import yaml
from hypothesis import given
from msgspec import UNSET

from syncer.protocol.observation import Observation
from tests.random_meshes import trees
from workers.applied import Applied, applied, committed
from workers.reach import reach
from workers.render import render
from workers.tree import BlobId, FilesInMemory

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
CART = "ServiceEntry/peermesh-imports/cart.shop"
RULE = "DestinationRule/peermesh-imports/cart.shop"
SHOP = "Gateway/istio-eastwest/peermesh-shop"
WANTED = {"imports": {CART: "c1", RULE: "c2"}, "gateway": {SHOP: "c3"}}
ALL = {CART: "c1", RULE: "c2", SHOP: "c3"}
LIVE = {"kubernetes.version": "v1.37.2"}


def test_equal_digests_are_applied_whatever_else_is_said():
    found = stands(ALL, {"unit/imports": "main@sha1:ab progressing: waiting"})
    assert ("applied", None) == (found.state, found.since)
    assert ["gateway", "imports"] == [unit.name for unit in found.units]


def test_each_difference_is_named_in_its_unit_and_the_others_are_applied():
    found = stands({CART: "old", "ServiceEntry/peermesh-imports/gone.shop": "d", SHOP: "c3"})
    gateway, imports = found.units
    assert ("stale", NOON) == (found.state, found.since)
    assert "applied" == gateway.state
    assert ("stale", (RULE,), (CART,)) == (imports.state, imports.missing, imports.outdated)
    assert ("ServiceEntry/peermesh-imports/gone.shop",) == imports.left


def test_what_the_reconciler_says_of_a_unit_is_told_with_the_commit_that_it_applied():
    failed = "dry-run failed: spec.bogus: field not declared in schema"
    found = stands(
        {SHOP: "c3"}, {"unit/imports": f"main@sha1:ab failed: {failed}", "unit/gateway": "main@sha1:cd ready"}
    )
    gateway, imports = found.units
    assert "failed" == found.state
    assert ("failed", failed, "main@sha1:ab") == (imports.state, imports.message, imports.revision)
    assert ("applied", "main@sha1:cd") == (gateway.state, gateway.revision)


def test_a_unit_that_fails_over_objects_of_which_none_is_ours_is_told_too():
    assert "failed" == stands(ALL, {"unit/imports": " failed: build failed"}).state


def test_what_was_heard_before_main_changed_says_nothing_of_since_when():
    found = stands({}, at=NOON - timedelta(seconds=1))
    assert ("stale", None) == (found.state, found.since)


def test_objects_of_a_unit_of_which_nothing_is_committed_any_more_are_left():
    found = applied({}, observation(ALL), NOON)
    assert [("gateway", (SHOP,)), ("imports", (RULE, CART))] == [(unit.name, unit.left) for unit in found.units]


@pytest.mark.parametrize(
    "heard",
    [None, "unset", "folder"],
    ids=["nothing was heard", "the syncer doesn't say", "a folder of manifests holds nothing of ours"],
)
def test_what_is_not_known_is_not_stale(heard):
    said = {"unset": observation(UNSET), "folder": observation({}, UNSET)}.get(heard)
    assert Applied(state="unknown") == applied(WANTED, said, NOON)


def test_a_cluster_that_holds_nothing_yet_is_stale_if_it_was_asked():
    assert "stale" == applied(WANTED, observation({}), NOON).state


def test_nothing_committed_and_nothing_there_is_applied():
    assert "applied" == applied({}, observation({}), NOON).state


def test_equal_files_are_read_once():
    files = Counting(FILES)
    known: dict[BlobId, tuple[tuple[str, str], ...]] = {}
    first = committed(files, known)
    assert {"west": {"imports": {CART: "0a"}}, "east": {"imports": {CART: "0a"}, "policy/shop": {CART: "0a"}}} == first
    assert (1, first) == (files.reads, committed(files, known))


@given(trees())
def test_what_is_read_of_a_rendered_file_is_what_yaml_says(tree):
    rendered = {path: file for path, file in render(tree, reach(tree)).items() if file is not None}
    expected: dict[str, dict[str, dict[str, str]]] = {}
    for path, file in rendered.items():
        _, cluster, unit, _ = path.split("/", 3)
        for content in yaml.safe_load_all(file.data):
            metadata = content["metadata"]
            name = f"{content['kind']}/{metadata['namespace']}/{metadata['name']}"
            expected.setdefault(cluster, {}).setdefault(unit, {})[name] = metadata["annotations"]["peermesh.io/digest"]
    assert expected == committed(FilesInMemory({path: file.data for path, file in rendered.items()}), {})


def observation(there, settings=None, at: datetime = NOON) -> Observation:
    return Observation(
        mesh="acme",
        cluster="west",
        sequence=1,
        observed_at=at,
        sources=(),
        offers=(),
        applied=there,
        settings=LIVE | (settings or {}) if settings is not UNSET else UNSET,
    )


def stands(there, settings=None, at: datetime = NOON) -> Applied:
    return applied(WANTED, observation(there, settings, at), NOON)


class Counting(FilesInMemory):
    reads = 0

    def read(self, path: str) -> bytes:
        self.reads += 1
        return super().read(path)


_ENTRY = b"""\
kind: ServiceEntry
metadata:
  name: cart.shop
  namespace: peermesh-imports
  labels:
    app.kubernetes.io/managed-by: peermesh
  annotations:
    peermesh.io/digest: "0a"
"""
FILES = {
    "clusters/west/imports/shop/cart.yaml": _ENTRY,
    "clusters/west/imports/README.md": b"kept",
    "clusters/west/flux-system/sync.yaml": b"kind: Kustomization\n",
    "clusters/east/imports/shop/cart.yaml": _ENTRY,
    "clusters/east/policy/shop/cart.yaml": _ENTRY,
}
