"""Flush: what reaches the remote when main refuses, when proposals meet, when people take things back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from syncer.protocol.errors import HumanNeeded, Transient
from syncer.protocol.observation import Observation, pack
from syncer.protocol.signature import OBSERVATION, SigningKey
from tests import meshes
from tests.core.observations import NOW, offer, says
from tests.core.worlds import files_of
from tests.simulator.inbox import MemoryInbox
from tests.simulator.repository import MemoryRemote, MemoryRepository
from workers.check import check
from workers.documents import paths
from workers.flush import FlushReport, flush
from workers.forge.git import GitForge, approve
from workers.outside import Kept, Outcome, Update
from workers.tree import change_digest

KEY = SigningKey.from_seed(bytes(32))
ROBOT, PERSON = ("peermesh", "peermesh@example.org"), ("A person", "person@example.org")
REVIEWS = "facts/exports/bookinfo/west/reviews.yaml"


class Protected(MemoryRemote):
    """A server that lets nobody push to main."""

    def move(self, update: Update) -> Outcome:
        if update.ref == paths.MAIN:
            return Outcome(status="refused", message="protected branch")
        return super().move(update)


class Site:
    """A remote, an inbox and a worker."""

    def __init__(self, *documents, automatic=(), remote=MemoryRemote):
        known = [meshes.cluster(name, keys=(KEY.public,)) for name in ("west",)]
        tree = meshes.tree_of(meshes.mesh(automatic=automatic), meshes.cluster("east"), *known, *documents)
        self.remote = remote(files_of(tree).content, author=PERSON, when=NOW)
        self.inbox = MemoryInbox()
        self.people = MemoryRepository(self.remote, author=PERSON)
        self.numbers = 0

    def hears(self, said: Observation) -> None:
        self.numbers += 1
        packed = pack(said)
        signature = KEY.sign(OBSERVATION, "acme", said.cluster, packed)
        kept = Kept(sequence=self.numbers, packed=packed, signature=signature)
        self.inbox.keep(said.cluster, kept, content=str(self.numbers))

    def flushes(self, now=NOW) -> FlushReport:
        """A new worker each time: what it must know it finds in the inbox and in the repository."""
        self.inbox.mark("main")
        return flush(MemoryRepository(self.remote, author=ROBOT, people=False), GitForge, self.inbox, now)


def test_what_a_protected_main_refuses_is_proposed_like_the_rest():
    site = Site(automatic=("export",), remote=Protected)
    site.hears(says("west", offer("bookinfo/reviews"), offer("shop/cart")))
    report = site.flushes()
    assert report.merged == ()
    assert report.pushed == ("peermesh/exports/bookinfo", "peermesh/exports/shop")
    assert report.said[paths.MAIN] == "protected branch"
    assert site.inbox.look_again() == NOW + timedelta(minutes=1)
    assert site.flushes().pushed == ()


def test_a_branch_beside_automatic_merges_stays_the_robots_own():
    """The address isn't automatic, the change is, and both touch the import of the same host."""
    site = Site(meshes.export("bookinfo/reviews", "west"), automatic=("change",))
    said = says("west", offer("bookinfo/reviews", accounts=("reviews", "other")), address="203.0.113.99")
    site.hears(said)
    report = site.flushes()
    assert report.merged == ("peermesh/exports/bookinfo",)
    assert report.pushed == ("peermesh/clusters/west",)
    assert not site.people.fetch().branches["peermesh/clusters/west"].foreign
    assert site.flushes().pushed == ("peermesh/clusters/west",)
    branch = site.people.fetch().branches["peermesh/clusters/west"]
    assert (branch.foreign, branch.merges) == (False, True)


def test_what_people_take_back_while_the_cluster_is_silent_stays_taken_back():
    site = Site(meshes.export("bookinfo/reviews", "west"), automatic=("export", "change", "withdrawal"))
    main = site.people.fetch()
    without = {path: None for path, _ in main.files.under("") if "bookinfo" in path and "hosts" not in path}
    commit = site.people.commit(parents=[main.main], changes=without, message="Revert\n", when=NOW)
    site.people.push([Update(ref=paths.MAIN, old=main.main, new=commit)])
    site.flushes()
    site.hears(says("west", offer("bookinfo/reviews")))
    site.flushes()
    after = site.people.fetch()
    assert after.files.blob(REVIEWS) is None
    assert [path for path, _ in after.rejected] == [REVIEWS]


def test_while_paused_nothing_is_written_but_the_border_knows_its_keys():
    site = Site()
    paused = site.people.commit(parents=[], changes={}, message="maintenance\n", when=NOW)
    site.people.push([Update(ref=paths.PAUSED, old=None, new=paused)])
    site.hears(says("west", offer("bookinfo/reviews")))
    before = site.people.fetch().refs
    assert site.flushes().idle == "paused: maintenance"
    assert site.people.fetch().refs == before
    assert site.inbox.border_keys().keys["west"] == (KEY.public,)


def test_main_that_cannot_be_read_stops_planning_with_every_problem_said():
    site = Site()
    main = site.people.fetch()
    changes = {"mesh/mesh.yaml": b"kind: Mess\n", "mesh/clusters/west.yaml": b"nothing\n"}
    commit = site.people.commit(parents=[main.main], changes=changes, message="Oops\n", when=NOW)
    site.people.push([Update(ref=paths.MAIN, old=main.main, new=commit)])
    with pytest.raises(HumanNeeded, match=r"mesh/clusters/west\.yaml"):
        site.flushes()
    assert "mesh/mesh.yaml" in site.inbox.said()["mesh repository"]


def test_an_observation_that_no_key_on_main_signed_is_told_and_not_believed():
    site = Site()
    said = says("east", offer("bookinfo/reviews"))
    packed = pack(said)
    signature = KEY.sign(OBSERVATION, "acme", "east", packed)
    site.inbox.keep("east", Kept(sequence=1, packed=packed, signature=signature), content="x")
    report = site.flushes()
    assert report.pushed == ()
    assert "no public key of its syncer is known" in report.said["east"]


def test_a_ref_that_moved_meanwhile_leaves_everything_marked():
    site = Site()
    site.hears(says("west", offer("bookinfo/reviews")))

    def overtakes(_: object) -> None:
        site.people.push([Update(ref="refs/heads/peermesh/exports/bookinfo", old=None, new=site.people.fetch().main)])

    repository = MemoryRepository(site.remote, author=ROBOT, before_push=overtakes)
    with pytest.raises(Transient):
        flush(repository, GitForge, site.inbox, NOW)
    assert site.inbox.marked().keys() == {"west"}


def test_an_empty_export_proposal_closes_only_after_a_while():
    site = Site()
    site.hears(says("west", offer("bookinfo/reviews")))
    site.flushes()
    site.hears(says("west"))
    assert site.flushes().closed == ()
    assert site.inbox.look_again() == NOW + timedelta(minutes=10)
    assert site.flushes(NOW + timedelta(minutes=10)).closed == ("peermesh/exports/bookinfo",)


def test_beyond_the_budget_nothing_is_pushed_and_what_arrives_meanwhile_joins_the_next_flush():
    site = Site()
    for number in range(6):
        site.hears(says("west", offer("shop/cart", ports=(meshes.port(8000 + number),))))
        assert site.flushes().pushed == ("peermesh/exports/shop",)
    site.hears(says("west", offer("shop/cart"), offer("shop/till")))
    before = site.people.fetch().refs
    report = site.flushes()
    assert (report.pushed, report.idle) == ((), "the budget of pushes is used up until 08:00:10")
    assert site.people.fetch().refs == before
    assert site.inbox.look_again() == NOW + timedelta(seconds=10)
    site.hears(says("west", offer("shop/cart"), offer("bookinfo/reviews")))
    assert site.flushes(NOW + timedelta(seconds=10)).pushed == ("peermesh/exports/bookinfo", "peermesh/exports/shop")


def test_what_changes_nothing_needs_no_budget():
    site = Site()
    site.hears(says("west", offer("shop/cart")))
    site.flushes()
    for _ in range(20):
        assert site.flushes().idle == ""


def names_of(count: int) -> list[str]:
    return [f"shop/s{number}" for number in range(count)]


def test_drip_counts_like_flood_for_an_hour():
    site = Site(*(meshes.export(name, "west") for name in names_of(12)), automatic=("withdrawal", "export"))
    for left in (10, 8):
        site.hears(says("west", *map(offer, names_of(left))))
        assert site.flushes().merged == ("peermesh/exports/shop",)
    site.hears(says("west", *map(offer, names_of(6))))
    report = site.flushes(NOW + timedelta(minutes=59))
    assert (report.merged, report.pushed) == ((), ("peermesh/held/shop",))
    site.hears(says("west", *map(offer, [*names_of(5), "shop/s6", "shop/s7"])))
    report = site.flushes(NOW + timedelta(minutes=61))
    assert (report.merged, report.closed) == (("peermesh/exports/shop",), ("peermesh/held/shop",))


def test_what_people_merge_does_not_count():
    site = Site(*(meshes.export(name, "west") for name in names_of(12)), automatic=("export",))
    for left in (10, 8, 6):
        site.hears(says("west", *map(offer, names_of(left))))
        assert site.flushes().pushed == ("peermesh/exports/shop",)
        branch = site.people.fetch().branches["peermesh/exports/shop"]
        approve(site.people, branch.name, change_digest(branch.change), check=check, when=NOW)
    assert site.inbox.lost() == ()
