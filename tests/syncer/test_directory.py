from __future__ import annotations

import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from syncer.cluster.directory import MAX_BYTES, DirectoryReader, read
from syncer.protocol.errors import Rejected
from tests.syncer.clusters import TICKETING
from tests.syncer.test_manifests import SERVICE

DEADLINE = 60.0


def write(folder: Path, path: str, text: str = SERVICE) -> Path:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def named(name: str) -> str:
    return SERVICE.replace("name: a", f"name: {name}")


def services(folder: Path) -> list[str]:
    return sorted(f"{one.metadata.namespace}/{one.metadata.name}" for one in read(folder, "shop").services)


def test_every_manifest_below_the_directory_is_read(tmp_path: Path) -> None:
    for path, name in {"a.yaml": "a", "deep/er/b.yml": "b", "c.json": "c"}.items():
        text = (
            named(name)
            if not path.endswith("json")
            else ('{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "c", "namespace": "bank"}}')
        )
        write(tmp_path, path, text)
    assert ["bank/c", "shop/a", "shop/b"] == services(tmp_path)


def test_what_editors_leave_and_what_isnt_a_manifest_is_ignored(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml")
    for path in (".b.yaml", ".git/c.yaml", ".a.yaml.swp", "a.yaml~", "#a.yaml#", "README.md", "d.yaml.orig"):
        write(tmp_path, path, "not: [closed")
    assert ["shop/a"] == services(tmp_path)


def test_a_mounted_configmap_is_read_once_through_its_links(tmp_path: Path) -> None:
    write(tmp_path, "..2026_11_24/a.yaml")
    (tmp_path / "..data").symlink_to("..2026_11_24")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    assert ["shop/a"] == services(tmp_path)


def test_links_to_files_and_folders_are_followed_and_nothing_is_read_twice(tmp_path: Path) -> None:
    write(tmp_path, "apps/a.yaml")
    write(tmp_path, "cluster/b.yaml", named("b"))
    (tmp_path / "cluster" / "again.yaml").symlink_to("b.yaml")
    (tmp_path / "cluster" / "apps").symlink_to("../apps")
    (tmp_path / "cluster" / "round").symlink_to(".")
    (tmp_path / "linked").symlink_to("cluster")
    assert ["shop/a", "shop/b"] == services(tmp_path / "linked")


def _two_files(folder: Path) -> None:
    write(folder, "a.yaml", f"# first\n{SERVICE}")
    write(folder, "b.yaml", f"{named('b')}---\n{SERVICE}")


def _fifo(folder: Path) -> None:
    os.mkfifo(folder / "a.yaml")


def _large(folder: Path) -> None:
    write(folder, "a.yaml")
    os.truncate(folder / "a.yaml", 100 * MAX_BYTES)


BAD: list[tuple[str, Callable[[Path], object], str]] = [
    (
        "the same object in two files",
        _two_files,
        "{0}/b.yaml:9: Service shop/a stands also in {0}/a.yaml:2. Keep one of the two.",
    ),
    (
        "a file a hundred times too large",
        _large,
        "{0}/a.yaml: 838860800 bytes; a manifest has at most 8388608. Split it, or take out what isn't a manifest.",
    ),
    ("a pipe", _fifo, "{0}/a.yaml: not a file. Remove it, or rename it."),
    (
        "a link to no file",
        lambda folder: (folder / "a.yaml").symlink_to("nowhere.yaml"),
        (
            "{0}/a.yaml: can't be read: No such file or directory. "
            "Make it readable, or remove it; a link must lead somewhere."
        ),
    ),
    (
        "a link to no folder",
        lambda folder: (folder / "apps").symlink_to("/nowhere/apps"),
        (
            "{0}/apps: can't be read: No such file or directory. "
            "Make it readable, or remove it; a link must lead somewhere."
        ),
    ),
    (
        "an empty directory",
        lambda _: None,
        (
            "{0}: no manifests, which isn't taken for `nothing`. "
            "If this cluster is to export nothing, leave one manifest in it, for example its Namespace."
        ),
    ),
    ("no directory", shutil.rmtree, "{0}: no such directory. Name one, or mount it."),
    (
        "one broken file among good ones",
        lambda folder: (write(folder, "a.yaml"), write(folder, "b.yaml", "kind: [")),
        (
            "{0}/b.yaml:2: not YAML: did not find expected node content. "
            "Look for a missing quote, bracket or indent, or a file that isn't written to its end."
        ),
    ),
]


@pytest.mark.parametrize(("make", "message"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_directory_is_read_whole_or_not_at_all(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    folder = tmp_path / "west"
    folder.mkdir()
    make(folder)
    with pytest.raises(Rejected) as error:
        read(folder, "shop")
    assert message.format(folder) == str(error.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cant_be_read_makes_the_reading_incomplete(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml")
    write(tmp_path, "closed/b.yaml").parent.chmod(0)
    with pytest.raises(Rejected, match="closed: can't be read: Permission denied"):
        read(tmp_path)


# --- watching


@contextmanager
def watched(folder: Path) -> Iterator[Callable[[], None]]:
    """Gives a function that returns when a change was noticed."""
    stop = threading.Event()
    noticed: queue.SimpleQueue[None] = queue.SimpleQueue()

    def watch() -> None:
        for _ in DirectoryReader(folder).changes(stop):
            noticed.put(None)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: noticed.get(timeout=DEADLINE)
    finally:
        stop.set()
        thread.join(DEADLINE)
    assert not thread.is_alive()


def replace_atomically(folder: Path) -> None:
    write(folder, ".new.yaml").rename(folder / "a.yaml")


def swap_data(folder: Path) -> None:
    write(folder, "..2/a.yaml", named("b"))
    (folder / "..data_tmp").symlink_to("..2")
    (folder / "..data_tmp").rename(folder / "..data")


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: write(folder, "a.yaml", named("b")),
        lambda folder: write(folder, "new/er/b.yaml"),
        lambda folder: (folder / "a.yaml").unlink(),
        lambda folder: (folder / "a.yaml").rename(folder / "c.yaml"),
        replace_atomically,
        swap_data,
    ],
    ids=["written", "made in a new folder", "removed", "renamed", "replaced", "mounted ConfigMap changed"],
)
def test_a_change_is_noticed(tmp_path: Path, change: Callable[[Path], object]) -> None:
    write(tmp_path, "a.yaml")
    with watched(tmp_path) as wait_for_change:
        wait_for_change()  # that it is watched
        change(tmp_path)
        wait_for_change()


def test_a_directory_that_is_removed_and_made_again_goes_on_being_watched(tmp_path: Path) -> None:
    folder = tmp_path / "west"
    write(folder, "a.yaml")
    with watched(folder) as wait_for_change:
        wait_for_change()
        shutil.rmtree(folder)
        wait_for_change()
        write(folder, "a.yaml")
        wait_for_change()
        while True:
            write(folder, "b.yaml", named("b"))
            wait_for_change()
            if services(folder) == ["shop/a", "shop/b"]:
                break


def test_a_link_that_leads_elsewhere_is_noticed(tmp_path: Path) -> None:
    write(tmp_path, "1/a.yaml")
    write(tmp_path, "2/a.yaml", named("b"))
    (tmp_path / "current").symlink_to("1")
    with watched(tmp_path / "current") as wait_for_change:
        wait_for_change()
        (tmp_path / "next").symlink_to("2")
        (tmp_path / "next").rename(tmp_path / "current")
        wait_for_change()
        assert ["shop/b"] == services(tmp_path / "current")


def test_the_reader_reads_what_the_function_reads() -> None:
    assert read(TICKETING, "ticketing") == DirectoryReader(TICKETING, "ticketing").read()
