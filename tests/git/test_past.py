"""What main had below a folder before: for people who ask since when something is so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from tests.git.acts import CART, CONTENT, NOW, PERSON, TILL, commit_on_branch, commit_on_main, propose
from workers.git import GitRepository
from workers.git.copy import DEPTH

Client = Callable[..., GitRepository]
MERGED = NOW + timedelta(hours=1)


def test_each_change_of_main_is_told_newest_first_with_what_stood_there_before(remote: Path, client: Client) -> None:
    person, reader = client(str(remote), PERSON), client(str(remote))
    commit_on_main(person, {CART: b"2\n", TILL: b"1\n"})
    commit_on_main(person, {"mesh/mesh.yaml": b"kind: Mesh # 2\n"})
    commit_on_main(person, {CART: None})
    reader.fetch()
    before = [{CART: b"2\n"}, {CART: CONTENT[CART], TILL: None}]
    assert [(MERGED, each) for each in before] == list(reader.past("facts"))
    assert [{"mesh/mesh.yaml": CONTENT["mesh/mesh.yaml"]}] == [each for _, each in reader.past("mesh")]
    assert () == reader.past("pki")


def test_a_merge_counts_once_and_when_it_was_merged(remote: Path, client: Client) -> None:
    person, reader = client(str(remote), PERSON), client(str(remote))
    propose(client(str(remote)), {CART: b"2\n"})
    head = commit_on_branch(person, {CART: b"3\n"})
    commit_on_main(person, {CART: b"3\n"}, other=head)
    reader.fetch()
    assert ((MERGED, {CART: CONTENT[CART]}),) == reader.past("facts")


def test_a_copy_that_does_not_reach_back_tells_what_it_has(remote: Path, client: Client, wired) -> None:
    person, served = client(str(remote), PERSON), wired("http")
    reader = client(served.url("mesh.git"), access=served.access)
    for number in range(DEPTH + 2):
        commit_on_main(person, {CART: b"%d\n" % number})
    reader.fetch()
    newest = [{CART: b"%d\n" % number} for number in reversed(range(1, DEPTH + 1))]
    assert newest[: DEPTH - 1] == [before for _, before in reader.past("facts")]
