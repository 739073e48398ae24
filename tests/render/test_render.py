"""Which files stand where, what they are called, and what is rendered once."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from syncer.protocol.names import is_label, is_subdomain
from tests.core import trusting
from tests.meshes import cluster, export, facts, key, mesh, port, tree_of, with_exports, without_exports
from tests.pki.authority import DAY
from workers.documents.trust import ClusterStep, Intermediate, MeshTrust, Order
from workers.reach import reach
from workers.render import Memo, Only, Rendered, render
from workers.render.lint import lint
from workers.tree import Tree

REVIEWS = Only(services=frozenset({key("bookinfo/reviews")}))


def names(file: Rendered | None) -> list[tuple[str, str]]:
    assert file is not None
    return [(content["kind"], content["metadata"]["name"]) for content in file.objects]


def parts(tree: Tree, only: Only) -> dict[str, bool]:
    """Path, and whether a file stands there."""
    return {path: file is not None for path, file in render(tree, reach(tree), only).items()}


def spec(tree: Tree, path: str, kind: str) -> Any:
    file = render(tree, reach(tree))[path]
    assert file is not None
    return next(content["spec"] for content in file.objects if content["kind"] == kind)


def test_a_mesh_without_exports_renders_nothing():
    tree = tree_of(cluster("west"))
    assert {} == render(tree, reach(tree))


def test_a_file_holds_the_rule_before_the_entries_and_the_name_of_the_template_before_others():
    hosts = ("z.shop.example.com", "a.shop.example.com")
    tree = tree_of(
        cluster("west"),
        cluster("east"),
        export("bookinfo/reviews", "west", hosts=hosts),
        export("bookinfo/reviews", "east", hosts=hosts, ports=(port(9080, "http", "HTTP"), port(9443))),
    )
    file = render(tree, reach(tree))["clusters/west/imports/bookinfo/reviews.yaml"]
    assert [
        (kind, f"reviews.bookinfo{name}{group}")
        for name in ("", ".a.shop.example.com", ".z.shop.example.com")
        for kind, group in (("DestinationRule", ""), ("ServiceEntry", ""), ("ServiceEntry", ".p9443"))
    ] == names(file)


def test_what_is_withdrawn_everywhere_is_named_with_nothing():
    west, east = cluster("west"), cluster("east")
    tree = without_exports(tree_of(west, east, export("bookinfo/reviews", "west")), ("bookinfo/reviews", "west"))
    assert parts(tree, REVIEWS) == {
        "clusters/east/gateway/bookinfo.yaml": False,
        "clusters/east/imports/bookinfo/reviews.yaml": False,
        "clusters/west/gateway/bookinfo.yaml": False,
        "clusters/west/imports/bookinfo/reviews.yaml": False,
    }


def test_all_gateways_of_a_cluster_include_those_of_namespaces_that_export_nothing_any_more():
    exports = export("bookinfo/reviews", "west"), export("shop/cart", "west")
    tree = without_exports(tree_of(cluster("west"), cluster("east"), *exports), ("shop/cart", "west"))
    assert parts(tree, Only(gateways=frozenset({"west"}))) == {
        "clusters/west/gateway/bookinfo.yaml": True,
        "clusters/west/gateway/shop.yaml": False,
    }


def test_a_service_that_nobody_can_call_is_not_let_in():
    """Without any address not even its own cluster can call it; with a cluster address that one can."""
    made = cluster("west"), cluster("east"), export("bookinfo/reviews", "west")
    assert parts(tree_of(*made, facts("west")), REVIEWS) == dict.fromkeys(parts(tree_of(*made), REVIEWS), False)
    assert parts(tree_of(*made, facts("west", cluster_ip="10.0.3.7")), REVIEWS) == {
        "clusters/east/gateway/bookinfo.yaml": False,
        "clusters/east/imports/bookinfo/reviews.yaml": False,
        "clusters/west/gateway/bookinfo.yaml": True,
        "clusters/west/imports/bookinfo/reviews.yaml": True,
    }


def test_an_address_that_is_written_twice_is_one_endpoint():
    tree = tree_of(cluster("west", addresses=("203.0.113.10", "203.0.113.10:15443")), export("bookinfo/a", "west"))
    tree = tree_of(*tree.clusters.values(), facts("west"), export("bookinfo/a", "west"))
    entry = spec(tree, "clusters/west/imports/bookinfo/a.yaml", "ServiceEntry")
    assert ["203.0.113.10"] == [endpoint["address"] for endpoint in entry["endpoints"]]


def test_names_stay_within_the_bounds_of_kubernetes():
    long = "n" * 63
    claim = f"{'a' * 60}.{'b' * 60}.{'c' * 60}.shop.example.com"
    tree = tree_of(
        mesh(additional=(("*.shop.example.com", long),)),
        cluster("west"),
        cluster("east"),
        export(f"{long}/{long}", "west", hosts=(claim,)),
        export(f"{long}/{long}", "east", hosts=(claim,), ports=(port(9080, "http", "HTTP"), port(9443))),
    )
    files = render(tree, reach(tree))
    made = {name for file in files.values() for name in names(file)}
    assert len(made) == 7
    assert all(is_label(name) if kind == "Gateway" else is_subdomain(name) for kind, name in made), made
    assert lint(tree, reach(tree), files, whole=True) == ()


def test_equal_consumers_share_one_file():
    tree = tree_of(*map(cluster, ("west", "a", "b", "c")), export("bookinfo/reviews", "west"))
    files = render(tree, reach(tree))
    assert 2 == len({id(files[f"clusters/{name}/imports/bookinfo/reviews.yaml"]) for name in ("west", "a", "b", "c")})


def test_a_memo_gives_back_what_did_not_change():
    memo = Memo()
    old = tree_of(cluster("west"), cluster("east"), export("bookinfo/reviews", "west"), export("shop/cart", "west"))
    new = with_exports(old, export("shop/cart", "west", ports=(port(80),)))
    before, after = render(old, reach(old), memo=memo), render(new, reach(new), memo=memo)
    assert [
        "clusters/east/imports/shop/cart.yaml",
        "clusters/west/imports/shop/cart.yaml",
    ] == [path for path in after if after[path] is not before[path]]


def test_a_memo_that_is_too_small_changes_no_byte():
    tree = tree_of(*map(cluster, ("west", "a")), *(export(f"bookinfo/s{number}", "west") for number in range(5)))
    assert render(tree, reach(tree)) == render(tree, reach(tree), memo=Memo(limit=2))


# --- trust


TRUST = Only(authorities=frozenset({"east", "west"}))
CA = "clusters/west/ca/cacerts.yaml"


def data(tree: Tree, path: str = CA) -> dict[str, str]:
    file = render(tree, reach(tree))[path]
    assert file is not None
    [content] = file.objects
    return dict(content["data"])


def test_nothing_is_rendered_of_clusters_whose_certificates_are_not_managed():
    managed = trusting.tree(*trusting.begun())
    assert {CA, "clusters/east/ca/cacerts.yaml"} == set(render(managed, reach(managed)))
    others = tree_of(mesh(trust=MeshTrust(root="a")), cluster("west"), cluster("east"), *trusting.begun())
    left_alone = tree_of(mesh(), *map(trusting.managed, ("west", "east")), *trusting.begun())
    not_yet = trusting.tree(trusting.root("a"), trusting.intermediate("west"))
    for tree in (others, left_alone, not_yet):
        assert {} == render(tree, reach(tree))
        assert {CA: False, "clusters/east/ca/cacerts.yaml": False} == parts(tree, TRUST)


def test_the_chain_begins_with_the_intermediate_and_holds_no_root():
    crossed = trusting.intermediate("west", chain=trusting.MADE.cross("a", by="b").pem)
    said = data(trusting.tree(trusting.root("a"), trusting.steps(west=trusting.STEADY), crossed))
    assert said["ca-cert.pem"] == crossed.spec.certificate
    assert said["cert-chain.pem"] == crossed.spec.certificate + crossed.spec.chain


def test_the_lever_is_line_breaks_after_the_bundle():
    both = ClusterStep(bundle=("a", "b"), signer="a")
    roots = trusting.root("a"), trusting.root("b")
    pem = "".join(root.spec.certificate for root in roots)
    for lever in (0, 2):
        tree = trusting.tree(*roots, trusting.steps(west=both), trusting.intermediate("west", lever=lever))
        assert data(tree)["root-cert.pem"] == pem + "\n" * lever


def test_a_cluster_without_an_intermediate_of_ours_gets_the_bundle_alone():
    said = data(trusting.tree(trusting.root("a"), trusting.steps(west=trusting.STEADY)))
    assert {"rotation": "0", "wanted": "1", "reason": "first", "root": "a"} == {
        name: said[name] for name in ("rotation", "wanted", "reason", "root")
    }
    assert "ca-cert.pem" not in said
    assert "renewAfter" not in said


def test_what_is_ordered_is_wanted_at_once_and_what_is_due_when_its_time_comes():
    ordered = MeshTrust(root="a", rotate={"west": Order(rotation=2, reason="compromised")})
    said = data(trusting.tree(*trusting.begun(), trust=ordered))
    assert ("1", "2", "compromised") == (said["rotation"], said["wanted"], said["reason"])
    said = data(trusting.tree(*trusting.begun()))
    assert ("1", "1", "renewal") == (said["rotation"], said["wanted"], said["reason"])
    assert "2026-12-" < said["renewAfter"] < "2027-02-"


def test_revocation_lists_go_out_when_all_of_them_are_there_and_not_before():
    """One CA without a list stops every new connection."""

    def listed(name: str) -> Intermediate:
        crl = trusting.MADE.intermediate(name).crl(lasts=60 * DAY)
        return trusting.intermediate(name, crl=crl)

    bare = trusting.root("a")
    full = replace(bare, spec=replace(bare.spec, crl=trusting.MADE.root("a").crl(lasts=60 * DAY)))
    steps = trusting.steps(west=trusting.STEADY, east=trusting.STEADY)
    for root, east, expected in (
        (full, listed("east"), 3),
        (bare, listed("east"), 0),
        (full, trusting.intermediate("east"), 0),
    ):
        tree = trusting.tree(root, steps, listed("west"), east, trust=MeshTrust(root="a", crls=True))
        assert expected == data(tree).get("ca-crl.pem", "").count("BEGIN X509 CRL")
    off = trusting.tree(full, steps, listed("west"), listed("east"))
    assert "ca-crl.pem" not in data(off)


def test_what_is_rendered_of_trust_is_never_pruned():
    tree = trusting.tree(*trusting.begun())
    for file in render(tree, reach(tree)).values():
        assert file is not None
        [content] = file.objects
        annotations = content["metadata"]["annotations"]
        assert ("disabled", "Prune=false") == (
            annotations["kustomize.toolkit.fluxcd.io/prune"],
            annotations["argocd.argoproj.io/sync-options"],
        )


def test_a_root_that_cannot_be_read_leaves_no_half_bundle():
    tree = trusting.tree(trusting.root("b"), trusting.steps(west=trusting.STEADY), trusting.intermediate("west"))
    assert {} == render(tree, reach(tree))
