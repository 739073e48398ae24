"""Trust through the pipeline: a request is approved, signed, and its certificate proposed; what is lost comes again."""

from __future__ import annotations

import itertools

import pytest

from tests.core.observations import offer
from tests.core.trusting import AGENTS, SYNCERS, TrustSite, approved, intermediate, request
from tests.pki.authority import NOW
from tests.simulator.repository import MemoryRepository
from tests.simulator.world import Deadly, Died
from workers.check import check
from workers.documents import paths
from workers.documents.trust import Intermediates, MeshTrust
from workers.documents.writing import write
from workers.forge.git import reject

REQUEST, CERTIFICATE = "peermesh/trust/request-west", "peermesh/trust/certificate-west"
ASKED, SIGNED, CA = "pki/requests/west.yaml", "pki/intermediates/west.yaml", "clusters/west/ca/cacerts.yaml"
APPROVED = MeshTrust(root="a", renewal_requests="approved")


@pytest.fixture
def site(tmp_path) -> TrustSite:
    return TrustSite(tmp_path)


def asked_and_approved(site: TrustSite) -> None:
    site.asks(request())
    site.flushes()
    site.approves(REQUEST)


def test_a_mesh_whose_certificates_are_managed_is_valid_as_it_stands(site):
    assert check(site.fetched().files) == ()
    site.now = NOW
    assert site.flushes().said == {}


def test_a_request_is_proposed_and_nothing_is_signed_before_people_approve_it(site):
    site.asks(request())
    assert site.flushes().pushed == (REQUEST,)
    assert [CA, ASKED] == sorted(site.branch(REQUEST).change)
    assert "Peermesh-Classes: request" in site.branch(REQUEST).message
    assert site.signs() == ()
    assert site.signers["a"].key.signatures == 0


def test_a_rotation_goes_from_the_request_to_the_rendering(site):
    asked_and_approved(site)
    assert site.signs() == ("west",)
    assert site.flushes().pushed == (CERTIFICATE,)
    assert sorted(site.branch(CERTIFICATE).change) == [CA, SIGNED]
    assert "Peermesh-Classes: renewal" in site.branch(CERTIFICATE).message
    site.approves(CERTIFICATE)
    assert site.main.facts.pki.intermediates["west"].spec.rotation == 2
    assert b'rotation: "2"' in site.fetched().files.read(CA)
    assert (site.flushes().pushed, site.open()) == ((), [])
    assert check(site.fetched().files) == ()


def test_heartbeats_and_repeated_requests_change_nothing(site):
    site.asks(request())
    site.flushes()
    before = site.fetched().refs
    for _ in range(3):
        site.later(minutes=5)
        site.asks(request())
        site.observes()
        site.flushes()
    assert site.fetched().refs == before


def test_the_first_request_stays_though_the_cluster_asks_with_another_key_later(site):
    site.asks(request())
    site.flushes()
    before = site.branch(REQUEST).head
    site.asks(request(key="another"))
    report = site.flushes()
    assert report.pushed == ()
    assert "it asks with another key now than peermesh/trust/request-west is for" in report.said["west: trust"]
    assert site.branch(REQUEST).head == before
    site.approves(REQUEST)
    assert approved(request()) == site.main.facts.pki.requests["west"]


def test_an_open_request_gives_way_to_the_next_rotation(site):
    site.asks(request())
    site.flushes()
    site.puts(approved(request()), intermediate("west", 2))
    site.later(days=100)
    site.asks(request(rotation=3))
    site.flushes()
    assert site.branch(REQUEST).files.read(ASKED) == site.people.files(site.branch(REQUEST).head).read(ASKED)
    assert b"rotation: 3" in site.branch(REQUEST).files.read(ASKED)


@pytest.mark.parametrize("steps_before", ["asked", "approved", "signed"])
def test_redis_may_be_lost_at_any_step(site, steps_before):
    site.asks(request())
    site.flushes()
    if steps_before != "asked":
        site.approves(REQUEST)
        site.signs()
        site.flushes()
    if steps_before == "approved":
        site.commits({"README.md": b"Somebody else's.\n"})
    opened = {name: branch.change for name, branch in site.fetched().branches.items()}
    assert opened
    site.inbox.wipe()
    assert site.flushes().closed == ()
    assert opened == {name: branch.change for name, branch in site.fetched().branches.items()}
    for name in opened:
        site.approves(name)
    assert check(site.fetched().files) == ()


def test_a_branch_is_made_again_without_redis_when_main_moved_under_it(site):
    site.asks(request())
    site.flushes()
    site.puts(trust=MeshTrust(root="a", intermediates=Intermediates(renew_at=0.4)))
    assert not site.branch(REQUEST).merges
    site.inbox.wipe()
    site.flushes()
    assert site.branch(REQUEST).merges
    site.approves(REQUEST)


def test_a_worker_may_die_at_every_call(tmp_path):
    """Whatever a worker had done when it died, the next one ends where one that lived would have ended."""
    expected = None
    for fuse in itertools.count(1):
        site = TrustSite(tmp_path / str(fuse))
        site.asks(request())
        left = [fuse]
        repository = Deadly(
            MemoryRepository(site.remote, author=("peermesh", "peermesh@example.org"), people=False), left
        )
        inbox = Deadly(site.inbox, left)
        try:
            site.flushes(repository, inbox)
        except Died:
            site.flushes()
        changes = {name: branch.change for name, branch in site.fetched().branches.items()}
        expected = expected or changes
        assert changes == expected
        if left[0] > 0:
            break
    assert list(expected or ()) == [REQUEST]
    assert fuse > 10


def test_a_renewal_that_is_asked_for_with_the_key_in_use_goes_by_itself_where_people_say_so(tmp_path):
    site = TrustSite(tmp_path, trust=APPROVED, automatic=("renewal",))
    site.asks(request())
    assert site.flushes().merged == (REQUEST,)
    assert site.signs() == ("west",)
    assert site.flushes().merged == (CERTIFICATE,)
    assert site.main.facts.pki.intermediates["west"].spec.rotation == 2
    assert check(site.fetched().files) == ()


@pytest.mark.parametrize("asked", [request(proof=False), request(key="another")])
def test_without_proof_it_waits_for_people_all_the_same(tmp_path, asked):
    site = TrustSite(tmp_path, trust=APPROVED, automatic=("renewal",))
    site.asks(asked)
    report = site.flushes()
    assert (report.merged, report.pushed) == ((), (REQUEST,))


def test_a_request_that_no_key_on_main_verifies_is_told_and_not_proposed(site):
    site.asks(request(), signer=SYNCERS["west"])
    report = site.flushes()
    assert report.pushed == ()
    assert "no key of this cluster" in report.said["west: signing request"]


def test_a_request_of_another_cluster_is_refused_by_name(site):
    site.asks(request("west"), cluster="east")
    report = site.flushes()
    assert report.pushed == ()
    assert "ForeignCluster" in report.said["east: trust"]


def test_what_people_close_is_not_proposed_again_until_it_is_another_one(site):
    site.asks(request())
    site.flushes()
    reject(site.people, REQUEST, when=site.now)
    report = site.flushes()
    assert report.pushed == ()
    assert "people refused or took back" in report.said["west: trust"]
    site.asks(request(key="another"))
    assert site.flushes().pushed == (REQUEST,)


def test_a_certificate_that_people_take_back_on_main_is_not_fought_for(tmp_path):
    site = TrustSite(tmp_path, trust=APPROVED, automatic=("renewal",))
    site.asks(request())
    site.flushes()
    before = {path: site.fetched().files.read(path) for path in (SIGNED, CA)}
    site.signs()
    site.flushes()
    site.commits(before, message="Revert\n")
    for _ in range(2):
        report = site.flushes()
        assert (report.merged, report.pushed) == ((), ())
    assert site.main.facts.pki.intermediates["west"].spec.rotation == 1
    assert "people refused or took back" in report.said["west: trust"]


def test_a_branch_that_somebody_tampered_with_is_left_alone_and_nothing_of_it_is_believed(site):
    site.asks(request())
    site.flushes()
    forged = approved(request(key="thief"))
    site.commits({ASKED: write(forged)}, branch=REQUEST)
    report = site.flushes()
    assert report.pushed == ()
    assert "somebody else changed this branch" in report.said[REQUEST]
    assert site.signs() == ()
    assert site.signers["a"].key.signatures == 0


def test_a_document_that_cannot_be_read_freezes_trust_and_nothing_else(site):
    site.asks(request())
    site.flushes()
    before = dict(site.fetched().files.under("clusters/"))
    site.commits({"pki/roots/a.yaml": b"kind: Root\n"})
    site.inbox.wipe()
    site.asks(request())
    site.observes_exports("west", offer("shop/cart"))
    report = site.flushes()
    assert report.closed == ()
    assert [name for name in report.pushed if "trust" in name or "render" in name] == []
    assert report.pushed == ("peermesh/exports/shop",)
    after = site.branch("peermesh/exports/shop").change
    assert not any(path.startswith("pki/") or "/ca/" in path for path in after)
    assert before == dict(site.fetched().files.under("clusters/"))
    assert "pki/roots/a.yaml" in report.said["peermesh/trust"]


def test_a_root_that_is_ordered_and_missing_stops_trust_and_nothing_else(site):
    site.asks(request())
    mesh = site.fetched().files.read("mesh/mesh.yaml")
    site.commits({"mesh/mesh.yaml": mesh.replace(b"root: a", b"root: z")})
    report = site.flushes()
    assert report.pushed == ()
    assert "there is no pki/roots/z.yaml" in report.said["mesh/mesh.yaml"]


def test_the_border_learns_the_agents_keys(site):
    site.flushes()
    keys = site.inbox.border_keys()
    assert keys.agents == {name: (key.public,) for name, key in AGENTS.items()}
    assert keys.keys == {name: (key.public,) for name, key in SYNCERS.items()}


# --- what is handed in


def test_what_is_no_document_is_told_and_stops_nobody(site):
    asked_and_approved(site)
    site.inbox.keep_certificate("east", b"garbage")
    site.inbox.keep_certificate("north", write(intermediate("west", 2)))
    site.signs()
    report = site.flushes()
    assert report.pushed == (CERTIFICATE,)
    assert report.said["east: certificate"].startswith("pki/intermediates/east.yaml:1: not a map of keys and values")
    assert "`metadata.name` is west, but the path says north" in report.said["north: certificate"]


@pytest.mark.parametrize(
    ("handed_in", "rule"),
    [
        pytest.param(intermediate("west", 3), "NotApproved", id="of another rotation"),
        pytest.param(intermediate("west", 2, under="b"), "NotAsRequested", id="under another root"),
        pytest.param(intermediate("west", 2, lever=1), "WrongLever", id="with another lever"),
        pytest.param(intermediate("west", 2, sealed="eA=="), "ForeignKey", id="with a sealed key"),
    ],
)
def test_a_certificate_that_nobody_approved_is_refused_by_name(site, handed_in, rule):
    asked_and_approved(site)
    site.inbox.keep_certificate("west", write(handed_in))
    report = site.flushes()
    assert report.pushed == ()
    assert f"refused ({rule})" in report.said["west: trust"]


def test_a_certificate_before_its_request_is_on_main_is_refused(site):
    site.asks(request())
    site.flushes()
    site.inbox.keep_certificate("west", write(intermediate("west", 2)))
    assert site.flushes().pushed == ()
    assert site.open() == [REQUEST]


# --- the way to another root


def test_a_rollover_takes_one_step_at_a_time_and_waits_until_it_was_seen(site):
    site.now = NOW
    site.puts(trust=MeshTrust(root="b"))
    site.observes()
    assert site.flushes().pushed == (paths.ROLLOVER_BRANCH,)
    assert site.inbox.look_again() is not None
    site.approves(paths.ROLLOVER_BRANCH)
    bundles = {name: step.bundle for name, step in site.main.facts.pki.steps.items()}
    assert sorted(bundles.values()) == [("a",), ("a", "b")]
    first = next(name for name, bundle in bundles.items() if bundle == ("a", "b"))
    assert site.flushes().pushed == ()  # the cluster says what it had before
    site.observes()
    site.flushes()
    assert site.open() == []
    site.later(minutes=3)
    site.observes()
    assert site.flushes().pushed == (paths.ROLLOVER_BRANCH,)
    site.approves(paths.ROLLOVER_BRANCH)
    assert {step.bundle for step in site.main.facts.pki.steps.values()} == {("a", "b")}
    assert first in bundles


def test_a_gate_opens_though_every_flush_comes_after_what_was_seen(site):
    site.now = NOW
    site.puts(trust=MeshTrust(root="b"))
    site.observes()
    site.flushes()
    site.approves(paths.ROLLOVER_BRANCH)
    for _ in range(5):  # shown, then asked since, then long enough
        site.later(minutes=1)
        site.observes()
        site.later(minutes=1)
        site.flushes()
    assert site.open() == [paths.ROLLOVER_BRANCH]


def test_an_open_step_of_a_rollover_survives_the_loss_of_redis(site):
    site.now = NOW
    site.puts(trust=MeshTrust(root="b"))
    site.observes()
    site.flushes()
    site.approves(paths.ROLLOVER_BRANCH)
    for _ in range(2):
        site.observes()
        site.flushes()
        site.later(minutes=3)
    site.observes()
    site.flushes()
    before = site.branch(paths.ROLLOVER_BRANCH).head
    site.inbox.wipe()
    assert site.flushes().closed == ()
    site.observes()
    assert site.flushes().closed == ()
    assert site.branch(paths.ROLLOVER_BRANCH).head == before
    site.observes(bundles=())
    assert site.flushes().closed == (paths.ROLLOVER_BRANCH,)
