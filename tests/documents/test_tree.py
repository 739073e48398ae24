"""From files to a tree: what is read, what is left out, and what is read again."""

from __future__ import annotations

import pytest

from syncer.protocol.names import ServiceKey
from tests.documents.samples import (
    EAST_PATH,
    EXPORT,
    EXPORT_PATH,
    FILES,
    HOST,
    HOST_PATH,
    MESH,
    WEST_FACTS_PATH,
    WEST_PATH,
    with_files,
)
from workers.documents.kinds import Document
from workers.tree import BlobId, FilesInMemory, Problem, read_tree

REVIEWS = ServiceKey("bookinfo", "reviews")  # type: ignore[arg-type]


class Counted(FilesInMemory):
    """Files that remember what was read."""

    def __init__(self, content: dict[str, bytes]) -> None:
        super().__init__(content)
        self.reads: list[str] = []

    def read(self, path: str) -> bytes:
        self.reads.append(path)
        return super().read(path)


def test_a_valid_mesh_is_read_whole():
    tree, problems = read_tree(FilesInMemory(with_files({})))
    assert () == problems
    assert tree is not None
    assert "acme" == tree.mesh.metadata.name
    assert ["east", "west"] == list(tree.clusters)
    assert ["west"] == list(tree.facts.clusters)
    assert {REVIEWS: ["west"]} == {key: list(exports) for key, exports in tree.facts.exports.items()}
    assert [REVIEWS] == list(tree.facts.hosts)


def test_everything_is_sorted_by_name_which_paths_are_not():
    """`a-b/` comes before `a/`."""
    renamed = {
        path.replace("west", name): text.replace("west", name).replace("11qYAY", key)
        for path, text in FILES.items()
        for name, key in (("a", "11qYAY"), ("a-b", "12qYAY"))
        if "west" in path
    }
    host = HOST.replace("- west\n", "- a\n  - a-b\n")
    without = {WEST_PATH: None, WEST_FACTS_PATH: None, EXPORT_PATH: None}
    tree, problems = read_tree(FilesInMemory(with_files({**without, **renamed, HOST_PATH: host})))
    assert () == problems
    assert tree is not None
    assert ["a", "a-b", "east"] == list(tree.clusters)
    assert ["a", "a-b"] == list(tree.facts.clusters) == list(tree.facts.exports[REVIEWS])


def test_an_empty_folder_is_no_mesh():
    expected = Problem(
        path="mesh/mesh.yaml", line=0, what="missing", remedy="`peermesh init` writes a mesh repository."
    )
    assert (None, (expected,)) == read_tree(FilesInMemory({}))


def test_files_that_are_no_documents_are_ignored():
    others = {"mesh/README.md": "a: &a", "facts/.gitkeep": "", "CODEOWNERS": "*", "clusters/west/x.yaml": "- a"}
    assert read_tree(FilesInMemory(with_files({}))) == read_tree(FilesInMemory(with_files({**others})))


def test_a_file_is_read_once_as_long_as_it_doesnt_change():
    cache: dict[BlobId, Document] = {}
    first = Counted(with_files({}))
    tree, _ = read_tree(first, cache)
    second = Counted(with_files({EAST_PATH: first.content[EAST_PATH] + b"  locality: us\n"}))
    again, _ = read_tree(second, cache)
    assert sorted(first.content) == sorted(first.reads)
    assert [EAST_PATH] == second.reads
    assert tree is not None
    assert again is not None
    assert tree.facts.exports[REVIEWS]["west"] is again.facts.exports[REVIEWS]["west"]


def test_one_blob_at_two_paths_is_valid_at_one_of_them():
    copy = "facts/exports/bookinfo/east/reviews.yaml"
    caches: list[dict[BlobId, Document] | None] = [{}, None]
    for cache in caches:
        tree, problems = read_tree(FilesInMemory(with_files({copy: EXPORT})), cache)
        assert [copy] == [problem.path for problem in problems]
        assert tree is not None
        assert ["west"] == list(tree.facts.exports[REVIEWS])


def test_a_copied_blob_is_refused_from_a_warm_cache_too():
    cache: dict[BlobId, Document] = {}
    read_tree(FilesInMemory(with_files({})), cache)
    moved = {"mesh/clusters/north.yaml": with_files({})[WEST_PATH], WEST_PATH: None, WEST_FACTS_PATH: None}
    tree, problems = read_tree(FilesInMemory(with_files({**moved, EXPORT_PATH: None})), cache)
    assert tree is None
    assert ["`metadata.name` is west, but the path says north"] == [problem.what for problem in problems]


def test_a_bad_fact_is_left_out_and_the_rest_stays():
    tree, problems = read_tree(FilesInMemory(with_files({WEST_FACTS_PATH: "kind: {"})))
    assert [WEST_FACTS_PATH] == [problem.path for problem in problems]
    assert tree is not None
    assert {} == tree.facts.clusters
    assert [REVIEWS] == list(tree.facts.exports)


def test_facts_that_disagree_stay_in_the_tree_and_are_told():
    tree, problems = read_tree(FilesInMemory(with_files({HOST_PATH: None})))
    assert [HOST_PATH] == [problem.path for problem in problems]
    assert tree is not None
    assert [REVIEWS] == list(tree.facts.exports)


@pytest.mark.parametrize("path", [WEST_PATH, "mesh/mesh.yaml", HOST_PATH])
def test_a_file_that_cant_be_read_isnt_also_told_to_be_missing(path: str):
    _, problems = read_tree(FilesInMemory(with_files({path: "kind: {"})))
    assert [path] == [problem.path for problem in problems]


def test_problems_of_facts_are_told_beside_those_of_the_mesh():
    _, problems = read_tree(FilesInMemory(with_files({"mesh/mesh.yaml": MESH + "x: y\n", EXPORT_PATH: "kind: {"})))
    assert [EXPORT_PATH, "mesh/mesh.yaml"] == [problem.path for problem in problems]


def test_a_service_that_isnt_exported_any_more_keeps_its_host():
    tree, problems = read_tree(FilesInMemory(with_files({EXPORT_PATH: None})))
    assert () == problems
    assert tree is not None
    assert [REVIEWS] == list(tree.facts.hosts)
