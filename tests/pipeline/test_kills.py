"""Processes are killed at any moment, while clusters change and somebody else writes to main: nothing is lost.

`--kills N` says how many. One seed draws everything that this test decides; what the processes do meanwhile is theirs.
"""

from __future__ import annotations

import random
import subprocess
import time

import pygit2
import pytest

from tests.pipeline.competitor import FILE, Competitor, competitor
from tests.pipeline.directory import Directory, directory
from tests.pipeline.harness import FOREIGN, Pipeline, pipeline
from tests.pipeline.processes import Victim
from workers.branches import contained
from workers.check import check
from workers.documents import paths

SEED = 20260
SERVICES = ("shop/cart", "shop/till", "shop/web", "books/reviews", "books/ratings", "bank/ledger")
AUTOMATIC = ("export", "change", "withdrawal", "address", "follow-up")
WORKERS = ("worker a", "worker b")
PATIENCE = 1.5
"""Seconds that a kill waits for a flush to hit."""


@pytest.mark.slow
def test_nothing_is_lost_whoever_is_killed(tmp_path, request):
    kills = request.config.getoption("--kills")
    clusters = {
        "west": directory(tmp_path / "west", "203.0.113.10"),
        "east": directory(tmp_path / "east", "203.0.113.20"),
    }
    with pipeline(tmp_path, clusters, automatic=AUTOMATIC, workers=WORKERS, heartbeat=2) as line:
        line.wait_until_settled()
        line.everything_approved()
        with competitor(tmp_path / "competitor", line.url, line.environment) as other:
            _Chaos(line, clusters, random.Random(SEED)).run(kills)
        _last_changes(clusters)
        line.wait_until_settled(90, hurry=True)
        _assert_server(line, other)
        _assert_manifests(line, clusters)


class _Chaos:
    """Kills, edits and approvals, in an order that one seed draws."""

    def __init__(self, line: Pipeline, clusters: dict[str, Directory], chance: random.Random) -> None:
        self._line = line
        self._clusters = clusters
        self._random = chance

    def run(self, kills: int) -> None:
        for number in range(1, kills + 1):
            self._line.processes.revive(WORKERS)
            for _ in range(self._random.randrange(1, 4)):
                self._edit()
            self._line.ring()
            self._kill(self._victim())
            if number % 5 == 0:
                self._line.approve_all()
            if number % 20 == 0:
                self._line.broker.wipe()
        self._line.processes.revive(WORKERS)

    def _edit(self) -> None:
        cluster = self._random.choice(list(self._clusters.values()))
        key = self._random.choice(SERVICES)
        match self._random.randrange(6):
            case 0:
                cluster.remove(key)
            case 1:
                cluster.put(key, exported=False)
            case 2:
                cluster.gateway(f"203.0.113.{self._random.randrange(30, 200)}")
            case _:
                port, account = self._random.choice((8080, 9090)), self._random.choice(("one", "two"))
                cluster.put(key, port=port, account=account)

    def _victim(self) -> str:
        """Mostly a worker in the middle of a flush; sometimes any process, even one that is just starting."""
        if self._random.random() < 0.3:
            time.sleep(self._random.uniform(0, 0.5))  # not a wait for anything: the moment of the kill is drawn
            return self._random.choice(self._line.processes.names)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if busy := [name for name in WORKERS if self._line.processes.gits(name)]:
                time.sleep(self._random.uniform(0, 0.4))
                return self._random.choice(busy)
            time.sleep(0.005)
        return self._random.choice(self._line.processes.names)

    def _kill(self, name: str) -> None:
        victims: tuple[Victim, ...] = ("all", "parent", "child", "child", "git") if name in WORKERS else ("all",)
        victim = self._random.choice(victims)
        self._line.processes.kill(name, victim)
        if name in WORKERS:
            self._line.forget_the_dead()
        if victim in {"all", "parent"}:
            self._line.processes.start(name)


def _last_changes(clusters: dict[str, Directory]) -> None:
    """One more service in every namespace, in both clusters, which a person must approve.

    Without it a proposal of which nothing is left would stay open for ten minutes.
    """
    for cluster in clusters.values():
        for namespace in ("bank", "books", "shop"):
            cluster.put(f"{namespace}/last")


def _assert_server(line: Pipeline, other: Competitor) -> None:
    """What others wrote stands, and only what is the robot's was written by it."""
    fsck = subprocess.run(
        ["git", "-C", str(line.bare), "fsck", "--strict", "--full", "--no-dangling"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (0, "") == (fsck.returncode, fsck.stdout.strip())
    files = line.main_files()
    repo = pygit2.Repository(str(line.bare))
    main = repo.references[paths.MAIN].target
    assert other.landed
    assert [] == [commit for commit in other.landed if not repo.descendant_of(main, commit) and str(main) != commit]
    assert f"{len(other.landed)}\n".encode() == files[FILE]
    assert b"kind: Kustomization\n" == files[FOREIGN]
    for changed in line.robots_commits():
        assert changed
        assert all(map(paths.is_owned, changed))
    assert () == check(line.remote().files)


def _assert_manifests(line: Pipeline, clusters: dict[str, Directory]) -> None:
    """Main and the open proposals together say what the manifests say; each fact stands in one proposal."""
    facts = line.tree().facts
    proposed: list[str] = []
    for name, branch in line.branches().items():
        assert not branch.foreign
        assert branch.merges
        assert not contained(branch, line.remote())
        changes = line.proposed(name)
        proposed += [path for path in changes if path.startswith("facts/")]
        facts = facts.with_changes(changes)
    assert len(proposed) == len(set(proposed))
    for name, cluster in clusters.items():
        said = {
            str(key): (exports[name].spec.ports[0].number, *exports[name].spec.service_accounts)
            for key, exports in facts.exports.items()
            if name in exports
        }
        assert cluster.exports == said
