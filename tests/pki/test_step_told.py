"""What the machine tells people: names for what is seen, and since when it is so."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from msgspec import structs

from syncer.protocol.trust import ObservedIssuer
from tests.pki.mesh_of_slips import cluster, intermediate, ordered, tree
from tests.pki.test_step import NOW, ROOTS, observed, seen_of, soaked, steady, step
from workers.documents.trust import PkiDocument
from workers.pki.step import Seen
from workers.tree import Tree


def turned() -> Tree:
    """West has just got an intermediate under another root, after the one under `a`."""
    standing = ordered(steady("west"), root="b")
    pki = {
        "pki/intermediates/west.yaml": intermediate("west", 2, "b"),
        "pki/trust.yaml": _steps(west=(["a", "b"], "b")),
    }
    return standing.with_facts(standing.facts.with_changes(pki))


def _steps(**clusters: tuple[list[str], str]) -> PkiDocument:
    steps = tree(*map(cluster, clusters), roots=ROOTS, steps=clusters).facts.pki.trust
    assert steps is not None
    return steps


def of_before(standing: Tree, *, istiod: bool = True) -> Seen:
    """Of all that west has, istiod or what it has given to workloads is as before."""
    issuer = observed(steady("west"), "west").issuers[0].issuer
    (proxy,) = observed(standing, "west").proxies
    old = {"issuers": (ObservedIssuer(pod="istiod-0", issuer=issuer),)} if istiod else {}
    said = observed(standing, "west", proxies=(structs.replace(proxy, issuer=issuer),), **old)
    return Seen(observed={"west": said}, observed_at={"west": NOW})


def test_what_signs_with_the_intermediate_before_is_told_by_that_name():
    standing = turned()
    told = soaked(standing, of_before(standing)).waiting["west"]
    assert "istiod istiod-0 still signs with an issuer that isn't known." in told
    earlier = {"west": (intermediate("west", 1, "a"),)}
    told = soaked(standing, replace(of_before(standing), earlier=earlier)).waiting["west"]
    assert "istiod istiod-0 still signs with intermediate 1 under root a, which main has replaced." in told
    told = soaked(standing, replace(of_before(standing, istiod=False), earlier=earlier)).waiting["west"]
    assert "the certificate of shop/web is still of intermediate 1 under root a, which main has replaced" in told


def test_a_name_from_the_past_opens_no_gate():
    standing = turned()
    for seen in (of_before(standing), of_before(standing, istiod=False)):
        unnamed = soaked(standing, seen)
        named = soaked(standing, replace(seen, earlier={"west": (intermediate("west", 1, "a"),)}))
        assert (unnamed.conditions, unnamed.steps) == (named.conditions, named.steps)
        assert "trust/west/free-of/a" not in named.conditions


def test_gates_that_are_open_are_told_with_since_when():
    standing = ordered(steady(), root="b")
    stepped = standing.with_facts(standing.facts.with_changes(soaked(standing, seen_of(standing)).steps[0].facts))
    hour = NOW - timedelta(hours=1)
    seen = seen_of(
        stepped, since={"trust/east/trusts/b": hour, "trust/east/shows/b": hour, "trust/west/trusts/b": hour}
    )
    phases = step(stepped, seen).phases
    assert [("seen to trust root b", hour)] == [(one.what, one.since) for one in phases["east"].lasting]
    assert () == phases["west"].lasting, "what was so before isn't so now"
    shows = step(stepped, replace(seen, since={"trust/east/shows/b": NOW - timedelta(minutes=1)})).phases["east"]
    assert ["its namespaces show root b"] == [one.what for one in shows.lasting]
