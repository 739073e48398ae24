"""The robot never writes what it can't read: whatever of an offer is accepted can stand in `facts/`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from syncer.protocol.observation import Foreign, GatewayAddress, ObservedGateway
from syncer.protocol.offer import Offer, Port
from workers.accept import Unacceptable, accept, accept_foreign, accept_gateway
from workers.documents import paths
from workers.documents.kinds import (
    ClusterFacts,
    ClusterFactsSpec,
    Document,
    Export,
    ExportName,
    ExportSpec,
    GatewayFacts,
)
from workers.documents.reading import read
from workers.documents.strict import Name
from workers.documents.writing import write

WORDS = st.sampled_from(
    [
        "a",
        "reviews",
        "a.b",
        "",
        "A",
        "a_b",
        "-a",
        "../x",
        "a\n",
        "é",
        "env=prod",
        "env=",
        "=x",
        "a b=c",
        "x/y=z",
        "a" * 300,
    ]
)
NUMBERS = st.sampled_from([-1, 0, 1, 80, 9080, 65535, 65536])
WORD_SETS = st.lists(WORDS, max_size=3).map(tuple)
OFFERS = st.builds(
    Offer,
    namespace=st.just("bookinfo"),
    service=st.just("reviews"),
    source=st.just("label"),
    since=st.sampled_from([None, "2026-11-24T08:00:00Z", "2026-11-24T08:00:00Z\n", "now"]),
    headless=st.booleans(),
    ports=st.lists(
        st.builds(
            Port,
            name=WORDS | st.just("http"),
            number=NUMBERS,
            protocol=st.sampled_from([None, "HTTP", "UDP"]),
            target_port=NUMBERS,
        ),
        max_size=2,
    ).map(tuple),
    service_accounts=WORD_SETS,
    selector=st.dictionaries(WORDS, WORDS, max_size=2),
    consumers=st.none() | WORD_SETS,
    hosts=st.none() | WORD_SETS,
)
ADDRESSES = st.builds(
    GatewayAddress,
    ip=st.none() | st.sampled_from(["203.0.113.10", "2001:db8::1", "203.0.113.010", "x"]),
    host=st.none() | WORDS,
    port=NUMBERS,
)
GATEWAYS = st.builds(
    ObservedGateway,
    addresses=st.lists(ADDRESSES, max_size=3).map(tuple),
    cluster_ip=st.sampled_from([None, "10.0.3.7", "None", ""]),
    cluster_port=NUMBERS,
    wildcard=st.booleans(),
)
FOREIGN = st.lists(st.builds(Foreign, kind=WORDS, namespace=WORDS, name=WORDS, host=WORDS), max_size=3)


def _read_again(document: Document) -> Document:
    return read(paths.path_of(document), write(document))


@given(OFFERS)
def test_an_accepted_offer_is_a_readable_fact(offer: Offer):
    try:
        said = accept(offer)
    except Unacceptable:
        return
    spec = ExportSpec(
        source=offer.source,
        since=said.since,
        headless=offer.headless,
        ports=said.ports,
        service_accounts=said.service_accounts or ("reviews",),
        selector=said.selector or {},
        consumers=said.consumers,
        hosts=said.hosts or (),
    )
    export = Export(metadata=ExportName(name="reviews", namespace="bookinfo", cluster="west"), spec=spec)
    assert export == _read_again(export)


@given(GATEWAYS, FOREIGN)
def test_accepted_facts_of_a_cluster_are_readable(gateway: ObservedGateway, foreign: list[Foreign]):
    seen = accept_gateway(gateway)
    spec = ClusterFactsSpec(
        gateway=GatewayFacts(
            addresses=seen.addresses,
            cluster_ip=seen.cluster_ip,
            cluster_port=seen.cluster_port,
            wildcard=seen.wildcard,
        ),
        foreign=accept_foreign(foreign),
    )
    facts = ClusterFacts(metadata=Name(name="west"), spec=spec)
    assert facts == _read_again(facts)
