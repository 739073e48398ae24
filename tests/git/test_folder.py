"""A plain folder as a tree, and what a person names with `--repo`."""

from __future__ import annotations

import subprocess

import pytest

from syncer.protocol.errors import Rejected
from tests.git.acts import CART, CONTENT, PERSON, commit_on_main
from workers.folder import read_folder, write_folder
from workers.git import identity, open_files, open_repository, remote_of
from workers.tree import FilesInMemory


@pytest.fixture
def folder(tmp_path):
    """A work tree with the content of main."""
    made = tmp_path / "work"
    write_folder(made, CONTENT)
    (made / ".git").mkdir()
    (made / ".git" / "config").write_text("")
    return made


def test_what_is_written_is_read_again(folder):
    assert CONTENT == read_folder(folder).content
    assert list(FilesInMemory(CONTENT).under("clusters/")) == list(read_folder(folder).under("clusters/"))


def test_a_removed_file_takes_emptied_folders_with_it(folder):
    write_folder(folder, {CART: None, "facts/none/x.yaml": None, "mesh/new/x.yaml": b"x\n"})
    assert not (folder / "facts/exports").exists()
    assert CONTENT.keys() - {CART} | {"mesh/new/x.yaml"} == read_folder(folder).content.keys()


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", ".git/config", "a//b", "", "a/./b"])
def test_nothing_is_written_outside_of_the_folder(folder, path):
    with pytest.raises(ValueError, match="isn't a path within"):
        write_folder(folder, {path: b"x"})


def test_links_are_neither_read_nor_written_through(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (folder / "clusters/west").symlink_to(tmp_path / "elsewhere")
    for act in (
        lambda: read_folder(folder),
        lambda: write_folder(folder, {"clusters/west/x.yaml": b"x"}),
        lambda: write_folder(folder, {"clusters/west": None}),
    ):
        with pytest.raises(Rejected, match=r"clusters/west: a symbolic link in a mesh repository"):
            act()
    assert [] == list((tmp_path / "elsewhere").iterdir())


def test_no_such_folder_is_said(tmp_path):
    with pytest.raises(Rejected, match="nowhere: no such folder"):
        read_folder(tmp_path / "nowhere")


# --- what a person names


def test_a_folder_is_read_as_it_lies_there(folder):
    (folder / "mesh/mesh.yaml").write_bytes(b"not committed\n")
    with open_files(str(folder)) as files:
        assert b"not committed\n" == files.read("mesh/mesh.yaml")


def test_of_a_bare_repository_main_is_read(remote):
    for location in (str(remote), remote.as_uri()):
        with open_files(location) as files:
            assert CONTENT == {path: files.read(path) for path, _ in files.under("")}


def test_the_branches_of_a_checkout_are_at_its_origin(remote, tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(remote), str(clone)], check=True)
    assert str(remote) == remote_of(str(clone))
    with open_repository(str(clone), author=PERSON) as repository:
        commit_on_main(repository, {"mesh/mesh.yaml": b"kind: Mesh # 2\n"})
    with open_files(str(remote)) as files:
        assert b"kind: Mesh # 2\n" == files.read("mesh/mesh.yaml")


def test_a_folder_without_origin_a_bare_repository_and_a_url_are_meant_themselves(folder, remote):
    for location in (str(folder), str(remote), "https://git.example/mesh.git"):
        assert location == remote_of(location)


def test_the_origin_of_a_checkout_may_be_relative(remote, tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(remote), str(clone)], check=True)
    subprocess.run(["git", "-C", str(clone), "config", "remote.origin.url", "../mesh.git"], check=True)
    with open_repository(str(clone), author=PERSON) as repository:
        assert CONTENT[CART] == repository.fetch().files.read(CART)


def test_a_person_is_who_git_says(tmp_path, monkeypatch):
    with pytest.raises(Rejected, match="git doesn't know who you are"):
        identity()
    config = tmp_path / "gitconfig"
    config.write_text("[user]\n\tname = A person\n\temail = person@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    assert PERSON == identity()
    assert PERSON == identity(tmp_path)
