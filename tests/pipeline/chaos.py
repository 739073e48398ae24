"""Everything at once: clusters change, people approve, processes are killed, servers and wires break.

One seed draws everything that is decided here; what the processes do meanwhile is theirs. Knows what must hold at the
end, and counts what it did.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import pygit2

from tests.pipeline.competitor import FILE, Competitor
from tests.pipeline.directory import Directory
from tests.pipeline.harness import FOREIGN, Pipeline
from tests.pipeline.processes import Victim
from tests.servers.git_http import Fault, Service
from workers.branches import contained
from workers.check import check
from workers.documents import paths

SERVICES: Final = ("shop/cart", "shop/till", "shop/web", "books/reviews", "books/ratings", "bank/ledger")
AUTOMATIC: Final = ("export", "change", "withdrawal", "address", "follow-up")
WORKERS: Final = ("worker a", "worker b")
PATIENCE: Final = 1.5
"""Seconds that a kill waits for a flush to hit."""
_REQUESTS: Final[tuple[Service, ...]] = ("git-upload-pack", "git-receive-pack")


@dataclass(kw_only=True)
class Done:
    """What was done: whom SIGKILL hit, by name of the process; how Git failed; the rest by what it was."""

    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        counted = {"killed": self.kills, "Git failed": self.faults, "and": self.acts}
        return "; ".join(
            f"{head} {', '.join(f'{name} {times}' for name, times in sorted(counter.items()))}"
            for head, counter in counted.items()
        )


class Chaos:
    """Edits, approvals, kills and faults, in an order that one seed draws."""

    def __init__(self, line: Pipeline, clusters: Mapping[str, Directory], chance: random.Random) -> None:
        self.done = Done()
        self._line = line
        self._clusters = clusters
        self._random = chance
        self._steps = 0
        self._hook = line.bare / "hooks" / "pre-receive"

    def step(self, *, kills: bool = True) -> None:
        """Some edits, perhaps a fault, and a kill, or as much time as a flush needs."""
        self._steps += 1
        self._line.processes.revive(WORKERS)
        for _ in range(self._random.randrange(1, 4)):
            self.edit()
        if self._random.random() < 0.4:
            self.git_fails()
        if self._steps % 15 == 0:
            self.hook_fails()
        elif self._hook.exists():
            self._hook.unlink()
        self._line.ring()
        if kills:
            self.kill(self._victim())
        else:
            time.sleep(self._random.uniform(0, 2 * PATIENCE))
        if self._steps % 5 == 0:
            self._line.approve_all(held=True)
            self.done.acts["approvals"] += 1
        if self._steps % 20 == 0:
            self.redis_fails()

    def calm(self) -> None:
        """No more faults; whoever is dead runs again; and every cluster says something that a person must approve.

        Without that a proposal of which nothing is left would stay open for ten minutes.
        """
        self._hook.unlink(missing_ok=True)
        self._line.wire.cable.mend()
        self._line.server.pass_on()
        self._line.processes.revive(WORKERS)
        for cluster in self._clusters.values():
            for namespace in ("bank", "books", "shop"):
                cluster.put(f"{namespace}/last")

    def edit(self) -> None:
        """A team changes a manifest."""
        self.done.acts["edits"] += 1
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

    def git_fails(self) -> None:
        """One of the next requests is refused, breaks, or loses its answer."""
        service = self._random.choice(_REQUESTS)
        match self._random.randrange(6 if self._line.wire.transport == "http" else 2):
            case 0:
                self.done.faults["cut on the way there"] += 1
                self._line.wire.cable.cut_after("up", int(2 ** self._random.uniform(5, 14)))
            case 1:
                self.done.faults["cut on the way back"] += 1
                self._line.wire.cable.cut_after("down", int(2 ** self._random.uniform(5, 14)))
            case 2:
                self.done.faults["answer lost"] += 1
                self._line.server.fail(Fault(kind="lost", service=service, method="POST"))
            case 3:
                self.done.faults["hung up"] += 1
                self._line.server.fail(Fault(kind="reset", service=service))
            case _:
                status = self._random.choice((429, 500, 502, 503))
                self.done.faults[f"answer {status}"] += 1
                self._line.server.fail(Fault(kind="status", status=status, service=service))

    def hook_fails(self) -> None:
        """Until the next step the server refuses what robots push, or takes its time."""
        kind, script = self._random.choice((("refuses", "echo 'not now' >&2; exit 1"), ("stalls", "sleep 2")))
        self.done.faults[f"hook {kind}"] += 1
        self._hook.parent.mkdir(exist_ok=True)
        beside = self._hook.with_suffix(".new")
        beside.write_text(f"#!/bin/sh\n{script}\n")
        beside.chmod(0o755)
        beside.replace(self._hook)

    def redis_fails(self) -> None:
        """All that is in it is gone, or all who are connected are cut off, or it is started again, empty."""
        if self._random.random() < 0.25:
            self.done.acts["Redis restarted"] += 1
            self._line.broker.restart()
            return
        with self._line.broker.client() as client:
            if self._random.random() < 0.5:
                self.done.acts["Redis wiped"] += 1
                client.flushall()
            else:
                self.done.acts["CLIENT KILL"] += 1
                client.client_kill_filter(_type="normal", skipme=True)

    def kill(self, name: str) -> None:
        """SIGKILL; who is gone is started again."""
        victims: tuple[Victim, ...] = ("all", "parent", "child", "child", "git") if name in WORKERS else ("all",)
        victim = self._random.choice(victims)
        self._line.processes.kill(name, victim)
        self.done.kills["worker" if name in WORKERS else name.partition(" ")[0]] += 1
        if name in WORKERS:
            self._line.forget_the_dead()
        if victim in {"all", "parent"}:
            self._line.processes.start(name)
            self.done.acts["restarts"] += 1

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


# --- what must hold at the end


def fsck(line: Pipeline) -> str:
    """What git finds wrong with the repository of the server; empty: nothing."""
    command = ["git", "-C", str(line.bare), "fsck", "--strict", "--full", "--no-dangling"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.strip() or ("" if done.returncode == 0 else done.stderr)


def lost(line: Pipeline, other: Competitor) -> list[str]:
    """The commits that the server took from somebody else and that main doesn't have."""
    repo = pygit2.Repository(str(line.bare))
    main = repo.references[paths.MAIN].target
    return [commit for commit in other.landed if not repo.descendant_of(main, commit) and str(main) != commit]


def foreign(line: Pipeline) -> list[str]:
    """The paths that the robot wrote on main and that aren't its own."""
    return sorted({path for changed in line.robots_commits() for path in changed if not paths.is_owned(path)})


def doubled(line: Pipeline) -> list[str]:
    """Facts that two open proposals are about, and branches that main has all of."""
    proposed = [path for name in line.branches() for path in line.proposed(name) if path.startswith("facts/")]
    remote = line.remote()
    done = [name for name, branch in line.branches().items() if contained(branch, remote)]
    return [*(path for path, times in Counter(proposed).items() if times > 1), *done]


def unsaid(line: Pipeline, clusters: Mapping[str, Directory]) -> list[str]:
    """Updates that were lost: services of which main and the open proposals don't say what the manifests say."""
    facts = line.tree().facts
    for name in line.branches():
        facts = facts.with_changes(line.proposed(name))
    wrong = []
    for name, cluster in clusters.items():
        said = {
            str(key): (exports[name].spec.ports[0].number, *exports[name].spec.service_accounts)
            for key, exports in facts.exports.items()
            if name in exports
        }
        differing = {key for key in said.keys() | cluster.exports.keys() if said.get(key) != cluster.exports.get(key)}
        wrong += [f"{name}: {key}" for key in sorted(differing)]
    return wrong


def assert_all_holds(line: Pipeline, clusters: Mapping[str, Directory], other: Competitor) -> None:
    """What others wrote stands, only what is the robot's was written by it, and nothing that was said is lost."""
    assert "" == fsck(line)
    assert other.landed
    assert [] == lost(line, other)
    files = line.main_files()
    assert f"{len(other.landed)}\n".encode() == files[FILE]
    assert b"kind: Kustomization\n" == files[FOREIGN]
    assert all(line.robots_commits())
    assert [] == foreign(line)
    assert () == check(line.remote().files)
    assert [] == [name for name, branch in line.branches().items() if branch.foreign or not branch.merges]
    assert [] == doubled(line)
    assert [] == unsaid(line, clusters)
