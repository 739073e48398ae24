"""From `init` to `explain`: what a person does with a checkout and directories of manifests, without queue or forge."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.cli.calls import MANIFESTS, call, done, files_in, manifests, process, sources


def test_a_plan_says_who_can_call_what_and_sums_up(mesh):
    said = done("plan", "--repo", mesh, *sources())
    lines = said.splitlines()
    assert "peermesh/exports/shop   export, provider" in lines
    assert (
        "  - cart.shop.mesh.internal becomes reachable from east, north and west: port 8080 (HTTP), answered by west as"
        " spiffe://west.shop.example/ns/shop/sa/cart"
    ) in lines
    assert any("payments/fraud in east: ExternalName" in line for line in lines)
    assert "6 proposals · 20 gained (pairs of a host and a calling cluster)" == lines[-1]


def test_a_plan_changes_nothing(mesh):
    before = files_in(mesh)
    done("plan", "--repo", mesh, *sources())
    assert before == files_in(mesh)


def test_what_a_plan_wrote_is_a_valid_mesh_of_which_nothing_is_left_to_plan(tmp_path, mesh, after):
    assert "Nothing wrong" in done("check", "--repo", after, "--base", mesh)
    assert "" == done("diff", "--repo", after, "--exit-code")
    said = done("plan", "--repo", after, *sources(), "--write", tmp_path / "again", "--exit-code")
    assert "Nothing to do: main is what the clusters say." in said
    assert files_in(after) == files_in(tmp_path / "again")


def test_the_same_input_gives_the_same_bytes_into_the_same_folder(mesh, after):
    first = files_in(after)
    stray = after / "clusters/west/imports/shop/cart.yaml"
    stray.write_text("old\n")
    done("plan", "--repo", mesh, *sources(), "--write", after)
    assert first == files_in(after)


def test_what_a_later_plan_no_longer_has_goes_from_the_folder_and_nothing_else(mesh, after):
    (after / "notes.txt").write_text("mine")
    done("plan", "--repo", mesh, *sources(MANIFESTS, "west"), "--write", after)
    left = files_in(after)
    assert "notes.txt" in left
    assert "facts/clusters/west.yaml" in left
    assert not any(path.startswith("facts/clusters/east") for path in left)


def test_a_folder_that_a_plan_did_not_write_is_left_alone(tmp_path, mesh):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("x")
    said = call("plan", "--repo", mesh, *sources(), "--write", tmp_path / "mine")
    assert 1 == said.code
    assert "error: " + str(tmp_path / "mine") + ": not empty, and not written by `plan --write`." in said.stderr
    assert ["thesis.txt"] == list(files_in(tmp_path / "mine"))


def test_a_mass_withdrawal_is_held_and_ends_with_3(tmp_path, after):
    changed = manifests(tmp_path / "manifests")
    for name in ("stock", "shipping", "returns"):
        (changed / "north" / f"{name}.yaml").unlink()
    said = call("plan", "--repo", after, *sources(changed), "--write", tmp_path / "held")
    assert 3 == said.code
    assert said.stdout.startswith("peermesh/held/warehouse   held\n")
    assert "1 proposal · 1 held for a person" in said.stdout
    assert files_in(after) == files_in(tmp_path / "held")


def test_a_plan_is_not_written_into_what_it_is_planned_on(mesh):
    said = call("plan", "--repo", mesh, *sources(), "--write", mesh / "out")
    assert 1 == said.code
    assert f"error: {mesh}/out: it lies in the repository {mesh}. Name a folder outside of it." in said.stderr
    assert not (mesh / "out").exists()


def test_a_context_needs_a_name_and_a_kubeconfig(mesh, tmp_path):
    said = call("plan", "--repo", mesh, "--from", "west=context:")
    assert 1 == said.code
    assert "--from west=context:CTX" in said.stderr
    said = process("plan", "--repo", mesh, "--from", "west=context:west", KUBECONFIG=str(tmp_path / "absent"))
    assert 3 == said.code
    assert "context west: can't be used" in said.stderr
    assert "kubectl config get-contexts" in said.stderr


def test_what_a_plan_wrote_may_take_the_next_plan(after):
    before = files_in(after)
    done("plan", "--repo", after, *sources(), "--write", after)
    assert before == files_in(after)


def test_a_cluster_that_is_not_named_keeps_what_main_has(after):
    assert "Nothing to do" in done("plan", "--repo", after, *sources(MANIFESTS, "west"))


def test_something_to_do_ends_with_2_only_if_asked_for(mesh):
    assert 0 == call("plan", "--repo", mesh, *sources()).code
    assert 2 == call("plan", "--repo", mesh, *sources(), "--exit-code").code


def test_a_plan_for_scripts_is_stable_and_complete(mesh):
    said = done("plan", "--repo", mesh, *sources(), "--output", "json")
    assert said == done("plan", "--repo", mesh, *sources(), "--output", "json")
    plan = json.loads(said)
    assert ["proposals", "waiting", "reach", "conflicts", "refused", "told", "rejected"] == list(plan)
    shop = next(proposal for proposal in plan["proposals"] if proposal["branch"] == "peermesh/exports/shop")
    assert ["export", "provider"] == shop["classes"]
    assert "facts/exports/shop/west/cart.yaml" in shop["facts"]["written"]
    ledger = [change for change in plan["reach"] if change["service"] == "payments/ledger"]
    assert [("gained", ["east"]), ("gained", ["north"]), ("blocked", ["west"])] == [
        (change["change"], change["consumers"]) for change in ledger
    ]
    assert ["ExternalName"] == [refused["reason"] for refused in plan["refused"]]
    assert plan == yaml.safe_load(done("plan", "--repo", mesh, *sources(), "--output", "yaml"))


def test_a_service_moves_without_anybody_losing_a_call(tmp_path, after):
    changed = manifests(tmp_path / "manifests")
    text = (changed / "west/cart.yaml").read_text()
    (changed / "west/cart.yaml").unlink()
    (changed / "east/cart.yaml").write_text(text)
    plan = json.loads(done("plan", "--repo", after, *sources(changed), "--output", "json"))
    assert ["peermesh/exports/shop"] == [proposal["branch"] for proposal in plan["proposals"]]
    assert {"changed"} == {change["change"] for change in plan["reach"]}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--from", "south=x"], "south: no such cluster. There are: east, north, west. `peermesh cluster add south"),
        (["--from", "west=nowhere"], "nowhere"),
        (["--from", "west"], "'west' isn't of the form KEY=VALUE"),
        (["--from", "west=a", "--from", "west=b"], "west is given twice"),
        ([], "Missing option '--from'"),
        (["--from", "west=x", "--repo", "nowhere"], "'nowhere' is neither a URL nor a folder that exists"),
    ],
)
def test_what_cannot_be_planned_ends_with_1_and_says_why(mesh, arguments, told):
    said = call("plan", "--repo", mesh, *arguments)
    assert (1, "") == (said.code, said.stdout)
    assert told in said.stderr


def test_every_problem_of_a_mesh_is_told_on_a_line_of_its_own(mesh):
    for name in ("west", "east"):
        path = mesh / f"mesh/clusters/{name}.yaml"
        path.write_text(path.read_text().replace("trustDomain", "trustDomian"))
    said = call("plan", "--repo", mesh, *sources())
    assert 1 == said.code
    lines = said.stderr.splitlines()
    assert all(line.startswith("error: mesh/clusters/") for line in lines)
    assert {"east", "west"} == {line.split("/")[2].partition(".")[0] for line in lines}


def test_render_writes_what_diff_shows_and_check_asks_for(after):
    changed = after / "clusters/west/imports/shop/cart.yaml"
    good = files_in(after)
    changed.write_text(changed.read_text().replace("8080", "8081"))
    (after / "clusters/east/imports/shop/cart.yaml").unlink()
    (after / "clusters/east/imports/shop/stray.yaml").write_text("kind: Stray\n")
    (after / "clusters/east/flux-system").mkdir()
    (after / "clusters/east/flux-system/sync.yaml").write_text("theirs\n")
    checked = call("check", "--repo", after)
    assert 1 == checked.code
    assert "3 problems." == checked.stdout.splitlines()[-1]
    assert all("`peermesh render --repo .`" in line for line in checked.stdout.splitlines()[:-1])
    shown = call("diff", "--repo", after, "--exit-code")
    assert 2 == shown.code
    assert "-        number: 8081\n+        number: 8080\n" in shown.stdout
    assert "--- a/clusters/east/imports/shop/stray.yaml\n+++ /dev/null\n" in shown.stdout
    assert (
        "wrote clusters/east/imports/shop/cart.yaml\n"
        "removed clusters/east/imports/shop/stray.yaml\n"
        "wrote clusters/west/imports/shop/cart.yaml\n"
    ) == done("render", "--repo", after)
    assert {**good, "clusters/east/flux-system/sync.yaml": b"theirs\n"} == files_in(after)
    assert "clusters/ is as mesh/ and facts/ say.\n" == done("render", "--repo", after, "--exit-code")


def test_people_change_the_mesh_and_render_it(after):
    path = after / "mesh/clusters/west.yaml"
    path.write_text(path.read_text().replace("addresses: []", 'addresses: ["198.51.100.7:30443"]'))
    assert 1 == call("check", "--repo", after).code
    done("render", "--repo", after)
    assert "Nothing wrong" in done("check", "--repo", after)
    assert b"198.51.100.7" in files_in(after)["clusters/north/imports/shop/cart.yaml"]


def test_check_for_scripts_lists_every_problem(after):
    (after / "clusters/east/imports/shop/cart.yaml").unlink()
    said = call("check", "--repo", after, "--output", "json")
    assert 1 == said.code
    assert ["clusters/east/imports/shop/cart.yaml"] == [problem["path"] for problem in json.loads(said.stdout)]


def test_check_refuses_that_a_host_of_the_base_is_removed(tmp_path, mesh, after):
    done("plan", "--repo", mesh, *sources(MANIFESTS, "west"), "--write", tmp_path / "less")
    said = call("check", "--repo", tmp_path / "less", "--base", after)
    assert 1 == said.code
    assert "facts/hosts/payments/ledger.yaml: a Host was removed" in said.stdout


@pytest.mark.parametrize("asked", ["payments/ledger", "ledger.payments.mesh.internal"])
def test_explain_says_who_calls_through_whom_and_who_does_not(after, asked):
    said = done("explain", asked, "--repo", after)
    assert "  exported by east since 2026-01-20T08:10:00Z (facts/exports/payments/east/ledger.yaml)\n" in said
    assert "    east   at 203.0.113.20:15443   as spiffe://east.shop.example/ns/payments/sa/ledger\n" in said
    assert "  from west: can't call it\n    not through east: its consumers don't name this cluster\n" in said


def test_explain_for_one_caller_tells_of_no_other(after):
    said = done("explain", "payments/ledger", "--from", "west", "--repo", after)
    assert "from west: can't call it" in said
    assert "from north" not in said
    value = json.loads(done("explain", "payments/ledger", "--from", "west", "--repo", after, "--output", "json"))
    assert ["west"] == list(value["hosts"][0]["callers"])


def test_explain_remembers_what_nobody_exports_any_more(tmp_path, after):
    changed = manifests(tmp_path / "manifests")
    (changed / "east/ledger.yaml").unlink()
    done("plan", "--repo", after, *sources(changed), "--write", after)
    said = done("explain", "payments/ledger", "--repo", after)
    assert "exported by nobody now; east did, and ledger.payments.mesh.internal (240." in said


def test_explain_leaves_out_a_fact_that_cannot_be_read_and_says_so(after):
    (after / "facts/exports/shop/east/catalog.yaml").write_text("kind: Export\n")
    said = call("explain", "shop/catalog", "--repo", after)
    assert 0 == said.code
    assert said.stderr.startswith("note: facts/exports/shop/east/catalog.yaml:1: ")
    assert "exported by west" in said.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["shop/crat"], "shop/crat: no cluster exports this. Did you mean shop/cart"),
        (["shop/cart", "--from", "south"], "south: no such cluster. There are: east, north, west."),
        (["zzz"], "zzz: no cluster exports this."),
    ],
)
def test_explain_helps_with_a_name_that_is_not_known(after, arguments, told):
    said = call("explain", *arguments, "--repo", after)
    assert (1, "") == (said.code, said.stdout)
    assert told in said.stderr


def test_a_marker_that_somebody_edited_leads_out_of_the_folder_in_no_way(tmp_path, mesh, after):
    (tmp_path / "precious").write_text("x")
    with (after / ".peermesh-plan").open("a") as marker:
        marker.write("../precious\n")
    said = call("plan", "--repo", mesh, *sources(), "--write", after)
    assert 0 == said.code
    assert (tmp_path / "precious").exists()
