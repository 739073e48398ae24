"""What holds for the rendering of every mesh: a part is part of the whole, order is nothing, lint finds nothing."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tests.meshes import files_of
from tests.random_meshes import changed, shuffled, trees
from workers.documents import paths
from workers.documents.writing import dump
from workers.reach import reach
from workers.render import Memo, Only, Rendered, render
from workers.render.lint import lint
from workers.tree import FilesInMemory, Tree, read_tree


def whole(tree: Tree, memo: Memo | None = None) -> dict[str, Rendered]:
    files = render(tree, reach(tree), memo=memo)
    return {path: file for path, file in files.items() if file is not None}


@given(trees())
def test_random_meshes_are_read_as_they_were_made(tree: Tree):
    assert (tree, ()) == read_tree(FilesInMemory(files_of(tree)))


@given(st.data())
def test_rendering_what_differs_in_reach_over_the_old_rendering_equals_rendering_everything(data: st.DataObject):
    old = data.draw(trees(clusters=4))
    new, _, clusters = data.draw(changed(old))
    memo = Memo(limit=data.draw(st.sampled_from((1, 100))))
    before, was, now = whole(old, memo), reach(old), reach(new)
    differing = [name for name in was.keys() | now.keys() if was.get(name) != now.get(name)]
    services = frozenset(hosts[name].key for hosts in (was, now) for name in differing if name in hosts)
    part = render(new, now, Only(services=services, gateways=clusters), memo)
    merged = {path: file for path, file in sorted((before | part).items()) if file is not None}
    assert whole(new) == merged


@given(st.data())
def test_a_part_is_exactly_the_files_of_its_services_and_clusters(data: st.DataObject):
    tree = data.draw(trees())
    keys = sorted(tree.facts.exports)
    services = frozenset(data.draw(st.lists(st.sampled_from(keys), unique=True))) if keys else frozenset()
    gateways = frozenset(data.draw(st.lists(st.sampled_from(list(tree.clusters)), unique=True)))
    expected = {paths.import_path(cluster, key) for cluster in tree.clusters for key in services}
    expected |= {paths.gateway_path(cluster, key.namespace) for cluster in tree.clusters for key in services}
    expected |= {paths.gateway_path(cluster, key.namespace) for cluster in gateways for key in tree.facts.hosts}
    part = render(tree, reach(tree), Only(services=services, gateways=gateways))
    full = whole(tree)
    assert sorted(expected) == list(part)
    assert {path: full.get(path) for path in expected} == part


@given(trees(), st.randoms(use_true_random=False))
def test_the_order_in_which_documents_are_read_changes_no_byte(tree: Tree, random: Random):
    assert list(whole(tree).items()) == list(whole(shuffled(tree, random)).items())


@given(trees())
def test_what_is_written_is_what_is_shown(tree: Tree):
    files = whole(tree)
    assert {path: dump(file.objects) for path, file in files.items()} == {p: file.data for p, file in files.items()}


@given(trees())
def test_lint_finds_nothing_in_what_is_rendered(tree: Tree):
    assert () == lint(tree, reach(tree), whole(tree), whole=True)


@given(st.data())
def test_lint_finds_nothing_in_a_part_of_what_is_rendered(data: st.DataObject):
    old = data.draw(trees())
    new, services, clusters = data.draw(changed(old))
    assert () == lint(new, reach(new), render(new, reach(new), Only(services=services, gateways=clusters)))


@given(trees())
def test_whoever_reach_says_can_call_has_an_import_and_nobody_else(tree: Tree):
    imported = {path for path in whole(tree) if "/imports/" in path}
    callable_ = {paths.import_path(caller, host.key) for host in reach(tree).values() for caller in host.callers()}
    assert callable_ == imported
