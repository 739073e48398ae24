"""Where proposals are reviewed: what a person sees and does, on a repository that a real flush wrote proposals into."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncer.cluster.directory import read
from syncer.observe import Scope, next_sequence, observe
from syncer.protocol.observation import pack
from syncer.protocol.signature import OBSERVATION, SigningKey
from tests.cli.calls import MANIFESTS, call, done, manifests, mesh_with_clusters, sources
from tests.servers.valkey import valkey
from tests.simulator.inbox import MemoryInbox
from workers.flush import flush
from workers.forge.git import GitForge
from workers.git import GitRepository
from workers.outside import Kept

KEYS = {name: SigningKey.from_seed(name.ljust(32).encode()) for name in ("west", "east")}


@dataclass
class Place:
    """A checkout with its remote, clusters as manifests, and the robot."""

    folder: Path
    inbox: MemoryInbox

    @property
    def mesh(self) -> Path:
        return self.folder / "mesh"

    @property
    def remote(self) -> Path:
        return self.folder / "mesh.git"

    def flush(self) -> None:
        """What the clusters say now becomes proposals."""
        now = datetime.now(UTC)
        for name in KEYS:
            self.inbox.keep(name, kept := observed(self.folder / "manifests" / name, name, now), content=str(kept))
        self.inbox.mark("main")
        robot = GitRepository(str(self.remote), copy=self.folder / "copy", author=("peermesh", "robot@shop.example"))
        flush(robot, GitForge, self.inbox, now)

    def proposals(self) -> dict[str, dict[str, object]]:
        """As `peermesh proposals` lists them, by branch."""
        listed = json.loads(done("proposals", "--repo", self.mesh, "--output", "json"))["proposals"]
        return {proposal["branch"]: proposal for proposal in listed}

    def approve(self, *branches: str) -> None:
        for branch in branches:
            done("approve", branch, "--digest", self.proposals()[branch]["digest"], "--repo", self.mesh)


def observed(directory: Path, cluster: str, now: datetime) -> Kept:
    scope = Scope(mesh="shop", cluster=cluster)
    observation = observe(read(directory), scope, sequence=next_sequence(0, now), observed_at=now)
    packed = pack(observation)
    signature = KEYS[cluster].sign(OBSERVATION, "shop", cluster, packed)
    return Kept(sequence=observation.sequence, packed=packed, signature=signature)


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Two clusters; the first proposals are open."""
    mesh = mesh_with_clusters(tmp_path / "mesh", *KEYS)
    for name, key in KEYS.items():
        done("cluster", "trust", name, key.public, "--repo", mesh)
    git(mesh, "add", "--all")
    git(mesh, "commit", "--quiet", "--message", "Two clusters")
    git(tmp_path, "clone", "--quiet", "--bare", str(mesh), "mesh.git")
    git(mesh, "remote", "add", "origin", "../mesh.git")
    manifests(tmp_path / "manifests")
    found = Place(folder=tmp_path, inbox=MemoryInbox())
    found.flush()
    return found


def test_a_proposal_is_listed_shown_and_approved(place):
    assert {"peermesh/clusters/east", "peermesh/clusters/west"} == place.proposals().keys()
    place.approve("peermesh/clusters/east", "peermesh/clusters/west")
    place.flush()
    assert {"peermesh/exports/payments", "peermesh/exports/shop"} == place.proposals().keys()
    shown = done("show", "peermesh/exports/shop", "--repo", place.mesh)
    digest = place.proposals()["peermesh/exports/shop"]["digest"]
    assert shown.startswith("peermesh/exports/shop   export, provider\nshop: ")
    assert "cart.shop.mesh.internal becomes reachable from east and west" in shown
    assert "\n+ facts/exports/shop/west/cart.yaml\n" in shown
    assert f"\ndigest {digest}\n" in shown
    assert f"peermesh approve peermesh/exports/shop --digest {digest} --repo {place.mesh}\n" in shown
    said = done("approve", "peermesh/exports/shop", "--digest", digest, "--repo", place.mesh)
    assert f"peermesh/exports/shop: merged, main is {git(place.remote, 'rev-parse', 'main')[:12]}\n" == said
    assert "Ann Example" == git(place.remote, "log", "-1", "--format=%an", "main").strip()
    place.flush()
    assert {"peermesh/exports/payments"} == place.proposals().keys()


def test_main_and_open_proposals_are_what_a_plan_knows_of_a_repository(place):
    place.approve("peermesh/clusters/east", "peermesh/clusters/west")
    place.flush()
    said = done("plan", "--repo", place.remote, "--from", f"east={MANIFESTS / 'east'}", "--output", "json")
    facts = {path for proposal in json.loads(said)["proposals"] for path in proposal["facts"]["written"]}
    # West wasn't named: what it exports is what its open proposal says.
    assert "facts/exports/shop/west/cart.yaml" in facts


def test_a_plan_and_the_pipeline_come_to_the_same_tree(place, tmp_path):
    done("plan", "--repo", place.remote, *sources(MANIFESTS, *KEYS), "--write", tmp_path / "planned")
    place.approve("peermesh/clusters/east", "peermesh/clusters/west")
    place.flush()
    place.approve("peermesh/exports/payments", "peermesh/exports/shop")
    git(place.mesh, "pull", "--quiet", "origin", "main")
    for folder in ("facts", "clusters"):
        subprocess.run(["diff", "-r", tmp_path / "planned" / folder, place.mesh / folder], check=True)


def test_what_was_not_read_is_not_approved(place):
    before = git(place.remote, "rev-parse", "main")
    said = call("approve", "peermesh/clusters/west", "--digest", "0" * 40, "--repo", place.mesh)
    assert (1, "") == (said.code, said.stdout)
    assert "Look at it again: `peermesh show peermesh/clusters/west`" in said.stderr
    assert before == git(place.remote, "rev-parse", "main")


@pytest.mark.parametrize("command", [("show",), ("approve", "--digest", "0"), ("reject",)])
def test_a_branch_that_is_not_there_is_named_with_those_that_are(place, command):
    said = call(command[0], "peermesh/exports/nowhere", *command[1:], "--repo", place.mesh)
    assert 1 == said.code
    assert "peermesh/clusters/east, peermesh/clusters/west" in said.stderr


def test_every_changed_line_can_be_seen(place):
    said = done("show", "peermesh/clusters/west", "--repo", place.mesh, "--diff")
    assert "--- /dev/null\n+++ b/facts/clusters/west.yaml\n" in said
    assert '+    - ip: "203.0.113.10"\n' in said


def test_a_rejected_proposal_stays_away_until_it_is_reopened(place):
    said = done("reject", "peermesh/clusters/west", "--repo", place.mesh)
    assert "facts/clusters/west.yaml: refused, until the cluster says something else\n" in said
    place.flush()
    assert {"peermesh/clusters/east"} == place.proposals().keys()
    assert "  facts/clusters/west.yaml\n" in done("proposals", "--repo", place.mesh)
    said = done("proposals", "--repo", place.mesh, "reopen", "peermesh/clusters/west")
    assert "facts/clusters/west.yaml: may be proposed again\n" == said
    place.flush()
    assert {"peermesh/clusters/east", "peermesh/clusters/west"} == place.proposals().keys()


def test_what_is_not_rejected_cannot_be_reopened(place):
    said = call("proposals", "reopen", "peermesh/clusters/west", "--repo", place.mesh)
    assert (1, "") == (said.code, said.stdout)
    assert "error: peermesh/clusters/west: nothing of this is rejected" in said.stderr


def test_open_proposals_are_something_to_do_if_asked(place):
    assert 2 == call("proposals", "--repo", place.mesh, "--exit-code").code


def test_the_robot_writes_nothing_while_paused_and_everybody_sees_why(place):
    done("pause", "gateways are being replaced", "--repo", place.mesh)
    place.approve("peermesh/clusters/east", "peermesh/clusters/west")
    place.flush()
    assert {} == place.proposals()
    assert "paused: gateways are being replaced\n" in done("status", "--repo", place.mesh)
    assert "The robot writes again.\n" == done("resume", "--repo", place.mesh)
    place.flush()
    assert {"peermesh/exports/payments", "peermesh/exports/shop"} == place.proposals().keys()
    assert "It wasn't paused.\n" == done("resume", "--repo", place.mesh)


def test_status_shows_clusters_and_proposals(place):
    place.approve("peermesh/clusters/east")
    said = done("status", "--repo", place.mesh)
    rows = [line.split() for line in said.splitlines()]
    assert ["east", "0", "0", "203.0.113.20:15443"] in rows
    assert ["west", "0", "0", "no", "address"] in rows
    assert ["peermesh/clusters/west", "cluster"] in rows


def test_status_says_what_only_redis_knows(place):
    with valkey() as server:
        said = done("status", "--repo", place.mesh, "--redis-url", server.url)
        assert "not yet" in said
        value = json.loads(done("status", "--repo", place.mesh, "--redis-url", server.url, "--output", "json"))
        assert ({}, ["east", "west"]) == (value["said"], [cluster["name"] for cluster in value["clusters"]])


def test_status_goes_on_without_redis_and_says_so(place, tmp_path):
    said = call("status", "--repo", place.mesh, "--redis-url", f"redis+socket://{tmp_path}/nobody?virtual_host=0")
    assert 0 == said.code
    assert said.stderr.startswith("note: ")
    assert "heard" not in said.stdout


def test_whoever_git_does_not_know_signs_nothing(place, person):
    person.write_text("")
    said = call("pause", "--repo", place.mesh)
    assert 1 == said.code
    assert "git doesn't know who you are" in said.stderr


def test_a_remote_that_is_not_there_is_told(tmp_path):
    said = call("proposals", "--repo", f"file://{tmp_path}/nowhere.git")
    assert said.code in {1, 3}
    assert said.stderr.startswith("error: ")


def test_on_a_forge_proposals_are_shown_with_their_address_and_not_approved_here(place):
    forge = "forge: {type: gitea, url: https://git.example.com, repository: platform/mesh}"
    mesh = place.mesh / "mesh" / "mesh.yaml"
    mesh.write_text(mesh.read_text().replace("  guard:\n", f"  approval:\n    {forge}\n\n  guard:\n"))
    git(place.mesh, "commit", "--quiet", "--all", "--message", "Review on a forge")
    git(place.mesh, "push", "--quiet", "origin", "HEAD:main")
    url = "https://git.example.com/platform/mesh/compare/main...peermesh/clusters/west"
    assert f"  {url}\n" in done("proposals", "--repo", place.mesh)
    shown = done("show", "peermesh/clusters/west", "--repo", place.mesh)
    assert (f"Reviewed and merged at {url}\n" in shown, "peermesh approve" in shown) == (True, False)
    assert url == json.loads(done("show", "peermesh/clusters/west", "--repo", place.mesh, "--output", "json"))["url"]
    said = call("approve", "peermesh/clusters/west", "--digest", "0", "--repo", place.mesh)
    assert (1, f"Approve and merge it at {url}\n") == (said.code, said.stderr[-len(url) - 25 :])
