"""What a process keeps between plans: it costs less, and says the same."""

from __future__ import annotations

import random

import pytest

from tests import meshes
from tests.core.worlds import classes_of, files_of, nothing_merges, planned
from workers.documents import paths
from workers.ground import Known, standing
from workers.series import all_but_held
from workers.tree import Changes, FilesInMemory, Tree, apply

CART = "clusters/east/imports/shop/cart.yaml"
STRAY = "clusters/east/imports/shop/gone.yaml"
README = "clusters/east/imports/README.md"


def tree() -> Tree:
    clusters = [meshes.cluster(name) for name in ("east", "west", "north")]
    exports = [meshes.export(f"shop/{name}", by) for name in ("cart", "till") for by in ("west", "north")]
    return meshes.tree_of(meshes.mesh(), *clusters, *exports)


def moved(files: FilesInMemory, changes: Changes) -> FilesInMemory:
    return FilesInMemory(apply(files.content, changes))


@pytest.mark.parametrize("path", [CART, STRAY])
def test_a_file_that_people_change_between_two_plans_is_mended(path):
    known, main = Known(), files_of(tree())
    assert {} == classes_of(planned(tree(), files=main, known=known))
    broken = moved(main, {path: b"kind: ServiceEntry # by hand\n"})
    mended = planned(tree(), files=broken, known=known).proposals[0].changes
    assert {path: main.content.get(path)} == mended


def test_a_file_that_is_still_wrong_is_proposed_again():
    known, main = Known(), files_of(tree())
    broken = moved(main, {CART: None})
    planned(tree(), files=broken, known=known)
    elsewhere = moved(broken, {README: b"Kept.\n"})
    again = planned(tree(), files=elsewhere, known=known)
    assert {CART: main.content[CART]} == again.proposals[0].changes
    assert {} == classes_of(planned(tree(), files=main, known=known))


def test_whatever_people_do_to_rendered_files_a_warm_process_plans_as_a_cold_one():
    chance, known, main = random.Random(1), Known(), files_of(tree())
    touched = sorted([*(path for path in main.content if path.startswith(paths.RENDERED)), STRAY, README])
    files = main
    for _ in range(60):
        path = chance.choice(touched)
        files = moved(files, {path: chance.choice([None, b"by hand\n", main.content.get(path)])})
        merges = chance.choice([nothing_merges, all_but_held])
        warm = planned(tree(), files=files, known=known, merges=merges)
        assert warm == planned(tree(), files=files, merges=merges)


class Counted(FilesInMemory):
    """Files that count how often all of them are read."""

    read_all = 0

    def under(self, prefix: str):
        self.read_all += 1
        return super().under(prefix)

    def since(self, older, prefix):
        assert prefix == paths.RENDERED
        return {CART: (older.blob(CART), self.blob(CART))}


def test_what_stands_on_main_is_read_once_and_then_only_what_differs():
    known, first = Known(), Counted(files_of(tree()).content)
    standing(first, known)
    second = Counted({**first.content, CART: b"by hand\n"})
    found = dict(standing(second, known))
    assert (1, 0) == (first.read_all, second.read_all)
    assert dict(standing(second, Known())) == found
