"""A mesh in one process: clusters, a queue that loses and repeats, a Redis that is wiped, workers that die, people.

Everything is drawn from one seed, so a history that fails is found again by its number. The use-cases are the real
ones; only the outside is in memory, and its doubles pass the contract suites of the adapters.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from syncer.protocol.errors import PeermeshError
from syncer.protocol.observation import Observation, ObservedGateway, pack
from syncer.protocol.offer import Offer
from syncer.protocol.signature import OBSERVATION, SigningKey
from tests import meshes
from tests.core.observations import offer
from tests.core.worlds import files_of
from tests.simulator.inbox import MemoryInbox
from tests.simulator.repository import MemoryRemote, MemoryRepository
from tests.simulator.reviews import SETTINGS, OnBranches, OnPullRequests, Reviews
from workers.documents import paths
from workers.documents.kinds import AutomaticClass, ClusterFacts, Export
from workers.flush import flush
from workers.ground import blobs_of
from workers.outside import Branch, Remote, Update
from workers.reach import reach
from workers.receive import receive
from workers.render import render
from workers.situation import Warm
from workers.sweep import sweep
from workers.tree import Changes, Files, FilesInMemory, apply, read_tree

SERVICES = ("shop/cart", "shop/till", "shop/web", "books/reviews", "books/ratings", "bank/ledger")
PERSON = ("A person", "person@example.org")
ROBOT = ("peermesh", "peermesh@example.org")
FOREIGN = "clusters/west/flux-system/sync.yaml"


class Died(Exception):
    """A worker was killed."""


class Deadly:
    """Passes every call on to `inner`, and dies before or after the `after`-th one."""

    def __init__(self, inner: Any, fuse: list[int]) -> None:
        self._inner = inner
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            self._burn()
            result = value(*args, **kwargs)
            self._burn()
            return result

        return call

    def _burn(self) -> None:
        self._fuse[0] -= 1
        if self._fuse[0] == 0:
            raise Died


@dataclass(kw_only=True)
class SimulatedCluster:
    """What one cluster holds, and its syncer."""

    name: str
    key: SigningKey
    offers: dict[str, Offer] = field(default_factory=dict)
    address: str | None = None
    sequence: int = 0

    def observe(self, now: datetime) -> tuple[str, bytes, bytes]:
        """A message, as it goes into the queue."""
        self.sequence = max(self.sequence + 1, int(now.timestamp() * 1_000_000))
        gateway = ObservedGateway(addresses=(meshes.address(self.address),) if self.address else ())
        packed = pack(
            Observation(
                mesh="acme",
                cluster=self.name,
                sequence=self.sequence,
                observed_at=now,
                sources=("label",),
                offers=tuple(self.offers[name] for name in sorted(self.offers)),
                gateway=gateway,
                foreign=(),
            )
        )
        return self.name, packed, self.key.sign(OBSERVATION, "acme", self.name, packed)


class World:
    """One mesh of three clusters and its history.

    `automatic`: the classes that the robot merges by itself; `pull_requests`: the forge has them.
    """

    def __init__(self, seed: int, automatic: tuple[AutomaticClass, ...] = (), *, pull_requests: bool = False) -> None:
        self.random = random.Random(seed)
        self.now = datetime(2026, 4, 1, 8, 0, tzinfo=UTC)
        self.clusters = {
            name: SimulatedCluster(
                name=name, key=SigningKey.from_seed(self.random.randbytes(32)), address=f"198.51.100.{number}"
            )
            for number, name in enumerate(("east", "north", "west"), 1)
        }
        tree = meshes.tree_of(
            meshes.mesh(automatic=automatic, forge=SETTINGS if pull_requests else None),
            *(meshes.cluster(name, keys=(cluster.key.public,)) for name, cluster in self.clusters.items()),
            *self._begun(),
        )
        content = {**files_of(tree).content, FOREIGN: b"kind: Kustomization\n", "README.md": b"0\n"}
        self.remote = MemoryRemote(content, author=PERSON, when=self.now)
        self.inbox = MemoryInbox()
        self.queue: list[tuple[str, bytes, bytes]] = []
        self.warm: list[Warm | None] = [None, None]
        self.people = MemoryRepository(self.remote, author=PERSON)
        self.reviews: Reviews = (
            OnPullRequests(self.remote, self.random, lambda: self.now)
            if pull_requests
            else OnBranches(self.people, self.random, lambda: self.now)
        )
        self.told: list[str] = []
        self.counted = 0

        self.work(mortal=False)

    def _begun(self) -> list[ClusterFacts | Export]:
        """Two of three meshes have run for a while, the others begin with nothing."""
        if self.random.randrange(3) == 0:
            return [meshes.facts(name, sources=()) for name in self.clusters]
        exports = []
        for name, cluster in self.clusters.items():
            for service in self.random.sample(SERVICES, self.random.randrange(len(SERVICES))):
                cluster.offers[service] = offer(service)
                exports.append(meshes.export(service, name))
        known = [meshes.facts(name, cluster.address or "") for name, cluster in self.clusters.items()]
        return [*known, *exports]

    # --- the clusters and the queue

    def change_cluster(self) -> None:
        """Somebody does something in a cluster."""
        cluster = self.random.choice(list(self.clusters.values()))
        name = self.random.choice(SERVICES)
        match self.random.randrange(8):
            case 0 | 1 | 2:
                cluster.offers[name] = self._offer(name)
            case 3 | 4:
                cluster.offers.pop(name, None)
            case 5:
                cluster.address = f"198.51.100.{self.random.randrange(10, 200)}"
            case 6:
                cluster.offers.clear()
            case 7:
                cluster.offers |= {name: self._offer(name) for name in SERVICES}
        self.told.append(f"{cluster.name} offers {sorted(cluster.offers)} at {cluster.address}")

    def _offer(self, name: str) -> Offer:
        ports = self.random.choice(((80,), (80, 81), (81,)))
        return offer(
            name,
            ports=[meshes.port(number, f"http-{number}", self.random.choice(("HTTP", "GRPC"))) for number in ports],
            accounts=(self.random.choice(("a", "b")),),
            since=self.random.choice((meshes.OLD, meshes.NEWER)),
            consumers=self.random.choice((None, None, ("east",), ())),
        )

    def send(self) -> None:
        """A syncer sends; the queue may lose it or hold it twice."""
        message = self.random.choice(list(self.clusters.values())).observe(self.now)
        self.queue += [message] * self.random.choice((0, 1, 1, 1, 2))

    def deliver(self) -> None:
        """The border takes any message of the queue."""
        if self.queue:
            message = self.queue.pop(self.random.randrange(len(self.queue)))
            self._receive(message)

    def _receive(self, message: tuple[str, bytes, bytes]) -> None:
        try:
            receive(self.inbox, *message, self.now)
        except PeermeshError as error:
            self.told.append(f"refused: {error}")

    def wipe(self) -> None:
        """Redis is lost."""
        self.inbox.wipe()

    def wait(self) -> None:
        """Time passes."""
        self.now += timedelta(seconds=self.random.choice((1, 5, 60, 400, 1200)))

    # --- the workers

    def work(self, *, mortal: bool = True) -> bool:
        """A worker sweeps and flushes, and may die at any step; returns whether it had something to do."""
        number = self.random.randrange(2)
        fuse = [self.random.randrange(1, 40)] if mortal and self.random.random() < 0.3 else [-1]
        warm = self.warm[number] = self.warm[number] or Warm()
        meanwhile = self.meanwhile if mortal else None
        repository = Deadly(MemoryRepository(self.remote, author=ROBOT, people=False, before_push=meanwhile), fuse)
        inbox = Deadly(self.inbox, fuse)
        forges = self.reviews.forges(lambda called: Deadly(called, fuse))
        try:
            if sweep(repository.fetch(), forges, inbox, self.now):
                report = flush(repository, forges, inbox, self.now, warm)
                self.told.append(f"{report}")
                return True
        except Died:
            self.warm[number] = None
            self.told.append("a worker died")
            return True
        except PeermeshError as error:
            self.told.append(f"{type(error).__name__}: {error}")
            return True
        return False

    def meanwhile(self, _: object) -> None:
        """What happens between a worker's reading and its push."""
        if self.random.random() < 0.4:
            self.random.choice((self.compete, self.decide, self._news, self._news))()

    def _news(self) -> None:
        self.change_cluster()
        for cluster in self.clusters.values():
            self._receive(cluster.observe(self.now))

    # --- people

    def open_branches(self) -> list[Branch]:
        return [branch for branch in self.people.fetch().branches.values() if branch.merges]

    def decide(self) -> None:
        """A person does something with an open proposal."""
        branches = self.open_branches()
        if branches:
            branch = self.random.choice(branches)
            self.told.append(f"{self.reviews.decide(branch)} {branch.name}")

    def revert(self) -> None:
        """A person takes a fact back on main, with its rendering."""
        remote = self.people.fetch()
        exports = [path for path, _ in remote.files.under("facts/exports/")]
        if exports:
            path = self.random.choice(exports)
            self.told.append(f"revert {path}")
            self.commit_on_main({path: None})

    def commit_on_main(self, changes: Changes) -> None:
        """People change documents and commit what `peermesh render` writes with them."""
        remote = self.people.fetch()
        after = FilesInMemory(apply(_content(remote.files), changes))
        commit = self.people.commit(
            parents=[remote.main], changes={**changes, **_rendering(after)}, message="by hand\n", when=self.now
        )
        self.people.push([Update(ref=paths.MAIN, old=remote.main, new=commit)])

    def compete(self) -> None:
        """Somebody else's writer pushes to main."""
        remote = self.people.fetch()
        count = int(remote.files.read("README.md"))
        changes = {"README.md": b"%d\n" % (count + 1)}
        commit = self.people.commit(parents=[remote.main], changes=changes, message="count\n", when=self.now)
        self.people.push([Update(ref=paths.MAIN, old=remote.main, new=commit)])
        self.counted += 1

    # --- histories

    def step(self) -> None:
        """One thing happens."""
        actions: tuple[tuple[Callable[[], object], int], ...] = (
            (self.change_cluster, 5),
            (self.send, 6),
            (self.deliver, 9),
            (self.work, 8),
            (self.decide, 5),
            (self.wait, 3),
            (self.compete, 1),
            (self.wipe, 1),
            (self.revert, 1),
        )
        weights = [weight for _, weight in actions]
        self.random.choices([action for action, _ in actions], weights)[0]()
        self.reviews.assert_sound()

    def settle(self, *, rounds: int = 6) -> None:
        """No more faults: every cluster sends its heartbeat, workers work until nothing is left to do."""
        self.queue.clear()
        for _ in range(rounds):
            while self.work(mortal=False) and rounds:
                rounds -= 1
            for cluster in self.clusters.values():
                self._receive(cluster.observe(self.now))
            self.work(mortal=False)
            self.now += timedelta(minutes=5, seconds=1)

    def fetched(self) -> Remote:
        return self.people.fetch()


def _content(files: Files) -> dict[str, bytes]:
    return {path: files.read(path) for path, _ in files.under("")}


def _rendering(files: FilesInMemory) -> dict[str, bytes | None]:
    tree, _ = read_tree(files)
    assert tree is not None
    rendered = render(tree, reach(tree))
    blobs = blobs_of(rendered)
    stands = {path: blob for path, blob in files.under(paths.RENDERED) if paths.is_rendered(path)}
    return {
        path: file.data if (file := rendered.get(path)) else None
        for path in stands.keys() | blobs.keys()
        if stands.get(path) != blobs.get(path)
    }
