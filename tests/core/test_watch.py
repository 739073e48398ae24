"""Watch: what sweeps find becomes figures, and nothing is read twice for them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from syncer.protocol.observation import Observation, pack
from tests import meshes
from tests.simulator.inbox import MemoryInbox
from tests.simulator.repository import MemoryRemote, MemoryRepository
from workers.applied import committed
from workers.documents import paths
from workers.figures import Figures
from workers.forge.git import GitForge
from workers.outside import BorderKeys, Kept, Update
from workers.reach import reach
from workers.render import render
from workers.situation import seen_of
from workers.watch import Watch

NOON = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)
ROBOT = ("peermesh", "peermesh@example.org")
TREE = meshes.completed(
    meshes.tree_of(meshes.mesh(), meshes.cluster("west"), meshes.cluster("east"), meshes.export("shop/cart", "west"))
)
RENDERED = {path: file.data for path, file in render(TREE, reach(TREE)).items() if file}


class CountingInbox(MemoryInbox):
    """Counts how often an observation is read."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    def newest_of(self, cluster: str) -> Kept | None:
        self.read += 1
        return super().newest_of(cluster)


class Site:
    """A remote that the last flush saw, and a watch on it."""

    def __init__(self) -> None:
        self.remote = MemoryRemote({**meshes.files_of(TREE), **RENDERED}, author=ROBOT, when=NOON)
        self.repository = MemoryRepository(self.remote, author=ROBOT)
        self.inbox = CountingInbox()
        self.inbox.set_border_keys(BorderKeys(mesh="acme", keys={"east": ("ed25519:a",), "west": ("ed25519:b",)}))
        self.watch = Watch(self.repository, GitForge, self.inbox)
        self.flushed()

    def flushed(self) -> None:
        """As a flush leaves it."""
        remote = self.repository.fetch()
        self.inbox.clear(self.inbox.marked())
        self.inbox.set_seen(seen_of(remote, ""))

    def hears(self, cluster: str, applied: dict[str, str], minutes: int = 0) -> None:
        """What a cluster says that it holds."""
        at = NOON + timedelta(minutes=minutes)
        observation = Observation(
            mesh="acme",
            cluster=cluster,
            sequence=int(at.timestamp() * 1_000_000),
            observed_at=at,
            sources=("label",),
            offers=(),
            applied=applied,
            settings={"kubernetes.version": "v1.37.2", "unit/imports": "ab failed: no"},
        )
        self.inbox.keep(
            cluster, Kept(sequence=observation.sequence, packed=pack(observation), signature=b""), content=""
        )
        self.inbox.clear(self.inbox.marked())

    def wanted(self, cluster: str) -> dict[str, str]:
        """All that main commits for a cluster."""
        units = committed(self.repository.fetch().files, {})[cluster]
        return {name: digest for unit in units.values() for name, digest in unit.items()}

    def looks(self, minutes: int = 0) -> Figures:
        """A sweep, and what it found."""
        now = NOON + timedelta(minutes=minutes)
        self.watch.sweep(now)
        return self.watch.figures(now)


def test_before_the_first_sweep_there_is_nothing():
    site = Site()
    assert {} == site.watch.figures(NOON).observed_at


def test_clusters_are_as_old_as_what_they_said_last():
    site = Site()
    site.hears("west", {})
    assert {"east": None, "west": NOON} == site.looks().observed_at


def test_what_a_cluster_lacks_is_found_when_nothing_waits_and_not_at_the_first_look():
    site = Site()
    site.hears("east", {})
    lacking = dict.fromkeys(site.wanted("east"), NOON + timedelta(minutes=1))
    assert {} == site.looks().unapplied
    assert {"east": lacking} == site.looks(1).unapplied
    assert {"east": lacking} == site.looks(2).unapplied
    assert {"east": 1} == site.looks(3).failing


def test_while_something_waits_what_was_found_before_stays():
    site = Site()
    site.looks()
    site.hears("east", site.wanted("east"))
    assert {"east": {}} == site.looks(1).unapplied
    site.hears("east", {}, minutes=2)
    site.inbox.mark("west")
    found = site.looks(2)
    assert (1, {"east": {}}) == (found.marked, found.unapplied)


def test_an_observation_is_read_once():
    site = Site()
    site.looks()
    site.hears("east", {})
    for minute in range(1, 5):
        site.looks(minute)
    site.hears("west", {}, minutes=5)
    site.looks(5)
    assert 2 == site.inbox.read


def test_when_main_moves_clusters_are_compared_without_a_word_of_theirs():
    site = Site()
    site.looks()
    site.hears("east", site.wanted("east"))
    assert {"east": {}} == site.looks(1).unapplied
    gone = dict.fromkeys(path for path in RENDERED if path.startswith("clusters/east/"))
    before = site.remote.refs[paths.MAIN]
    commit = site.repository.commit(parents=[before], changes=gone, message="Withdraw\n", when=NOON)
    site.repository.push([Update(ref=paths.MAIN, old=before, new=commit)])
    assert {"east": {}} == site.looks(2).unapplied
    site.flushed()
    assert ["east"] == [name for name, since in site.looks(3).unapplied.items() if since]
    assert 1 == site.inbox.read


def test_that_somebody_paused_the_robot_is_found():
    site = Site()
    assert not site.looks().paused
    site.remote.refs[paths.PAUSED] = site.repository.commit(parents=[], changes={}, message="Maintenance", when=NOON)
    assert site.looks().paused
