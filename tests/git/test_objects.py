"""Trees replaced in part equal trees made whole by libgit2, and what they don't name is carried over by its id."""

from __future__ import annotations

from collections.abc import Mapping

import pygit2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pygit2.enums import FileMode

from tests.git.acts import NOW, ROBOT
from workers.git.address import parse_address
from workers.git.copy import Copy
from workers.git.files import TreeFiles
from workers.git.objects import Objects
from workers.tree import FilesInMemory, apply, blob_id

NAMES = st.sampled_from(["a", "b", "a.yaml", "a-b", "B", "é", "a0"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
CONTENTS = st.sampled_from([b"", b"1\n", b"2\n", b"\0\xff"])


def settled(content: Mapping[str, bytes]) -> dict[str, bytes]:
    """Without files that stand where another path needs a folder."""
    return {path: data for path, data in content.items() if not any(other.startswith(f"{path}/") for other in content)}


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """Objects of a copy that nothing was fetched into."""
    folder = tmp_path_factory.mktemp("objects") / "copy"
    return Objects(Copy(folder, parse_address("file:///nowhere"), seconds=20))


@pytest.fixture
def repo(objects):
    return objects.copy.repo


def whole(repo, content) -> bytes:
    """The tree as libgit2 makes it."""
    index = pygit2.Index()
    for path, data in content.items():
        index.add(pygit2.IndexEntry(path, repo.create_blob(data), FileMode.BLOB))
    return bytes(index.write_tree(repo).raw)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.dictionaries(PATHS, CONTENTS, max_size=8).map(settled),
    changes=st.dictionaries(PATHS, st.none() | CONTENTS, max_size=6),
)
def test_a_tree_replaced_in_part_is_the_tree_made_whole(objects, before, changes):
    after = apply(before, changes)
    changes = {path: data for path, data in changes.items() if data is None or path in settled(after)}
    after = apply(before, changes)
    if after != settled(after):
        return
    repo = objects.copy.repo
    old = whole(repo, before)
    blobs = {path: None if data is None else objects.file(data) for path, data in changes.items()}
    new = objects.replaced(old, blobs)
    assert whole(repo, after) == new
    assert list(FilesInMemory(after).under("")) == list(TreeFiles(objects, new).under(""))
    changed = {
        path: (_blob(before.get(path)), _blob(after.get(path)))
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    }
    assert changed == objects.changes(old, new)
    assert [*changed] == [*objects.changes(old, new)]


def _blob(data):
    return None if data is None else blob_id(data)


def test_links_programs_and_submodules_are_carried_over_and_shown(objects, repo):
    index = pygit2.Index()
    for path, mode in (("a/link", FileMode.LINK), ("a/run", FileMode.BLOB_EXECUTABLE), ("a/x.yaml", FileMode.BLOB)):
        index.add(pygit2.IndexEntry(path, repo.create_blob(path.encode()), mode))
    index.add(pygit2.IndexEntry("a/sub", pygit2.Oid(hex="12" * 20), FileMode.COMMIT))
    old = bytes(index.write_tree(repo).raw)
    new = objects.replaced(old, {"a/x.yaml": objects.file(b"new\n"), "a/link": objects.file(b"no longer one\n")})
    modes = {name: entry.mode for name, entry in objects.entries(objects.entries(new)[b"a"].id).items()}
    assert {b"link": b"100644", b"run": b"100755", b"x.yaml": b"100644", b"sub": b"160000"} == modes
    files = TreeFiles(objects, old)
    assert ["a/link", "a/run", "a/sub", "a/x.yaml"] == [path for path, _ in files.under("a/")]
    assert (b"a/link", b"Subproject commit " + b"12" * 20 + b"\n") == (files.read("a/link"), files.read("a/sub"))
    assert ["a/run"] == [path for path in ("a/run", "a/sub", "a") if list(objects.blobs(old, [path]))]


def test_names_that_are_not_text_are_carried_over_and_shown(objects):
    blob = objects.file(b"x\n")
    raw = b"100644 \xff\xfe.yaml\0" + bytes.fromhex(blob)
    old = bytes.fromhex(objects._write("tree", raw))
    new = objects.replaced(old, {"a.yaml": blob})
    assert ["\\xff\\xfe.yaml", "a.yaml"] == sorted(path for path, _ in TreeFiles(objects, new).under(""))
    assert b"\xff\xfe.yaml" in objects.entries(new)


def test_what_is_written_can_be_read_before_and_after_it_is_stored(objects, repo):
    tree = objects.replaced(None, {"facts/a.yaml": objects.file(b"a\n" * 500)})
    commit = objects.commit(tree, [], "Begin\n", author=ROBOT, when=NOW)
    for _ in range(2):
        assert (tree, b"a\n" * 500) == (objects.tree_of(commit), TreeFiles(objects, tree).read("facts/a.yaml"))
        objects.store()
    made = repo[str(commit)]
    assert ("Begin\n", *ROBOT, int(NOW.timestamp()), 0) == (
        made.message,
        made.author.name,
        made.author.email,
        made.commit_time,
        made.commit_time_offset,
    )


def test_an_author_can_not_forge_a_line_of_the_commit(objects, repo):
    tree = objects.replaced(None, {})
    author = ("A <b>\nparent 1234", "x@y>\n")
    commit = objects.commit(tree, [], "m\n", author=author, when=NOW)
    objects.store()
    assert ([], "A bparent 1234", "x@y") == (
        list(repo[str(commit)].parent_ids),
        repo[str(commit)].author.name,
        repo[str(commit)].author.email,
    )
