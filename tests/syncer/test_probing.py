"""The thread that asks: beside everything else, bounded, and only where this replica leads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from syncer import metrics
from syncer.cluster import ClusterState
from syncer.handshake import SIDECAR
from syncer.leader import Alone
from syncer.observe import observe
from syncer.probing import Prober
from syncer.protocol.certificates import fingerprint
from syncer.protocol.observation import Observation
from syncer.protocol.trust import ObservedIssuer, ObservedTrust
from syncer.rounds import Probing
from syncer.run import Syncer
from syncer.trust import NOTHING, Handshake, Sample
from tests.border.processes import wait_until
from tests.servers.tls import only_for, serving, tls
from tests.syncer.clusters import NOW, SCOPE, cluster
from tests.syncer.sidecars import LEAF, SYSTEM, TRUST_DOMAIN, WEST_1, A, B, istiod, roots, shown, workload
from tests.syncer.test_run import Following, Scripted

SECONDS = 60
WORKLOADS = [workload("a-1", "shop", ip="10.0.0.1"), workload("b-1", "bank", ip="10.0.0.2")]


class Answers:
    """In place of handshakes: what each address shows, and how often each was asked. Answers when it is `open`."""

    def __init__(self) -> None:
        self.shows: dict[str, Handshake] = {}
        self.asked: list[tuple[str, int, bytes, str]] = []
        self.open = threading.Event()
        self.open.set()
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def __call__(self, host: str, port: int, *, protocol: bytes, server_name: str = "", seconds: float) -> Handshake:
        assert seconds == Probing.patience
        with self._lock:
            self.asked.append((host, port, protocol, server_name))
            self._now += 1
            self.most = max(self.most, self._now)
        assert self.open.wait(SECONDS)
        with self._lock:
            self._now -= 1
        return self.shows.get(host, shown(LEAF, WEST_1, A))


class Site:
    """A prober whose clock a test moves by hand. `told`: rounds that ended; `looked`: how often it saw the clock."""

    def __init__(self, probing: Probing) -> None:
        self.answers = Answers()
        self.now = 0.0
        self.told = 0
        self.looked = 0
        self.prober = Prober(
            probing,
            SYSTEM,
            tell=self._tell,
            shake=self.answers,
            clock=self._clock,
        )

    def _clock(self) -> float:
        self.looked += threading.current_thread().name == "probe"
        return self.now

    def _tell(self) -> None:
        self.told += 1

    def look(self, *texts: str, after: float = 0.0) -> ClusterState:
        """The cluster is read."""
        self.now += after
        state = cluster(*texts)
        self.prober.look(state)
        return state

    def wait_told(self, times: int) -> Sample:
        wait_until(lambda: self.told >= times, what=f"{times} rounds", seconds=SECONDS)
        assert self.told == times
        return self.prober.sample


@contextmanager
def site(probing: Probing = Probing()) -> Iterator[Site]:  # noqa: B008 - it is immutable
    made = Site(probing)
    with made.prober:
        yield made
        made.answers.open.set()


def addresses(one: Site) -> list[str]:
    return sorted(host for host, *_ in one.answers.asked)


def test_workloads_and_istiods_are_asked_each_in_its_own_way() -> None:
    with site() as one:
        one.look(*WORKLOADS, istiod(ip="10.0.9.1"), roots("shop", A.pem))
        sample = one.wait_told(1)
    assert [
        ("10.0.0.1", 15099, SIDECAR, ""),
        ("10.0.0.2", 15099, SIDECAR, ""),
        ("10.0.9.1", 15012, b"h2", "istiod.istio-system.svc"),
    ] == sorted(one.answers.asked)
    assert {("bank", fingerprint(WEST_1.certificate)), ("shop", fingerprint(WEST_1.certificate))} == {
        (p.namespace, p.issuer) for p in sample.proxies
    }
    assert (ObservedIssuer(pod="istiod-1", issuer=fingerprint(WEST_1.certificate)),) == sample.issuers


def test_nobody_is_asked_before_the_cluster_was_read_or_where_nobody_is_there() -> None:
    with site() as one:
        assert NOTHING == one.prober.sample
        one.look(roots("shop", A.pem))
        wait_until(lambda: one.looked >= 3, what="a round of nobody", seconds=SECONDS)  # due, begun, ended
        one.look(*WORKLOADS, roots("shop", A.pem), after=1)
        one.look(*WORKLOADS, roots("shop", A.pem), after=Probing.hurry)
        one.wait_told(1)
    assert (["10.0.0.1", "10.0.0.2"], 1) == (addresses(one), one.told)


def test_a_namespace_that_is_new_is_asked_soon_without_being_waited_for() -> None:
    with site() as one:
        one.look(WORKLOADS[0], roots("shop", A.pem))
        one.wait_told(1)
        one.look(*WORKLOADS, roots("shop", A.pem), after=1)
        one.look(*WORKLOADS, roots("shop", A.pem), after=Probing.hurry)
        sample = one.wait_told(2)
    assert {"bank", "shop"} == {proxy.namespace for proxy in sample.proxies}


def test_a_round_is_made_at_once_when_roots_or_agent_change_and_not_for_anything_else() -> None:
    with site() as one:
        one.look(*WORKLOADS, roots("shop", A.pem))
        one.wait_told(1)
        one.look(*WORKLOADS, roots("shop", A.pem), "kind: Service\napiVersion: v1\nmetadata: {name: a}", after=1)
        one.answers.shows["10.0.0.1"] = shown(LEAF, WEST_1, A, B, names=(A.certificate, B.certificate))
        one.look(*WORKLOADS, roots("shop", A.pem, B.pem), after=Probing.least)
        sample = one.wait_told(2)
    assert 4 == len(one.answers.asked)
    assert {"bank": 1, "shop": 2} == {proxy.namespace: len(proxy.trusts) for proxy in sample.proxies}


def test_results_are_kept_until_the_same_pod_is_asked_again() -> None:
    pods = [workload(f"a-{i}", ip=f"10.0.0.{i}") for i in range(1, 4)]
    with site(Probing(pods=1)) as one:
        for i, text in enumerate((A.pem, A.pem + "\n", A.pem + "\n\n"), 1):
            one.look(*pods, roots("shop", text), after=Probing.least)
            sample = one.wait_told(i)
            assert i == len(sample.proxies)
        one.look(*pods[1:], roots("shop", B.pem), after=Probing.least)
        sample = one.wait_told(4)
    assert ["10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.3"] == addresses(one)
    assert ["a-2", "a-3"] == sorted(proxy.pod for proxy in sample.proxies)


def test_no_round_asks_more_than_it_may_nor_many_at_the_same_time() -> None:
    pods = [workload(f"a-{i}", ip=f"10.0.0.{i}") for i in range(60)]
    with site(Probing(pods=20)) as one:
        one.answers.open.clear()
        one.look(*pods)
        wait_until(lambda: one.answers.most == 8, what="eight at once", seconds=SECONDS)
        one.answers.open.set()
        one.wait_told(1)
    assert (20, 8) == (len(one.answers.asked), one.answers.most)


def test_where_nobody_may_be_asked_nobody_is() -> None:
    with site(Probing(pods=0)) as one:
        one.look(*WORKLOADS, istiod())
    assert ([], NOTHING, 0) == (one.answers.asked, one.prober.sample, one.told)


def test_the_end_waits_for_nobody_who_isnt_asked_yet() -> None:
    pods = [workload(f"a-{i}", ip=f"10.0.0.{i}") for i in range(50)]
    with site() as one:
        one.answers.open.clear()
        one.look(*pods)
        wait_until(lambda: len(one.answers.asked) == 8, what="the first", seconds=SECONDS)
        threading.Timer(0.05, one.answers.open.set).start()
        one.prober.__exit__()
    assert 8 == len(one.answers.asked)
    assert (NOTHING, 0) == (one.prober.sample, one.told)


def test_answers_and_silence_are_counted() -> None:
    def counted(outcome: str) -> float:
        return metrics.REGISTRY.get_sample_value("peermesh_syncer_probes_total", {"outcome": outcome}) or 0

    before = counted("answered"), counted("silent")
    with site() as one:
        one.answers.shows["10.0.0.2"] = Handshake(error="no answer within 3 s")
        one.look(*WORKLOADS)
        sample = one.wait_told(1)
    assert (before[0] + 1, before[1] + 1) == (counted("answered"), counted("silent"))
    assert {"bank": "no answer within 3 s", "shop": ""} == {proxy.namespace: proxy.error for proxy in sample.proxies}


# --- with the syncer


def test_what_is_observed_waits_for_no_answer_and_is_said_again_when_there_is_one() -> None:
    published: list[Observation] = []
    state = cluster(*WORKLOADS, roots("shop", A.pem))
    with site() as one:
        one.answers.open.clear()
        syncer = Syncer(SCOPE, Scripted(*[state] * 4), published.append, Alone(), one.prober)
        assert [True, False] == [syncer.read(NOW, heartbeat=False) for _ in range(2)]
        one.answers.open.set()
        one.wait_told(1)
        assert [True, False] == [syncer.read(NOW, heartbeat=False) for _ in range(2)]
    first, second = (observation.trust for observation in published)
    assert isinstance(first, ObservedTrust)
    assert isinstance(second, ObservedTrust)
    assert ((), None, 2) == (first.proxies, first.sampled_at, len(second.proxies))
    assert published[0].content() == published[1].content()


def test_one_that_doesnt_lead_asks_too_so_that_it_knows_something_when_it_begins_to() -> None:
    published: list[Observation] = []
    leader = Following()
    with site() as one:
        syncer = Syncer(SCOPE, Scripted(*[cluster(*WORKLOADS)] * 2), published.append, leader, one.prober)
        syncer.read(NOW, heartbeat=True)
        one.wait_told(1)
        leader.begin()
        assert [False, True] == [syncer.read(NOW, heartbeat=False) for _ in range(2)]
    (trust,) = (observation.trust for observation in published)
    assert isinstance(trust, ObservedTrust)
    assert 2 == len(trust.proxies)


# --- with real servers


def test_real_servers_are_seen_as_they_are() -> None:
    serve = only_for(SIDECAR, tls([LEAF, WEST_1, A], asks_for=[A.certificate, B.certificate]))
    serving_leaf = WEST_1.leaf(TRUST_DOMAIN)
    told = threading.Event()
    with ExitStack() as stack:
        port = stack.enter_context(serving(serve))
        istiod_port = stack.enter_context(serving(tls([serving_leaf, WEST_1, A], alpn=[b"h2"])))
        probing = Probing(port=port, istiod_port=istiod_port, patience=SECONDS)
        prober = stack.enter_context(Prober(probing, SYSTEM, tell=told.set))
        state = cluster(
            workload(ip="127.0.0.1"),
            workload("b", "bank", ip="127.0.0.1"),
            istiod(ip="127.0.0.1"),
            roots("shop", A.pem),
        )
        prober.look(state)
        assert told.wait(SECONDS)
        trust = observe(state, SCOPE, sequence=1, observed_at=NOW, sample=prober.sample).trust
    assert isinstance(trust, ObservedTrust)
    assert [("bank", "b"), ("shop", "a-1")] == [(proxy.namespace, proxy.pod) for proxy in trust.proxies]
    assert {(fingerprint(WEST_1.certificate), ("CN=a,O=acme", "CN=b,O=acme"), "")} == {
        (proxy.issuer, proxy.trusts, proxy.error) for proxy in trust.proxies
    }
    assert ((ObservedIssuer(pod="istiod-1", issuer=fingerprint(WEST_1.certificate)),), False, 1) == (
        trust.issuers,
        trust.self_signed,
        trust.unread,
    )
