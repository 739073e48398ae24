"""What people order of trust: proposed on a branch of its own in their name, with nothing else changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from syncer.protocol.certificates import fingerprint, write_certificates
from tests.cli.calls import KEY, call, done, mesh_with_clusters
from tests.cli.conftest import as_person
from tests.cli.trusted import CLUSTERS, STEADY, Place, intermediate, managed, root, root_document, steps
from workers.documents import paths
from workers.documents.trust import ClusterStep
from workers.git import GitRepository

TRUST = "  trust:\n    root: a # since 2026\n    canary: [west]\n"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two managed clusters under root `a`, and a root `b` for later."""
    folder = tmp_path_factory.mktemp("trusted")
    with pytest.MonkeyPatch.context() as patch:
        as_person(folder, patch)
        place = Place(folder)
        mesh_with_clusters(place.mesh, *CLUSTERS)
        managed(place.mesh, *CLUSTERS)
        place.git("init", "--quiet", "--bare", "--initial-branch=main", str(place.remote), at=".")
        place.git("remote", "add", "origin", "../mesh.git", at="mesh")
        place.put(
            root_document("a"),
            root_document("b"),
            *(intermediate(name) for name in CLUSTERS),
            steps(west=STEADY, east=STEADY),
            trust=TRUST,
        )
    return folder


@pytest.fixture
def place(template: Path, tmp_path: Path) -> Place:
    shutil.copytree(template, tmp_path / "place")
    return Place(tmp_path / "place")


def ordered(place: Place, *arguments: str) -> str:
    """What an order changes in `mesh/mesh.yaml` against main, as the lines that go and come."""
    done("ca", *arguments, "--repo", place.remote)
    branch = place.git("for-each-ref", "--format=%(refname:short)", "refs/heads/trust/").splitlines()[-1]
    diff = place.git("diff", "--unified=0", "main", branch, "--", paths.MESH).splitlines()
    return "\n".join(line for line in diff if line[0] in "+-" and not line.startswith(("+++", "---")))


ORDERS = {
    "a rotation": (
        ["request-rotation", "west"],
        "+    rotate: {west: {rotation: 8}}",
    ),
    "a compromised one": (
        ["request-rotation", "west", "--compromised"],
        "+    rotate: {west: {rotation: 8, reason: compromised}}",
    ),
    "a rollover": (["rollover", "start", "b"], "-    root: a # since 2026\n+    root: b # since 2026"),
    "a rollover with its ways": (
        ["rollover", "start", "b", "--canary", "east", "--soak", "10m"],
        (
            "-    root: a # since 2026\n-    canary: [west]\n"
            '+    root: b # since 2026\n+    canary: [east]\n+    soak: "10m"'
        ),
    ),
    "an emergency": (
        ["rollover", "start", "b", "--compromised", "--distrust-first"],
        "-    root: a # since 2026\n+    root: b # since 2026\n+    compromised: [a]\n+    distrustFirst: true",
    ),
    "a pause": (["rollover", "pause"], "+    paused: true"),
    "an exclusion": (["exclude", "east"], "+    exclude: [east]"),
    "a revocation": (
        ["revoke", "a", "00:3F:98", "--reason", "superseded"],
        '+    revoked: [{issuer: a, serial: "3f98", reason: superseded}]',
    ),
}


@pytest.mark.parametrize("what", ORDERS)
def test_an_order_is_one_change_of_the_file_and_leaves_main_as_it_is(place, what):
    arguments, diff = ORDERS[what]
    before = place.git("rev-parse", "main")
    assert diff == ordered(place, *arguments)
    assert before == place.git("rev-parse", "main")


def test_a_proposal_says_who_ordered_what_and_is_shown_approved_and_gone(place):
    said = done("ca", "request-rotation", "west", "--repo", place.mesh)
    branch = "trust/rotate-west-8"
    assert said.startswith(f"{branch}   pushed; main stays as it is until people merge it\n")
    assert "Ann Example" == place.git("log", "-1", "--format=%an", branch)
    assert "Order rotation 8 of west" == place.git("log", "-1", "--format=%s", branch)
    assert f"peermesh approve {branch} --digest " in said
    [listed] = json.loads(done("proposals", "--repo", place.remote, "--output", "json"))["proposals"]
    assert (branch, False, True) == (listed["branch"], listed["foreign"], listed["merges"])
    assert "Order rotation 8 of west" in done("show", branch, "--repo", place.remote)
    done("approve", branch, "--digest", listed["digest"], "--repo", place.remote)
    assert "rotate: {west: {rotation: 8}}" in place.file("main", paths.MESH)
    assert "" == place.git("for-each-ref", "refs/heads/trust/")
    assert "Nothing wrong" in _checked(place)


def test_the_robot_sees_nothing_of_what_people_propose(place, tmp_path):
    done("ca", "rollover", "pause", "--repo", place.remote)
    robot = GitRepository(str(place.remote), copy=tmp_path / "copy", author=("peermesh", "robot@shop.example"))
    remote = robot.fetch()
    assert ({}, {"refs/heads/main"}) == (dict(remote.branches), set(remote.refs))


def test_a_proposal_that_is_rejected_is_gone_and_changed_nothing(place):
    before = place.git("rev-parse", "main")
    done("ca", "rollover", "pause", "--repo", place.remote)
    done("reject", "trust/pause", "--repo", place.remote)
    assert ("", before) == (place.git("for-each-ref", "refs/heads/trust/"), place.git("rev-parse", "main"))


def _checked(place: Place) -> str:
    place.git("pull", "--quiet", "--ff-only", str(place.remote), "main", at="mesh")
    return done("check", "--repo", place.mesh)


def test_where_there_is_a_forge_the_next_step_is_a_pull_request(place):
    path = place.mesh / paths.MESH
    forge = "  approval: {forge: {type: gitea, url: https://git.example, repository: platform/mesh}}\n"
    path.write_text(path.read_text() + forge)
    place.commit()
    said = done("ca", "rollover", "pause", "--repo", place.remote)
    assert "Next: open a pull request at https://git.example/platform/mesh/compare/main...trust/pause\n" in said
    assert "peermesh approve" not in said


def test_a_pause_is_taken_back_and_an_excluded_cluster_comes_back(place):
    place.put(trust="    paused: true\n    exclude: [east, west] # both\n")
    assert "-    paused: true" == ordered(place, "rollover", "resume")
    place.git("branch", "-D", "trust/resume")
    assert "-    exclude: [east, west] # both\n+    exclude: [west] # both" == ordered(place, "include", "east")


def test_a_rollover_goes_back_to_the_root_that_is_still_trusted(place):
    both = ClusterStep(bundle=("a", "b"), signer="a")
    place.put(steps(west=both, east=STEADY))
    _set_root(place, "b")
    assert "-    root: b # since 2026\n+    root: a # since 2026" == ordered(place, "rollover", "back")


def _set_root(place: Place, name: str) -> None:
    path = place.mesh / paths.MESH
    path.write_text(path.read_text().replace("root: a", f"root: {name}"))
    place.commit()


REFUSED = {
    "an unknown cluster": (["request-rotation", "north"], "north: no such cluster"),
    "an unknown root": (["rollover", "start", "c"], "c: no such root"),
    "a root of before": (["rollover", "start", "old"], "nobody signs under an imported root here"),
    "the root that is wanted": (["rollover", "start", "a"], "a is the root that is wanted already"),
    "no rollover to go back from": (["rollover", "back"], "no single root is left to go back to"),
    "distrust without a reason": (["rollover", "start", "b", "--distrust-first"], "--compromised"),
    "no pause": (["rollover", "resume"], "nothing is paused"),
    "not excluded": (["include", "east"], "east isn't excluded"),
    "a strange time": (["rollover", "start", "b", "--soak", "soon"], "a time like 30s, 2m, 24h or 90d"),
    "a strange serial": (["revoke", "a", "xyz"], "a serial number in hexadecimal digits"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_makes_no_sense_is_refused_before_anything_is_pushed(place, what):
    arguments, says = REFUSED[what]
    place.put(root_document("old", imported=True))
    said = call("ca", *arguments, "--repo", place.remote)
    assert (1, "") == (said.code, said.stdout), said
    assert says in said.stderr
    assert "" == place.git("for-each-ref", "refs/heads/trust/")


def test_the_same_is_not_proposed_twice(place):
    done("ca", "rollover", "pause", "--repo", place.remote)
    said = call("ca", "rollover", "pause", "--repo", place.remote)
    assert (1, True) == (said.code, "trust/pause: this branch is open already" in said.stderr)


def test_a_compromised_rotation_tells_what_to_revoke_later(place):
    said = done("ca", "request-rotation", "west", "--compromised", "--repo", place.remote)
    assert "peermesh ca revoke a 3f98\n" in said


def test_a_mesh_without_trust_is_told_how_to_begin(tmp_path):
    place = Place(tmp_path)
    mesh_with_clusters(place.mesh, *CLUSTERS)
    place.git("init", "--quiet", "--bare", "--initial-branch=main", str(place.remote), at=".")
    place.commit()
    said = call("ca", "request-rotation", "west", "--repo", place.remote)
    assert (1, True) == (said.code, "it has no spec.trust. `peermesh ca init-root NAME` begins" in said.stderr)
    assert "it has no spec.trust" in done("ca", "status", "--repo", place.remote).lower()


def test_a_cluster_is_managed_with_the_keys_of_its_agent(place):
    done("ca", "manage", "west", "--agent-key", KEY, "--repo", place.remote)
    text = place.file("trust/manage-west", paths.cluster_path("west"))
    assert f'  trust: {{agent: {{publicKeys: ["{KEY}"]}}}}' in text
    said = call("ca", "manage", "west", "--repo", place.remote)
    assert (1, True) == (said.code, "that is so already" in said.stderr)


def test_a_cluster_is_adopted_with_the_root_that_it_has(place):
    done("cluster", "add", "north", "--repo", place.mesh, "--network", "n", "--trust-domain", "north.shop.example")
    place.commit()
    old = place.folder / "old.pem"
    old.write_text(f"# of before\n{write_certificates([root('old')])}")
    said = done("ca", "import", "north", "--root", old, "--repo", place.remote)
    assert "Way 1, no key is read" in said
    assert "Way 2, no gap" in said
    assert "imported: true" in place.file("trust/import-north", "pki/roots/north-before.yaml")
    assert "  north:\n" in place.file("trust/import-north", paths.TRUST)
    assert fingerprint(root("old")) in said
    twice = call("ca", "import", "west", "--root", old, "--repo", place.remote)
    assert (1, True) == (twice.code, "it is looked after already" in twice.stderr)
