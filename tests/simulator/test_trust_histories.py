"""Random histories of certificates: whatever is lost, repeated or killed, each cluster gets its next intermediate, and
none that nobody approved.

Agents ask and ask again, Redis is wiped, workers die at any call, people approve in any order, time passes in days.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from syncer.protocol.certificates import key_fingerprint, read_certificate
from syncer.protocol.errors import PeermeshError
from tests.core.trusting import AGENTS, CLUSTERS, DUE, ROBOT, TrustSite, request
from tests.simulator.repository import MemoryRepository
from tests.simulator.world import Deadly, Died
from workers.check import check
from workers.documents.kinds import AutomaticClass
from workers.documents.trust import MeshTrust
from workers.pki.wanted import wanted

STEPS = 30


class History:
    """One mesh and its history. `automatic`: what the robot merges by itself."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.chance = random.Random(seed)
        by_itself = seed % 2 == 1
        automatic: tuple[AutomaticClass, ...] = ("renewal",) if by_itself else ()
        trust = MeshTrust(root="a", renewal_requests="approved" if by_itself else None)
        self.site = TrustSite(folder, trust=trust, automatic=automatic)
        self.approved: set[tuple[str, int, str]] = set()
        self.told: list[str] = []

    def step(self) -> None:
        """One thing happens."""
        act = self.chance.choices(
            (self.ask, self.flush, self.sign, self.approve, self.wipe, self.wait), (5, 8, 4, 6, 1, 1)
        )[0]
        self.told.append(act.__name__)
        act()
        self.look()

    def ask(self) -> None:
        name = self.chance.choice(CLUSTERS)
        self.ask_for(name, lost=self.chance.random() < 0.1)

    def ask_for(self, name: str, *, lost: bool = False) -> None:
        """An agent asks once it is due; `lost`: it has lost the key that it asked with before."""
        main = self.site.main
        standing = main.facts.pki.intermediates[name].spec.rotation
        if wanted(main, name, self.site.now).reason is not None:
            self.site.asks(request(name, standing + 1, key=f"{name}-{standing}-again" if lost else ""))

    def flush(self) -> None:
        fuse = [self.chance.randrange(1, 40) if self.chance.random() < 0.4 else -1]
        repository = Deadly(MemoryRepository(self.site.remote, author=ROBOT, people=False), fuse)
        try:
            report = self.site.flushes(repository, Deadly(self.site.inbox, fuse))
            self.told.append(f"{report}")
        except (Died, PeermeshError) as error:
            self.told.append(f"{type(error).__name__} {error}")
            self.site.inbox._content.locked = False  # its lock ends with its time

    def sign(self) -> None:
        self.site.signs()

    def approve(self) -> None:
        branches = self.site.open()
        if branches:
            name = self.chance.choice(branches)
            self.told.append(name)
            try:
                self.site.approves(name)
            except PeermeshError as error:  # main moved under it: the robot makes it again
                self.told.append(str(error))

    def wipe(self) -> None:
        self.site.inbox.wipe()

    def wait(self) -> None:
        self.site.later(days=self.chance.choice((1, 10, 40)))

    def look(self) -> None:
        """What must hold at any time: main is valid, and whatever was signed had been approved on main before."""
        files = self.site.fetched().files
        assert check(files) == ()
        pki = self.site.main.facts.pki
        for name, standing in pki.intermediates.items():
            spec = standing.spec
            key = key_fingerprint(read_certificate(spec.certificate, subject=name).public_key())
            assert spec.rotation == 1 or (name, spec.rotation, key) in self.approved, (name, spec.rotation)
        self.approved |= {(name, one.spec.rotation, one.spec.key_fingerprint) for name, one in pki.requests.items()}

    def settle(self) -> None:
        """No more faults: everybody does what is to be done until nothing is."""
        for _ in range(8):
            for name in AGENTS:
                self.ask_for(name)
            self.site.flushes()
            for name in self.site.open():
                self.site.approves(name)
                self.site.flushes()
            self.site.signs()
            self.site.later(minutes=2)
            self.look()


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
def test_each_cluster_gets_what_is_due_and_nothing_that_nobody_approved(block: int, tmp_path: Path):
    for seed in range(block * 10, block * 10 + 10):
        history = History(seed, tmp_path / str(seed))
        try:
            for _ in range(STEPS):
                history.step()
            history.settle()
            _assert_settled(history)
        except Exception as error:
            lines = "\n".join(history.told)
            raise AssertionError(f"history {seed}: {error}\n{lines}") from error


def _assert_settled(history: History) -> None:
    site = history.site
    assert site.now >= DUE
    assert site.open() == []
    for name in CLUSTERS:
        assert wanted(site.main, name, site.now).reason is None, name
        assert site.main.facts.pki.intermediates[name].spec.rotation >= 2
    before = site.fetched().refs
    site.flushes()
    assert site.fetched().refs == before
