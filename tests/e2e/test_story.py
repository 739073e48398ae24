"""From `kubectl label` in one cluster to the ServiceEntry applied in the other, and back, with every process real.

Two API servers with Flux, syncers that read them, a queue, `receive`, `worker`, a Git server. Nobody waits for an
interval: syncers watch, a person's approval rings as a forge's webhook does, and the worker pokes Flux.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from syncer.protocol.observation import Observation
from tests.e2e.bookinfo import NAMESPACE
from tests.e2e.flux import Flux, flux, receivers
from tests.e2e.kubernetes import clusters
from tests.e2e.site import GATEWAYS, deliver, held
from tests.e2e.story import Legs, prepare
from tests.pipeline.harness import FOREIGN, Pipeline, pipeline

EXPORTS = f"peermesh/exports/{NAMESPACE}"
SECONDS = 120


@dataclass(kw_only=True)
class Story:
    """All of it, running, and both gateways known."""

    line: Pipeline
    west: Flux
    east: Flux

    def wait_for(self, condition, what: str):
        return self.line.wait_for(condition, what, SECONDS)

    def exports(self, name: str, *, told: bool) -> bool:
        """Whether the border keeps an observation of west that says so."""
        kept: Observation | None = self.line.heard("west")
        return kept is not None and told == any(offer.service == name for offer in kept.offers)

    def imported(self, name: str) -> bool:
        """Whether east can call it: what Istio there is told."""
        return f"ServiceEntry/peermesh-imports/{name}.{NAMESPACE}" in held(self.east.cluster)

    def label(self, name: str, value: str) -> None:
        self.west.cluster.kubectl("-n", NAMESPACE, "label", "service", name, f"peermesh.io/export{value}")

    def main(self) -> str:
        return self.line.refs()["refs/heads/main"]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("story")
    with ExitStack() as stack:
        (folder / "clusters").mkdir()
        both = stack.enter_context(clusters(folder / "clusters", "west", "east"))
        for number, cluster in enumerate(both):
            prepare(cluster, f"203.0.113.{number + 1}0")
        west, east = (stack.enter_context(flux(cluster, folder / f"flux-{cluster.name}")) for cluster in both)
        stack.enter_context(receivers(folder / "poke", west, east))
        places = {cluster.name: cluster.kubeconfig for cluster in both}
        line = stack.enter_context(pipeline(folder / "line", places, poke=folder / "poke", quiet=1))
        for cluster in both:
            deliver(cluster, line.checkout)
        made = Story(line=line, west=west, east=east)
        for cluster in both:
            line.approve(line.opened(f"peermesh/clusters/{cluster.name}"))
        yield made


def test_a_label_approved_by_hand_is_applied_in_the_peer_and_its_withdrawal_is_pruned(story, capfd):
    line = story.line
    legs = Legs("approved by hand")
    story.label("reviews", "=true")
    story.wait_for(lambda: story.exports("reviews", told=True), "the border to keep it")
    legs.end("quiet")
    line.opened(EXPORTS)
    legs.end("commit")
    before = story.main()
    line.approve(EXPORTS)
    assert before != story.main()
    legs.end("merge")
    story.wait_for(lambda: story.imported("reviews"), "Flux to apply it")
    legs.end("applied")
    legs.tell(capfd)
    story.wait_for(lambda: f"Gateway/{GATEWAYS}/peermesh-{NAMESPACE}" in held(story.west.cluster), "the gateway")

    found = story.wait_for(lambda: as_committed(story), "status to say so")
    assert dict.fromkeys(("ca", "gateway", "imports"), "applied") == {unit["name"]: unit["state"] for unit in found}

    story.label("reviews", "-")
    line.opened(EXPORTS)
    line.approve(EXPORTS)
    story.wait_for(lambda: not story.imported("reviews"), "Flux to prune it")
    assert FOREIGN in line.main_files()


def test_classes_that_merge_by_themselves_need_nobody(story, capfd):
    line = story.line
    let_through(story, "export", "withdrawal")
    legs = Legs("by itself")
    before = story.main()
    story.label("ratings", "=true")
    story.wait_for(lambda: story.exports("ratings", told=True), "the border to keep it")
    legs.end("quiet")
    story.wait_for(lambda: before != story.main(), "the robot to merge it")
    legs.end("commit and merge")
    story.wait_for(lambda: story.imported("ratings"), "Flux to apply it")
    legs.end("applied")
    legs.tell(capfd)

    story.label("ratings", "-")
    story.wait_for(lambda: not story.imported("ratings"), "Flux to prune it")
    assert {} == dict(line.branches())
    assert FOREIGN in line.main_files()


def as_committed(story: Story) -> list[dict[str, str]] | None:
    """The sync units of east as `peermesh status` prints them, as soon as all of west and east is applied."""
    redis = story.line.broker.url
    told = story.line.done("status", "--repo", str(story.line.checkout), "--redis-url", redis, "--output", "json")
    applied = {cluster["name"]: cluster["applied"] for cluster in json.loads(told)["clusters"]}
    done = all(stands["state"] == "applied" for stands in applied.values())
    return applied["east"]["units"] if done else None


def let_through(story: Story, *classes: str) -> None:
    """A person's commit: these classes merge by themselves from now on."""
    line = story.line
    line.git("pull", "--quiet", "origin", "main")
    mesh = line.checkout / "mesh" / "mesh.yaml"
    text = f"  approval: {{automatic: [{', '.join(classes)}]}}\n\n  guard:\n"
    mesh.write_text(mesh.read_text().replace("  guard:\n", text))
    line.git("commit", "--all", "--quiet", "--message", "Let exports through")
    line.git("push", "--quiet", "origin", "main")
    line.wait_until_looked_at()
