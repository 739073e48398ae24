"""The same repository played by the real use-cases: `receive`, `sweep`, `flush`, `approve`, `reject`, `reopen`.

Only Git and Redis are in memory, and their doubles pass the contract suites of the adapters. Knows scenarios; what it
comes to is compared with `world`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import msgspec
from msgspec import UNSET

from syncer.protocol.observation import Observation, pack
from syncer.protocol.request import SIGN_REQUEST_PURPOSE
from syncer.protocol.request import pack as pack_request
from syncer.protocol.signature import OBSERVATION
from tests.scenarios.scenario import START, Deed, Step, agent_key_of, key_of
from tests.simulator.inbox import MemoryInbox
from tests.simulator.repository import MemoryRemote, MemoryRepository
from workers.branches import EMPTY_FOR
from workers.budget import Budget
from workers.check import check
from workers.flush import flush
from workers.forge.git import GitForge, approve, reject, reopen
from workers.outside import Remote, Update
from workers.receive import receive, receive_request
from workers.situation import Warm
from workers.sweep import sweep
from workers.tree import BlobChange, Changes, change_digest

_PERSON = ("A person", "person@example.org")
_ROBOT = ("peermesh", "peermesh@example.org")

ENOUGH = Budget(per_minute=600)
"""A scenario is told in one moment."""


class Pipeline:
    """A worker, its Redis and the mesh repository; time passes with every look."""

    def __init__(self, main: Mapping[str, bytes]) -> None:
        self.now = START
        self.remote = MemoryRemote(main, author=_PERSON, when=self.now)
        self.people = MemoryRepository(self.remote, author=_PERSON)
        self._robot = MemoryRepository(self.remote, author=_ROBOT, people=False)
        self._inbox = MemoryInbox()
        self._warm = Warm()
        self._undo: dict[str, Changes] = {}
        self._keys_are_copied()

    def fetched(self) -> Remote:
        """What stands on the remote."""
        return self.people.fetch()

    def play(self, step: Step) -> None:
        """What people did, then what clusters say, then the worker's look."""
        for deed in step.meanwhile or ():
            self._do(deed)
        if step.meanwhile is None:
            self.settle()
        self._commit(step.committed)
        self._say(step.observations)
        self._ask(step)
        self.work()

    def settle(self) -> None:
        """Everything is merged that isn't held, in the order of the names of branches."""
        while branches := [name for name in sorted(self.fetched().branches) if not name.startswith("peermesh/held/")]:
            self._do(Deed("merged", branches[0]))

    def work(self) -> None:
        """Sweep and flush until nothing is left to do, also after the time for which empty proposals stay open."""
        for _ in range(2):
            while sweep(self._robot.fetch(), GitForge, self._inbox, self.now):
                flush(self._robot, GitForge, self._inbox, self.now, self._warm, ENOUGH)
            self.now += EMPTY_FOR

    def _do(self, deed: Deed) -> None:
        match deed.verb:
            case "merged":
                change = self.fetched().branches[deed.what].change
                self._undo[deed.what] = self._before(change)
                approve(self.people, deed.what, change_digest(change), check=check, when=self.now)
            case "rejected":
                reject(self.people, deed.what, when=self.now)
            case "reverted":
                self._commit(self._undo[deed.what])
            case "reopened":
                reopen(self.people, deed.what, when=self.now)
            case "lost":
                self._inbox.wipe()
                self._keys_are_copied()
        self.work()

    def _before(self, change: BlobChange) -> Changes:
        files = self.fetched().files
        return {path: None if old is None else files.read(path) for path, (old, _) in change.items()}

    def _commit(self, changes: Changes) -> None:
        if changes:
            main = self.fetched().main
            commit = self.people.commit(parents=[main], changes=changes, message="By hand\n", when=self.now)
            self.people.push([Update(ref="refs/heads/main", old=main, new=commit)])

    def _say(self, observations: Mapping[str, Observation]) -> None:
        for name, said in observations.items():
            number = int(self.now.timestamp() * 1_000_000)
            trust = said.trust
            if trust is not UNSET:
                proxies = tuple(msgspec.structs.replace(proxy, seen=self.now) for proxy in trust.proxies)
                trust = msgspec.structs.replace(trust, sampled_at=self.now, proxies=proxies)
            packed = pack(msgspec.structs.replace(said, sequence=number, observed_at=self.now, trust=trust))
            receive(self._inbox, name, packed, key_of(name).sign(OBSERVATION, said.mesh, name, packed), self.now)

    def _ask(self, step: Step) -> None:
        for name, asked in step.requests.items():
            number = int(self.now.timestamp() * 1_000_000)
            packed = pack_request(msgspec.structs.replace(asked, sequence=number, requested_at=self.now))
            signature = agent_key_of(name).sign(SIGN_REQUEST_PURPOSE, asked.mesh, name, packed)
            receive_request(self._inbox, name, packed, signature, self.now)
        for name, document in step.signed.items():
            self._inbox.keep_certificate(name, document)

    def _keys_are_copied(self) -> None:
        """The border believes nobody before a flush has told it the keys on main."""
        self._inbox.mark("main")
        flush(self._robot, GitForge, self._inbox, self.now, self._warm, ENOUGH)
        self.now += timedelta(seconds=1)
