"""The machine where an istiod made its root itself: what shows that its workloads trust another one, and its name."""

from __future__ import annotations

from dataclasses import replace

from msgspec import structs

from syncer.protocol.trust import ObservedAgent, ObservedBundle, ObservedIssuer, ObservedProxy, ObservedTrust
from tests.pki.mesh_of_slips import cluster, intermediate, root, tree
from tests.pki.slips import fingerprint
from tests.pki.test_step import NOW, observed, soaked, step
from workers.documents import paths
from workers.documents.trust import ClusterStep, TrustSpec
from workers.pki.step import Seen
from workers.tree import Tree


def own_root(subject: str, of: str) -> Tree:
    """West goes on with a root that its istiod made itself, which has this subject."""
    theirs = root(of, subject=subject, imported=True)
    return tree(
        cluster("east"), cluster("west"), roots=[root("a"), theirs], intermediates=[intermediate("east", 1, "a")],
        steps={"east": (["a"], "a"), "west": (["a", of], of)},
    )  # fmt: skip


def self_signed(standing: Tree, of: str, *trusts: str) -> Seen:
    """West's istiod has no `cacerts`: it publishes its own root, whatever its workloads trust."""
    own = fingerprint(standing.facts.pki.roots[of].spec.certificate)
    proxy = ObservedProxy(namespace="shop", pod="web", issuer=own, trusts=trusts, live=True, seen=NOW)
    west = ObservedTrust(
        bundles=(ObservedBundle(roots=(own,), namespaces=1, example="shop"),),
        issuers=(ObservedIssuer(pod="istiod-0", issuer=own),),
        proxies=(proxy,),
        sampled_at=NOW,
        istio="1.31.0",
        self_signed=True,
    )
    return Seen(observed={"east": observed(standing, "east"), "west": west}, observed_at={"east": NOW, "west": NOW})


def test_where_istiod_publishes_its_own_root_alone_workloads_tell_what_they_trust():
    standing = own_root("O=cluster.local", "old")
    before = soaked(standing, self_signed(standing, "old", "O=cluster.local"))
    assert "namespace shop doesn't show root a yet" in before.waiting["west"]
    (found,) = soaked(standing, self_signed(standing, "old", "O=cluster.local", "CN=a")).steps
    assert "Let west sign under root a" == found.title


def test_one_workload_that_trusts_a_root_says_nothing_of_the_next_one():
    standing = own_root("O=cluster.local", "old")
    seen = self_signed(standing, "old", "O=cluster.local", "CN=a")
    west = seen.observed["west"]
    lacks = structs.replace(west.proxies[0], pod="db", trusts=("O=cluster.local",))
    seen = replace(seen, observed={**seen.observed, "west": structs.replace(west, proxies=(*west.proxies, lacks))})
    found = soaked(standing, seen)
    assert ((), True) == (found.steps, "shop/db doesn't trust root a yet" in found.waiting["west"])


def test_what_an_istiod_that_made_its_root_itself_hasnt_read_isnt_called_refused():
    standing = own_root("O=cluster.local", "old")
    seen = self_signed(standing, "old", "O=cluster.local")
    roots = tuple(sorted(fingerprint(standing.facts.pki.roots[name].spec.certificate) for name in ("a", "old")))
    said = {}
    for trouble in ("Restart istiod", ""):
        agent = ObservedAgent(roots=roots, trouble=trouble)
        west = structs.replace(seen.observed["west"], agent=agent)
        said[trouble] = soaked(standing, replace(seen, observed={**seen.observed, "west": west})).waiting["west"]
    assert "Its agent says: Restart istiod." in said["Restart istiod"]
    assert ["RefusedByIstiod" in text for text in said.values()] == [False, True]


def test_two_imported_roots_of_one_subject_are_adopted_each_by_itself():
    """Each istiod that makes its root itself calls it after its trust domain, and most began as `cluster.local`."""
    name = "O=cluster.local"
    theirs = [root(of, subject=name, imported=True) for of in ("of-east", "of-west")]

    def standing(**steps: list[str]) -> Tree:
        bundles = {of: (bundle, f"of-{of}") for of, bundle in steps.items()}
        return tree(cluster("east"), cluster("west"), roots=[root("a"), *theirs], intermediates=[], steps=bundles)

    apart = standing(east=["of-east"], west=["of-west"])
    assert "SameSubject" not in str(step(apart, Seen()).waiting)
    together = standing(east=["of-east", "of-west"], west=["of-west"])
    assert "roots of-east and of-west have one subject" in step(together, Seen()).waiting["*"]


def test_nobody_signs_anew_while_an_imported_cluster_is_left_alone():
    """Nobody would see whether it trusts the wanted root, and its calls would fail."""
    standing = own_root("O=cluster.local", "old")
    seen = self_signed(standing, "old", "O=cluster.local", "CN=a")
    trust = standing.facts.pki.trust
    assert trust is not None
    north = {"north": ClusterStep(bundle=("old",), signer="old")}
    steps = structs.replace(trust, spec=TrustSpec(clusters={**trust.spec.clusters, **north}))
    more = Tree(
        mesh=standing.mesh,
        clusters={**standing.clusters, "north": cluster("north", None)},
        facts=standing.facts.with_changes({paths.TRUST: steps}),
    )
    found = soaked(more, seen)
    assert () == found.steps
    assert "north is imported and would lose its calls" in found.waiting["west"]
    assert soaked(standing, seen).steps
