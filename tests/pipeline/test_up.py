"""`peermesh up` as a small site runs it: the whole job on one machine, and nothing left when it ends."""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.calls import done
from tests.cli.conftest import as_person
from tests.pipeline.directory import Directory, directory
from tests.servers.git_http import bare_repository
from workers.check import check
from workers.documents import paths
from workers.forge.git import approve
from workers.git import GitRepository
from workers.tree import change_digest

ENTRY = "clusters/east/imports/shop/cart.yaml"


class Site:
    """A machine of its own: a bare repository, two directories that stand for clusters, and a folder for state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkout = folder / "acme"
        self.bare = folder / "mesh.git"
        self.state = folder / "s"
        self.west, self.east = directory(folder / "west", "203.0.113.10"), directory(folder / "east", "203.0.113.20")
        self._log = folder / "log"
        self._log.touch()
        self._person = GitRepository(str(self.bare), copy=folder / "person", author=("A", "a@b.example"), people=True)

    def clusters(self) -> dict[str, Directory]:
        return {"west": self.west, "east": self.east}

    def found(self) -> None:
        """The mesh repository, made as README.md says."""
        done("init", self.checkout)
        for name in self.clusters():
            done("cluster", "add", name, "--repo", self.checkout, "--network", name, "--trust-domain", f"{name}.acme")
        bare_repository(self.bare)
        self.git("remote", "add", "origin", str(self.bare))
        self.push("Begin with clusters")

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", "-C", str(self.checkout), *arguments], check=True, capture_output=True)

    def push(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        self.git("push", "--quiet", "origin", "main")

    @contextmanager
    def up(self, *more: str) -> Iterator[subprocess.Popen[bytes]]:
        """Running; killed at the end if it still does, with all that it started."""
        arguments = [f"--cluster={name}={place.path}" for name, place in self.clusters().items()]
        command = [sys.executable, "-m", "workers.cli", "up", "--repo", str(self.bare), "--state", str(self.state)]
        environment = {**os.environ, "PEERMESH_QUIET": "0.1", "PEERMESH_HEARTBEAT": "2"}
        with self._log.open("ab") as log:
            running = subprocess.Popen([*command, *arguments, *more], stdout=log, stderr=log, env=environment)
        try:
            yield running
        except BaseException:
            sys.stderr.write(self.log())
            raise
        finally:
            running.kill()
            running.wait()
            for pid in self.left():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def log(self) -> str:
        return self._log.read_text()

    def said(self, pattern: str, after: int = 0) -> bool:
        """Whether a line was written, after so many characters."""
        return re.compile(pattern, re.MULTILINE).search(self.log(), after) is not None

    def observed(self, after: int = 0) -> bool:
        """Whether both syncers have read their directories, after so many characters."""
        return all(self.said(rf"^syncer {name} .* observed 0 exports", after) for name in self.clusters())

    def left(self) -> list[int]:
        """Processes that were told of the folder, or work in it."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it ended meanwhile, or isn't ours
                told = (path / "environ").read_bytes() + (path / "cmdline").read_bytes()
                if f"{self.folder}/".encode() in told and int(path.name) != os.getpid():
                    found.append(int(path.name))
        return found

    def keys(self) -> dict[str, str]:
        """What each syncer signs with, as `up` says it."""
        return dict(re.findall(r"^up +(\w+): directory \S+ signs with (\S+)$", self.log(), re.MULTILINE))

    def trust(self) -> None:
        for name, key in self.keys().items():
            done("cluster", "trust", name, key, "--repo", self.checkout)
        self.push("Trust the keys")

    def approve_all(self) -> None:
        for branch in self._person.fetch().branches.values():
            if branch.merges and not branch.name.startswith(paths.held_branch("")):
                approve(self._person, branch.name, change_digest(branch.change), check=check, when=datetime.now(UTC))

    def applied(self) -> bool:
        """Whether main has what east imports from west, after whatever was to be approved."""
        self.approve_all()
        return self._person.fetch().files.blob(ENTRY) is not None


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    # Short: Redis has a socket in it.
    with tempfile.TemporaryDirectory() as folder:
        as_person(Path(folder), monkeypatch)
        site = Site(Path(folder))
        site.found()
        yield site


def until(what: str, condition: Callable[[], object], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.1)


def child(of: int, word: str) -> int:
    """The process that `up` started with this word, or a program of this name, in its command line."""
    pids = Path(f"/proc/{of}/task/{of}/children").read_text().split()
    commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0") for pid in pids}
    return next(
        pid for pid, words in commands.items() if any(word in (one, Path(one.split(" ")[0]).name) for one in words)
    )


def test_what_one_cluster_exports_is_imported_by_the_other_whatever_dies_meanwhile(site):
    site.west.put("shop/cart")
    with site.up() as running:
        until("both keys", lambda: len(site.keys()) == 2)
        assert "main does not trust this key yet" in site.log()
        site.trust()
        until("east to import what west exports", site.applied)

        for word, names in {
            "receive": "receive",
            "worker": "worker",
            "syncer": r"syncer \w+",
            "valkey-server": "redis",
        }.items():
            os.kill(child(running.pid, word), signal.SIGKILL)
            line = rf"^up +{names} ended, killed by SIGKILL; it is started again in 1 s$"
            until(f"{word} to be missed", functools.partial(site.said, line))
        site.west.remove("shop/cart")
        until("east to import nothing", lambda: not site.applied())

        running.send_signal(signal.SIGTERM)
        assert 0 == running.wait(60)
        assert [] == site.left()
    assert site.log().rstrip().endswith("ended, with all that it started")
    assert "Traceback" not in site.log()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_it_ends_when_it_is_asked_to_and_knows_its_keys_the_next_time(site, number):
    keys = []
    for _ in range(2):
        with site.up() as running:
            until("its start", functools.partial(site.said, "observed 0 exports", len(site.log())))
            keys.append(site.keys())
            running.send_signal(number)
            assert 0 == running.wait(60)
            assert [] == site.left()
    assert keys[0] == keys[1]


def test_if_it_is_killed_all_that_it_started_ends_and_the_next_one_waits_for_that(site):
    with site.up() as killed:
        until("the start of both", site.observed)
        killed.kill()
        killed.wait()
        with site.up() as running:
            until("both to be started again", functools.partial(site.observed, len(site.log())))
            running.send_signal(signal.SIGTERM)
            assert 0 == running.wait(60)
            assert [] == site.left()


def test_only_one_at_a_time_works_in_a_folder(site):
    with site.up() as first:
        until("its start", lambda: "observed 0 exports" in site.log())
        with site.up() as second:
            assert 3 == second.wait(60)
        assert f"`kill {first.pid}` ends it. Or name another folder with --state." in site.log()
        assert first.poll() is None


def test_what_waits_in_redis_survives_a_restart(site):
    urls = []
    for _ in range(2):
        with site.up() as running:
            until("its start", functools.partial(site.said, "observed 0 exports", len(site.log())))
            urls.append((site.state / "redis" / "worker.url").read_text())
            running.send_signal(signal.SIGTERM)
            assert 0 == running.wait(60)
    assert urls[0] != urls[1]
    assert any((site.state / "redis").glob("appendonlydir/*"))
    assert {0o600} == {path.stat().st_mode & 0o777 for path in (site.state / "keys").iterdir()}
    assert 0o600 == (site.state / "redis" / "worker.url").stat().st_mode & 0o777
