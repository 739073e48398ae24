"""CRLs of CAs that come and go: a list is everywhere before its CA signs, and as long as leaves under it live.

Where it isn't, Envoy refuses every leaf under that CA.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from syncer.protocol.certificates import fingerprint
from syncer.protocol.request import SignRequest
from syncer.protocol.revocation import listers, read_crls
from syncer.protocol.trust import ObservedAgent
from tests.core import trusting
from tests.core.trusting import (
    CLUSTERS,
    DUE,
    MADE,
    STEADY,
    TrustSite,
    changes_of,
    intermediate,
    managed,
    root,
    steps,
    with_rendering,
)
from tests.pki.authority import DAY
from tests.signer.site import sealing, sealing_certificate
from workers.documents import paths
from workers.documents.trust import Intermediate, MeshTrust, PkiDocument, Root
from workers.documents.writing import write
from workers.pki.lists import FORMER, former_crls, mesh_crls

REQUEST, CERTIFICATE = "peermesh/trust/request-west", "peermesh/trust/certificate-west"
LISTED = MeshTrust(root="a", crls=True)


def with_list(name: str = "a") -> Root:
    document = root(name)
    return replace(document, spec=replace(document.spec, crl=MADE.root(name).crl(lasts=365 * DAY)))


def listed(cluster: str, rotation: int = 1) -> Intermediate:
    return intermediate(cluster, rotation, crl=MADE.intermediate(cluster, rotation).crl(lasts=365 * DAY))


def documents() -> tuple[PkiDocument, ...]:
    return with_list(), with_list("b"), steps(east=STEADY, west=STEADY), *map(listed, CLUSTERS)


def asks(rotation: int = 2) -> SignRequest:
    return MADE.request("west", rotation, reason="renewal", with_crl=True)


def names(text: str) -> list[str]:
    """Whose lists they are, by their common names."""
    return [crl.issuer.rfc4514_string().split(",")[0].removeprefix("CN=") for crl in read_crls(text, subject="crl")]


def lists(site: TrustSite) -> list[str]:
    return names(mesh_crls(site.main.facts.pki))


@pytest.fixture
def site(tmp_path) -> TrustSite:
    """West's request for rotation 2 is approved and signed."""
    made = TrustSite(tmp_path, *documents(), trust=LISTED)
    made.asks(asks())
    made.flushes()
    made.approves(REQUEST)
    assert made.signs() == ("west",)
    return made


def test_the_list_of_an_intermediate_goes_out_when_its_request_is_approved(site):
    assert ["a", "east-1", "west-1", "west-2"] == lists(site)
    for name in CLUSTERS:
        assert 4 == site.fetched().files.read(f"clusters/{name}/ca/cacerts.yaml").count(b"BEGIN X509 CRL")


def test_a_certificate_waits_until_every_cluster_was_seen_to_have_its_list(site):
    before = tuple(one for one in site.lists() if one not in listers(asks().crl))
    site.observes("west")
    site.observes("east", agent=ObservedAgent(rotation=1, crls=before))
    report = site.flushes()
    assert [] == site.open()
    assert "east must be seen to have its CRL before anybody signs with it" in report.said["west: trust"]
    site.observes()
    assert "seen for 0 s; the next step waits for 2 min" in site.flushes().said["west: trust"]
    site.later(minutes=2)
    site.observes()
    site.flushes()
    assert [CERTIFICATE] == site.open()


def test_a_cluster_that_is_silent_is_waited_for(site):
    site.observes("west")
    assert "nothing was heard of its trust yet" in site.flushes().said["west: trust"]


def test_the_lists_are_the_same_before_and_after_the_certificate(site):
    before = lists(site)
    certified(site)
    assert before == lists(site)
    standing = site.main.facts.pki.intermediates["west"].spec
    assert (["west-2"], ["west-1"]) == (names(standing.crl), names(standing.former_crls))


def test_an_open_certificate_stays_though_redis_was_lost(site):
    opened(site)
    branch = site.branch(CERTIFICATE).head
    site.inbox.wipe()
    site.flushes()
    assert branch == site.branch(CERTIFICATE).head


def test_no_request_is_proposed_twice_because_of_lists(site):
    certified(site)
    site.observes()
    assert (site.flushes().pushed, site.open()) == ((), [])


def test_where_a_compromised_root_is_distrusted_first_nobody_waits_for_lists(site):
    first = MeshTrust(root="a", crls=True, compromised=("b",), distrust_first=True)
    site.puts(trust=first)
    site.flushes()
    assert [CERTIFICATE] == site.open()


def test_where_there_are_no_lists_nobody_waits_for_them(tmp_path):
    site = TrustSite(tmp_path, *documents())
    site.asks(asks())
    site.flushes()
    site.approves(REQUEST)
    site.signs()
    site.flushes()
    assert [CERTIFICATE] == site.open()


def opened(site: TrustSite) -> None:
    """The certificate is proposed."""
    for _ in range(2):
        site.observes()
        site.flushes()
        site.later(minutes=2)
    assert [CERTIFICATE] == site.open()


def certified(site: TrustSite) -> None:
    opened(site)
    site.approves(CERTIFICATE)
    assert 2 == site.main.facts.pki.intermediates["west"].spec.rotation


# --- how long a list stays


def test_the_lists_of_the_last_intermediates_stay_and_older_ones_go():
    made = [listed("west", 1)]
    for rotation in range(2, FORMER + 3):
        crl = MADE.intermediate("west", rotation).crl(now=DUE + rotation * DAY, lasts=365 * DAY)
        made.append(intermediate("west", rotation, crl=crl, former_crls=former_crls(made[-1].spec)))
    assert [[], ["west-1"], ["west-1", "west-2"], ["west-1", "west-2", "west-3"], ["west-2", "west-3", "west-4"]] == [
        names(one.spec.former_crls) for one in made
    ]


def test_a_first_intermediate_and_one_without_a_list_leave_none():
    assert former_crls(None) == former_crls(intermediate("west").spec) == ""


def test_former_lists_do_not_make_up_for_a_missing_one():
    bare = intermediate("west", 2, former_crls=listed("west").spec.crl)
    assert "" == mesh_crls(trusting.tree(with_list(), steps(west=STEADY), bare).facts.pki)


# --- whom nobody hears


def test_a_cluster_without_an_agent_is_given_a_quarter_of_an_hour(site):
    certificate = sealing_certificate()
    sealed = managed("east", delivery="sealed-secrets", sealing=fingerprint(certificate))
    changes = {**changes_of(sealing(certificate, "east")), paths.cluster_path("east"): write(sealed)}
    site.commits(with_rendering(site.fetched().files, changes))
    said = []
    for _ in range(3):
        site.observes("west")
        site.observes("east", agent=None)
        said.append(site.flushes().said.get("west: trust", ""))
        site.later(minutes=8)
    assert ["seen for 0 s; the next step waits for 15 min", "seen for 8 min; the next step waits for 15 min", ""] == [
        text.rpartition("signs with it: ")[2].rstrip(".") for text in said
    ]
    assert CERTIFICATE in site.open()
