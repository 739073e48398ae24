"""Two replicas of a syncer on a real API server and a real broker, and what can happen to all of them.

Whatever happens: what arrived last is what the cluster holds, and nothing that was there all along was missing from
anything that arrived.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from syncer.protocol.observation import Observation
from tests.e2e.edge import LEASE_SECONDS, Edge, Replica, edge, exported, wait_for
from tests.e2e.kubernetes import service_export_crd
from tests.servers.proxy import Proxy, proxy

STAYS = {"always", "forever"}
"""Services that nobody touches."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with edge(tmp_path_factory.mktemp("edge")) as made:
        made.export(*STAYS)
        yield made


@pytest.fixture(autouse=True)
def kept(site: Edge) -> Iterator[None]:
    """Holds after every test what holds after all of them."""
    before = len(site.arrivals.all)
    yield
    site.end()
    arrived = site.arrivals.all[before:]
    assert arrived
    assert [] == [exported(one) for one in arrived if not exported(one) >= STAYS]
    numbers = [one.sequence for one in arrived]
    assert sorted(set(numbers)) == numbers, "an older observation arrived after a newer one"


def two(site: Edge, **settings: str) -> tuple[Replica, Replica]:
    """Both ready, and what the cluster holds is said; the one that leads first."""
    seen = len(site.arrivals.all)
    both = [site.start(name, **settings) for name in ("one", "two")]
    for replica in both:
        replica.wait_ready()
    leader = site.leader(*both)
    site.wait_agreed(after=seen)
    return leader, next(replica for replica in both if replica is not leader)


def test_one_of_two_publishes_and_both_are_ready(site: Edge) -> None:
    leader, other = two(site)
    assert [(200, "ok\n")] * 4 == [each.asked(path) for each in (leader, other) for path in ("/healthz", "/readyz")]
    assert (1, 0) == (leader.metric("peermesh_syncer_leader"), other.metric("peermesh_syncer_leader"))
    assert leader.metric("peermesh_syncer_published_total") >= 1
    assert 0 == other.metric("peermesh_syncer_published_total")
    assert 2 == other.metric("peermesh_syncer_offers"), "it is warm"
    assert "/apis/" not in "".join(line for line in leader.log.splitlines() if "ERROR" in line)


def test_a_leader_that_is_stopped_releases_the_lease_and_the_other_one_goes_on_at_once(site: Edge) -> None:
    leader, other = two(site, PEERMESH_LEASE_DURATION="60")
    site.wait_agreed()
    stopped = time.monotonic()
    leader.end(signal.SIGTERM)
    assert "syncer of cluster west stopped" in leader.log
    other.wait_logged("leads from now on")
    assert time.monotonic() - stopped < 30  # of 60 that the Lease would last
    seen = len(site.arrivals.all)
    site.export("after-the-stop")
    site.wait_agreed(after=seen)
    site.withdraw("after-the-stop")
    site.wait_agreed(after=seen)


def test_when_the_leader_is_killed_the_other_one_takes_over(site: Edge) -> None:
    leader, other = two(site)
    seen = len(site.arrivals.all)
    leader.end(signal.SIGKILL)
    site.export("while-nobody-leads")
    site.arrivals.wait_for(lambda one: "while-nobody-leads" in exported(one), "the takeover", after=seen)
    assert other is site.leader(other)
    site.withdraw("while-nobody-leads")
    site.wait_agreed(after=seen)


def test_a_paused_leader_that_wakes_sends_nothing_of_what_it_had_to_say(site: Edge) -> None:
    leader, other = two(site)
    site.broker.stop()
    site.export("seen-before-the-pause")
    leader.wait_logged("not published, BrokerAway")
    wait_for(lambda: 3 == leader.metric("peermesh_syncer_offers"), "the leader to see it")
    leader.process.send(signal.SIGSTOP)
    site.withdraw("seen-before-the-pause")
    other.wait_logged("leads from now on")
    seen = len(site.arrivals.all)
    site.broker.restart()
    site.arrivals.wait_for(lambda one: STAYS == exported(one), "what the new leader says", after=seen)
    leader.process.send(signal.SIGCONT)
    leader.wait_logged("no longer leads")
    wait_for(lambda: 0 == leader.metric("peermesh_syncer_leader"), "it to know")
    site.export("after-the-pause")
    site.wait_agreed(after=seen)
    # What it had to say waited in its hands, under an older number; nothing of it was sent.
    wait_for(lambda: 3 == leader.metric("peermesh_syncer_offers"), "it to watch again")
    assert not [one for one in site.arrivals.all[seen:] if "seen-before-the-pause" in exported(one)]
    site.withdraw("after-the-pause")
    site.wait_agreed(after=seen)
    assert other is site.leader(leader, other)


def test_a_leader_paused_while_something_was_due_says_what_is_so_then_and_only_if_it_still_leads(site: Edge) -> None:
    leader, other = two(site, PEERMESH_QUIET=str(LEASE_SECONDS), PEERMESH_LONGEST=str(3 * LEASE_SECONDS))
    site.export("noticed-and-not-read")
    leader.process.send(signal.SIGSTOP)
    site.withdraw("noticed-and-not-read")
    seen = len(site.arrivals.all)
    other.wait_logged("leads from now on")
    leader.process.send(signal.SIGCONT)
    leader.wait_logged("no longer leads")
    site.export("after-the-pause")
    site.wait_agreed(after=seen)
    site.withdraw("after-the-pause")
    site.wait_agreed(after=seen)


@pytest.fixture
def line(site: Edge) -> Iterator[Proxy]:
    """Another way to the API server."""
    with proxy(site.cluster.port) as running:
        yield running


def through(site: Edge, line: Proxy) -> dict[str, str]:
    """The settings of a replica that takes that way."""
    path = site.kubeconfig.with_name("line.kubeconfig")
    path.write_text(site.kubeconfig.read_text().replace(f":{site.cluster.port}", f":{line.port}"))
    return {"PEERMESH_KUBECONFIG": str(path)}


def test_watches_that_are_cut_off_again_and_again_lose_nothing(site: Edge, line: Proxy) -> None:
    leader, _ = two(site, **through(site, line))
    seen = len(site.arrivals.all)
    for number in range(5):
        assert line.cut()
        site.export(f"cut-{number}")
        site.arrivals.wait_for(lambda one, name=f"cut-{number}": name in exported(one), "news", after=seen)  # type: ignore[misc]
    site.withdraw(*(f"cut-{number}" for number in range(5)))
    site.wait_agreed(after=seen)
    assert "peermesh_syncer_watch_restarts_total{" in leader.asked("/metrics")[1]


def test_a_replica_whose_watches_lag_reads_anew_when_it_takes_over(site: Edge, line: Proxy) -> None:
    leader = site.start("ahead")
    leader.wait_ready()
    site.leader(leader)
    behind = site.start("behind", **through(site, line))
    behind.wait_ready()
    assert line.silence()
    site.export("news")
    site.arrivals.wait_for(lambda one: "news" in exported(one), "news")
    seen = len(site.arrivals.all)
    leader.end(signal.SIGKILL)
    site.leader(behind)
    site.wait_agreed(after=seen)
    assert not [one for one in site.arrivals.all[seen:] if "news" not in exported(one)]
    site.withdraw("news")
    site.wait_agreed(after=seen)


def test_an_api_server_that_is_killed_and_started_again_is_read_anew(site: Edge) -> None:
    """After the start it has no version that a watch could go on from (410), and refuses everybody for a moment."""
    leader, other = two(site)
    for turn in range(2):
        seen = len(site.arrivals.all)
        site.cluster.kill()
        wait_for(lambda: 0 == leader.metric("peermesh_syncer_leader"), "the leader to give up")
        assert 200 == leader.asked("/healthz")[0] == other.asked("/healthz")[0]
        site.cluster.start()
        site.export(f"turn-{turn}")
        site.arrivals.wait_for(lambda one, name=f"turn-{turn}": name in exported(one), "news", after=seen)  # type: ignore[misc]
    site.withdraw(*(f"turn-{turn}" for turn in range(2)))
    site.wait_agreed(after=seen)
    assert 200 == leader.asked("/readyz")[0] == other.asked("/readyz")[0]


def test_a_frozen_api_server_costs_the_lease_and_nothing_else(site: Edge) -> None:
    leader, other = two(site)
    seen = len(site.arrivals.all)
    site.cluster.freeze()
    try:
        wait_for(lambda: 0 == leader.metric("peermesh_syncer_leader"), "the leader to give up")
    finally:
        site.cluster.thaw()
    site.leader(leader, other)
    site.export("after-the-thaw")
    site.wait_agreed(after=seen)
    site.withdraw("after-the-thaw")
    site.wait_agreed(after=seen)


def test_the_kind_of_service_exports_may_go_and_come_and_only_says_what_is_known(site: Edge) -> None:
    def knows(one: Observation) -> bool:
        return "serviceexport" in one.sources

    two(site)
    site.export("marked", source="serviceexport")
    site.arrivals.wait_for(lambda one: "marked" in exported(one, "serviceexport"), "a ServiceExport")
    seen = len(site.arrivals.all)
    site.cluster.kubectl("delete", "crd", "serviceexports.multicluster.x-k8s.io")
    site.arrivals.wait_for(lambda one: not knows(one), "the kind to go", after=seen)
    site.cluster.apply(service_export_crd())
    site.cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
    site.export("marked", source="serviceexport")
    site.arrivals.wait_for(
        lambda one: knows(one) and "marked" in exported(one, "serviceexport"), "it to come back", after=seen
    )
    site.wait_agreed(after=seen)
    # Whoever speaks of ServiceExports speaks of this one, from before its kind goes until it is made again.
    during = site.arrivals.all[seen:]
    back = next(
        index for index, one in enumerate(during) if knows(one) and any(not knows(two) for two in during[:index])
    )
    assert [] == [one.offers for one in during[:back] if knows(one) and "marked" not in exported(one, "serviceexport")]
    site.cluster.kubectl("-n", "shop", "delete", "serviceexport,service,deployment", "marked")
    site.wait_agreed(after=seen)


def test_a_token_that_was_replaced_is_taken_up(site: Edge) -> None:
    leader, _ = two(site)
    seen = len(site.arrivals.all)
    site.cluster.write_kubeconfig("syncer", {"token": site.token()})
    site.export("with-the-new-token")
    site.wait_agreed(after=seen)
    site.withdraw("with-the-new-token")
    site.wait_agreed(after=seen)
    assert 1 == leader.metric("peermesh_syncer_leader")
