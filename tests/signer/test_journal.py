"""What the journal was told is on the disk when it returns, and what it can't do it says."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from syncer.protocol.errors import HumanNeeded
from workers.journal import FolderJournal
from workers.outside import Signed

ENTRY = Signed(cluster="west", rotation=7, root="a", key_fingerprint="sha256:00", document=b"kind: Intermediate\n")


def test_it_finds_what_it_kept_also_after_a_restart(tmp_path):
    FolderJournal(tmp_path / "deep" / "journal").keep(ENTRY)
    journal = FolderJournal(tmp_path / "deep" / "journal")
    assert ENTRY == journal.find("west", 7)
    assert [None, None] == [journal.find("west", 8), journal.find("east", 7)]


def test_names_of_clusters_and_numbers_are_never_mixed_up(tmp_path):
    journal = FolderJournal(tmp_path)
    pairs = [("west", 1), ("west-1", 1), ("west", 11), ("west-1", 11)]
    others = [replace(ENTRY, cluster=name, rotation=number) for name, number in pairs]
    for one in others:
        journal.keep(one)
    assert others == [journal.find(one.cluster, one.rotation) for one in others]


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """A file that is there is whole; and its folder was written, too, before anybody is told."""
    done: list[str] = []
    fsync, link = os.fsync, os.link

    def synced(descriptor: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")  # noqa: PTH112
        fsync(descriptor)

    def named(*arguments: Path) -> None:
        done.append("name")
        link(*arguments)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "link", named)
    FolderJournal(tmp_path).keep(ENTRY)
    assert ["file", "name", "folder"] == done
    assert ["west.7.json"] == [file.name for file in tmp_path.iterdir()]


def test_what_was_half_written_counts_for_nothing(tmp_path):
    (tmp_path / "west.7.unfinished").write_text("{")
    journal = FolderJournal(tmp_path)
    assert None is journal.find("west", 7)
    journal.keep(ENTRY)
    assert ENTRY == journal.find("west", 7)


def test_an_entry_is_never_replaced(tmp_path):
    journal = FolderJournal(tmp_path)
    journal.keep(ENTRY)
    with pytest.raises(HumanNeeded) as error:
        journal.keep(replace(ENTRY, root="b"))
    assert "NoJournal" == error.value.reason
    assert ENTRY == journal.find("west", 7)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[]", b'{"cluster": "west"}'])
def test_an_entry_that_cannot_be_read_is_not_as_good_as_none(tmp_path, data):
    (tmp_path / "west.7.json").write_bytes(data)
    with pytest.raises(HumanNeeded) as error:
        FolderJournal(tmp_path).find("west", 7)
    assert "BadJournal" == error.value.reason


def test_an_entry_under_the_name_of_another_is_refused(tmp_path):
    FolderJournal(tmp_path).keep(ENTRY)
    (tmp_path / "west.7.json").rename(tmp_path / "west.8.json")
    with pytest.raises(HumanNeeded) as error:
        FolderJournal(tmp_path).find("west", 8)
    assert "BadJournal" == error.value.reason


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(HumanNeeded) as error:
        FolderJournal(tmp_path / "file" / "journal")
    assert ("NoJournal", True) == (error.value.reason, "file/journal" in error.value.subject)
