"""The machine on small trees: what one history can't show, or only at length."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import structs

from syncer.protocol.request import SignRequest
from syncer.protocol.trust import ObservedAgent, ObservedBundle, ObservedIssuer, ObservedProxy, ObservedTrust
from tests.pki.mesh_of_slips import cluster, cross_slip, intermediate, key_of, ordered, root, root_slip, tree
from tests.pki.slips import BEGIN, SLIPS, fingerprint, slip
from workers.documents.kinds import Cluster
from workers.documents.trust import CertificateRequest, ClusterTrust, Intermediate, Order, PkiDocument, Trust
from workers.pki.state import plain
from workers.pki.step import Next, Seen, next_step
from workers.tree import Tree

NOW = BEGIN + timedelta(days=100)
ROOTS = (root("a"), root("b", crossed_by=["a"]))
SEALING = slip("CN=sealed-secrets", "CN=sealed-secrets", "key of the controller")


def steady(*names: str, under: str = "a", **orders) -> Tree:
    """Clusters that trust and sign under one root."""
    return tree(
        *map(cluster, names or ("east", "west")),
        roots=ROOTS,
        intermediates=[intermediate(name, 1, under) for name in names or ("east", "west")],
        steps={name: ([under], under) for name in names or ("east", "west")},
        **orders,
    )


def observed(standing: Tree, name: str, **change) -> ObservedTrust:
    """A cluster that does what the tree says."""
    roots, spec = standing.facts.pki.steps[name].bundle, standing.facts.pki.intermediates[name].spec
    issuer = fingerprint(spec.certificate)
    proxy = ObservedProxy(
        namespace="shop", pod="web", issuer=issuer, trusts=tuple(f"CN={one}" for one in roots), live=True, seen=NOW
    )
    said = ObservedTrust(
        bundles=(
            ObservedBundle(roots=tuple(fingerprint(root_slip(one)) for one in roots), namespaces=1, example="shop"),
        ),
        issuers=(ObservedIssuer(pod="istiod-0", issuer=issuer),),
        proxies=(proxy,),
        sampled_at=NOW,
        istio="1.31.0",
    )
    return structs.replace(said, **change)


def seen_of(standing: Tree, **change) -> Seen:
    """Everybody does what the tree says."""
    names = standing.facts.pki.steps
    return Seen(
        observed={name: observed(standing, name) for name in names}, observed_at=dict.fromkeys(names, NOW), **change
    )


def step(standing: Tree, seen: Seen) -> Next:
    return next_step(standing, seen, NOW, papers=SLIPS)


def soaked(standing: Tree, seen: Seen) -> Next:
    """After all that holds has held for a day."""
    since = dict.fromkeys(step(standing, seen).conditions, NOW - timedelta(days=1))
    return step(standing, replace(seen, since=since))


def test_nothing_is_said_where_people_order_nothing():
    standing = steady()
    silent = Tree(
        mesh=structs.replace(standing.mesh, spec=structs.replace(standing.mesh.spec, trust=None)),
        clusters=standing.clusters,
        facts=standing.facts,
    )
    assert Next() == step(silent, seen_of(standing))


def test_where_all_is_as_wanted_nothing_is_proposed_and_nobody_waits():
    found = step(steady(), seen_of(steady()))
    assert ((), {}) == (found.steps, dict(found.waiting))
    assert ["steady", "steady"] == [phase.name for phase in found.phases.values()]


def test_the_same_arguments_give_the_same_answer():
    standing = ordered(steady(), root="b")
    assert soaked(standing, seen_of(standing)) == soaked(standing, seen_of(standing))


def test_a_step_of_a_rollover_changes_one_cluster_in_one_document():
    standing = ordered(steady(), root="b")
    (found,) = soaked(standing, seen_of(standing)).steps
    (document,) = found.facts.values()
    assert isinstance(document, Trust)
    before = standing.facts.pki.steps
    assert ["east"] == [name for name, one in document.spec.clusters.items() if one != before[name]]
    assert ("a", "b") == document.spec.clusters["east"].bundle
    assert ("peermesh/trust/rollover", ("rollover",)) == (found.branch, found.classes)


def test_a_proposal_says_what_changes_why_now_and_how_it_is_taken_back():
    standing = ordered(steady(), root="b")
    (found,) = soaked(standing, seen_of(standing)).steps
    assert "Why now: " in " ".join(found.sentences)
    assert "To take it back" in " ".join(found.sentences)


def test_clusters_that_are_not_managed_are_named_in_a_step_and_not_waited_for():
    standing = ordered(steady(), root="b")
    more = Tree(mesh=standing.mesh, clusters={**standing.clusters, "lone": cluster("lone", None)}, facts=standing.facts)
    (found,) = soaked(more, seen_of(standing)).steps
    assert "Not managed here, so not waited for: lone." == found.sentences[-1]


def test_a_syncer_that_begins_anew_closes_the_gates_and_no_wait_begins_anew():
    standing = ordered(steady(), root="b")
    before = step(standing, seen_of(standing)).conditions
    restarted = replace(
        seen_of(standing),
        observed={
            "east": observed(standing, "east", sampled_at=None, issuers=(), proxies=()),
            "west": observed(standing, "west"),
        },
        since=dict.fromkeys(before, NOW - timedelta(hours=23)),
    )
    begun = {"trust/east/begins/"}
    assert before | begun == step(standing, restarted).conditions
    for_long = {**restarted.since, "trust/east/begins/": NOW - timedelta(minutes=16)}
    forgotten = step(standing, replace(restarted, since=for_long)).conditions
    assert begun == {name for name in forgotten if name.startswith("trust/east/")}


def test_old_observations_and_old_handshakes_open_nothing():
    standing = ordered(steady(), root="b")
    stepped = standing.with_facts(standing.facts.with_changes(soaked(standing, seen_of(standing)).steps[0].facts))
    old = {name: observed(stepped, name, sampled_at=NOW - timedelta(minutes=16)) for name in ("east", "west")}
    seen = Seen(observed=old, observed_at=dict.fromkeys(old, NOW))
    assert "its syncer's last handshakes are 16 min old" in soaked(stepped, seen).waiting["east"]
    never = Seen(observed={"east": observed(stepped, "east", sampled_at=None)}, observed_at={"east": NOW})
    assert "its syncer has made no handshakes" in soaked(stepped, never).waiting["east"]
    assert "nothing was heard of its trust yet" in soaked(stepped, Seen()).waiting["east"]


def test_a_proxy_that_was_asked_before_the_root_came_proves_nothing():
    standing = ordered(steady(), root="b")
    stepped = standing.with_facts(standing.facts.with_changes(soaked(standing, seen_of(standing)).steps[0].facts))
    proxy = structs.replace(observed(stepped, "east").proxies[0], seen=NOW - timedelta(hours=1))
    seen = Seen(
        observed={"east": observed(stepped, "east", proxies=(proxy,)), "west": observed(stepped, "west")},
        observed_at=dict.fromkeys(("east", "west"), NOW),
        since={"trust/east/shows/b": NOW - timedelta(minutes=30)},
    )
    assert "shop/web wasn't asked since" in step(stepped, seen).waiting["east"]


def test_what_a_cluster_says_is_harmless_text():
    standing = ordered(steady(), root="b")
    stepped = standing.with_facts(standing.facts.with_changes(soaked(standing, seen_of(standing)).steps[0].facts))
    agent = ObservedAgent(trouble="](http://evil)\n# **merge me** <img>")
    said = observed(stepped, "east", bundles=observed(standing, "west").bundles, agent=agent)
    found = step(stepped, Seen(observed={"east": said}, observed_at={"east": NOW}))
    assert "Its agent says: ?(http://evil)?? ??merge me?? ?img?." in found.waiting["east"]
    assert 160 == len(plain("x" * 1000))


def test_why_an_agent_put_a_change_back_is_told_to_its_end():
    standing = steady()
    why = f"istiod istiod-1 still signs with another certificate, {'so ' * 50}the previous content was put back"
    agent = ObservedAgent(trouble=f"{why}. Order another rotation, or take the change back in Git.", restored=True)
    found = step(standing, Seen(observed={"east": observed(standing, "east", agent=agent)}, observed_at={"east": NOW}))
    assert f"{why}. Order another rotation, or take the change back in Git. Mend the cause" in found.waiting["east"]


@pytest.mark.parametrize("istio", ["1." + "9" * 5000, "1.26.4", "1.31.0,1.9.2", "", "1.2](http://evil)"])
def test_a_version_of_istio_that_takes_no_crls_is_refused_in_harmless_words(istio):
    standing = ordered(steady(), crls=True)
    heard = {"east": observed(standing, "east", istio=istio), "west": observed(standing, "west")}
    found = step(standing, Seen(observed=heard, observed_at=dict.fromkeys(heard, NOW))).waiting["*"]
    assert "refused (OldIstio): istiod of east is " in found
    assert "istiod of west" not in found
    assert "](" not in found


# --- sealed-secrets


def sealed(pinned: str | None = fingerprint(SEALING)) -> Cluster:
    return cluster("west", ClusterTrust(delivery="sealed-secrets", sealing=pinned))


def to_seal(who: Cluster, *, sealing: str | None = SEALING, **orders) -> Tree:
    documents = {"west": sealing} if sealing else {}
    return tree(who, roots=ROOTS, steps={"west": (["a"], "a")}, sealing=documents, **orders)


def test_with_sealed_secrets_the_request_is_proposed_without_anybody_asking():
    (found,) = step(to_seal(sealed()), Seen()).steps
    (document,) = found.facts.values()
    assert isinstance(document, CertificateRequest)
    spec = document.spec
    assert (1, "first", "a", "", fingerprint(SEALING)) == (
        spec.rotation, spec.reason, spec.root, spec.csr, spec.key_fingerprint
    )  # fmt: skip
    assert ("request",) == found.classes


@pytest.mark.parametrize(
    ("who", "sealing", "rule"),
    [
        (sealed(), None, "NoSealingCertificate"),
        (sealed(None), SEALING, "NoSealingCertificate"),
        (sealed("sha256:another"), SEALING, "ForeignSealingCertificate"),
        (
            sealed(fingerprint(slip("CN=old", "CN=old", "k", life=timedelta(days=1)))),
            slip("CN=old", "CN=old", "k", life=timedelta(days=1)),
            "ExpiredSealingCertificate",
        ),
    ],
    ids=["there is none", "it isn't pinned", "another is pinned", "it has ended"],
)
def test_nothing_is_sealed_for(who, sealing, rule):
    found = step(to_seal(who, sealing=sealing), Seen())
    assert () == found.steps
    assert found.waiting["west"].startswith(f"refused ({rule}): ")


def delivered(standing: Tree) -> Tree:
    """After its first intermediate came."""
    (request,) = step(standing, Seen()).steps
    asked = standing.with_facts(standing.facts.with_changes(request.facts))
    made = intermediate("west", 1, "a", sealed="c2VhbGVk")
    (certificate,) = step(asked, Seen(signed={"west": made})).steps
    return asked.with_facts(asked.facts.with_changes(certificate.facts))


def test_another_sealing_certificate_is_a_reviewed_change_and_another_rotation():
    standing = delivered(to_seal(sealed(), renewal_requests="approved"))
    assert () == step(standing, Seen()).steps
    new = slip("CN=sealed-secrets-2", "CN=sealed-secrets-2", "another key")
    changed = to_seal(sealed(fingerprint(new)), sealing=new, renewal_requests="approved")
    pki = standing.facts.pki
    kept: dict[str, PkiDocument] = {
        "pki/requests/west.yaml": pki.requests["west"],
        "pki/intermediates/west.yaml": pki.intermediates["west"],
    }
    (found,) = step(changed.with_facts(changed.facts.with_changes(kept)), Seen()).steps
    (document,) = found.facts.values()
    assert isinstance(document, CertificateRequest)
    assert (2, "ordered", ("request",)) == (document.spec.rotation, document.spec.reason, found.classes)


def test_a_key_that_is_to_be_sealed_comes_sealed():
    standing = to_seal(sealed())
    (request,) = step(standing, Seen()).steps
    asked = standing.with_facts(standing.facts.with_changes(request.facts))
    found = step(asked, Seen(signed={"west": intermediate("west", 1, "a")}))
    assert "refused (NotSealed): its key isn't sealed in it" in found.waiting["west"]


# --- requests


def asks(name: str, rotation: int, **change) -> SignRequest:
    said = SignRequest(
        mesh="acme", cluster=name, sequence=1, requested_at=NOW, rotation=rotation, reason="ordered",
        csr=key_of(name, rotation),
    )  # fmt: skip
    return structs.replace(said, **change)


def test_two_clusters_never_get_one_key():
    standing = ordered(steady(), rotate=_orders("east", "west"))
    found = step(
        standing, seen_of(standing, requests={"east": asks("east", 2, csr="k"), "west": asks("west", 2, csr="k")})
    )
    assert () == found.steps
    assert "refused (ReusedKey): its key is known from the request of west" in found.waiting["east"]
    assert "refused (ReusedKey): its key is known from the request of east" in found.waiting["west"]


def test_one_bad_cluster_stops_no_other():
    standing = ordered(steady(), rotate=_orders("east", "west"))
    bad = asks("west", 2, cluster="east")
    found = step(standing, seen_of(standing, requests={"east": asks("east", 2), "west": bad}))
    assert ["peermesh/trust/request-east"] == [one.branch for one in found.steps]
    assert "refused (BadRequest): ForeignCluster" in found.waiting["west"]


def test_a_trust_domain_that_no_constraint_holds_gets_nothing():
    standing = ordered(steady(), rotate=_orders("west"))
    bad = structs.replace(standing.clusters["west"].spec, trust_domain="west_1.example")
    clusters = {**standing.clusters, "west": structs.replace(standing.clusters["west"], spec=bad)}
    found = step(
        Tree(mesh=standing.mesh, clusters=clusters, facts=standing.facts),
        seen_of(standing, requests={"west": asks("west", 2)}),
    )
    assert "refused (TrustDomain): it has an underscore" in found.waiting["west"]


def _orders(*names: str):
    return {name: Order(rotation=2) for name in names}


# --- certificates


def test_a_certificate_is_proposed_without_a_change_of_anything_else():
    standing = ordered(steady(), rotate=_orders("west"))
    (request,) = step(standing, seen_of(standing, requests={"west": asks("west", 2)})).steps
    asked = standing.with_facts(standing.facts.with_changes(request.facts))
    made = intermediate("west", 2, "a")
    (found,) = step(asked, seen_of(asked, signed={"west": made})).steps
    assert {"pki/intermediates/west.yaml": made} == dict(found.facts)
    assert ("peermesh/trust/certificate-west", ("renewal",)) == (found.branch, found.classes)


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        (intermediate("east", 2, "a", key=key_of("west", 2)), "NotAsRequested"),
        (intermediate("west", 2, "b", key=key_of("west", 2)), "NotAsRequested"),
        (intermediate("west", 3, "a"), "NotApproved"),
        (intermediate("west", 2, "a", key="key of a stranger"), "ForeignKey"),
        (intermediate("west", 2, "a", sealed="a2V5"), "ForeignKey"),
        (intermediate("west", 2, "a", lever=1), "WrongLever"),
        (intermediate("west", 2, "a", crl="a list"), "ForeignCrl"),
        (
            structs.replace(
                intermediate("west", 2, "a"),
                spec=structs.replace(
                    intermediate("west", 2, "a").spec, certificate=slip("CN=x", "CN=z", key_of("west", 2))
                ),
            ),
            "BadCertificate",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_certificate_that_does_not_answer_its_request_is_refused(made, rule):
    standing = ordered(steady(), rotate=_orders("west"))
    (request,) = step(standing, seen_of(standing, requests={"west": asks("west", 2)})).steps
    asked = standing.with_facts(standing.facts.with_changes(request.facts))
    found = step(asked, seen_of(asked, signed={"west": made}))
    assert () == found.steps
    assert f"refused ({rule}): " in found.waiting["west"]


def test_the_cross_certificate_goes_when_nobody_needs_it():
    standing = steady(under="b", root="b")
    crossed = intermediate("west", 1, "b", crossed_by="a")
    standing = standing.with_facts(standing.facts.with_changes({"pki/intermediates/west.yaml": crossed}))
    (found,) = soaked(standing, seen_of(standing)).steps
    (document,) = found.facts.values()
    assert isinstance(document, Intermediate)
    assert (cross_slip("b", "a"), "") == (crossed.spec.chain, document.spec.chain)
    assert structs.replace(crossed.spec, chain="") == document.spec


def test_two_roots_of_one_subject_cannot_be_told_apart():
    twin = root("b", subject="CN=a")
    standing = tree(
        cluster("west"), roots=[root("a"), twin], intermediates=[intermediate("west", 1, "a")],
        steps={"west": (["a"], "a")}, root="b",
    )  # fmt: skip
    assert "refused (SameSubject): roots a and b have one subject" in step(standing, seen_of(standing)).waiting["*"]
