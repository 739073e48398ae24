"""The same story on a forge: pull requests of a real Gitea, merged by a second person or by the robot.

Nothing is rung by the test: Gitea tells `peermesh webhook`, which asks the worker to look, and the worker pokes Flux.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from syncer import settings as syncer_settings
from syncer.keys import signing_key
from syncer.protocol.observation import unpack
from syncer.protocol.secret import Secret
from tests.cli.calls import done, files_in
from tests.cli.conftest import as_person
from tests.e2e.bookinfo import NAMESPACE
from tests.e2e.flux import Flux, flux, let_in, receivers
from tests.e2e.gitea import Gitea, gitea
from tests.e2e.kubernetes import clusters, free_port
from tests.e2e.site import deliver, git, held
from tests.e2e.story import Legs, prepare
from tests.forge.site import PeopleOfGitea
from tests.pipeline.processes import Processes
from tests.servers.valkey import Valkey, valkey
from workers import settings
from workers.acl import BORDER, WORKER, acl_lines, syncer_user
from workers.inbox import RedisInbox

EXPORTS = f"peermesh/exports/{NAMESPACE}"
SECONDS = 120


@dataclass(kw_only=True)
class Story:
    """All of it, running, and both gateways known. `checkout`: an administrator's, who may push to main."""

    forge: Gitea
    alice: PeopleOfGitea
    checkout: Path
    inbox: RedisInbox
    processes: Processes
    west: Flux
    east: Flux

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            self.processes.check()
            assert time.monotonic() < deadline, f"waited {SECONDS} s for {what}\n{self.processes.tails()}"
            time.sleep(0.1)

    def told(self, name: str) -> bool:
        """Whether the border keeps an observation of west that offers it."""
        kept = self.inbox.newest().get("west")
        return kept is not None and any(offer.service == name for offer in unpack(kept.packed).offers)

    def imported(self, name: str) -> bool:
        return f"ServiceEntry/peermesh-imports/{name}.{NAMESPACE}" in held(self.east.cluster)

    def label(self, name: str, value: str) -> None:
        self.west.cluster.kubectl("-n", NAMESPACE, "label", "service", name, f"peermesh.io/export{value}")

    def opened(self, branch: str) -> None:
        self.wait_for(lambda: branch in self.alice.open(), f"a pull request of {branch}")

    def merged(self, branch: str) -> None:
        """A second person approves and merges."""
        self.opened(branch)
        self.alice.approve(branch)
        self.alice.merge(branch)

    def main(self) -> str:
        return str(self.alice.done("GET", "/branches/main")["commit"]["id"])


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("story")
    with ExitStack() as stack:
        as_person(folder, stack.enter_context(pytest.MonkeyPatch.context()))
        for name in ("clusters", "gitea"):
            (folder / name).mkdir()
        both = stack.enter_context(clusters(folder / "clusters", "west", "east"))
        for number, cluster in enumerate(both):
            prepare(cluster, f"203.0.113.{number + 1}0")
        forge = stack.enter_context(gitea(folder / "gitea"))
        checkout, full = mesh(folder, forge)
        west, east = (stack.enter_context(flux(cluster, folder / f"flux-{cluster.name}")) for cluster in both)
        stack.enter_context(receivers(folder / "poke", west, east))
        places = {cluster.name: cluster.kubeconfig for cluster in both}
        processes, inbox = stack.enter_context(running(folder, forge, full, places))
        for cluster in both:
            let_in(cluster, "robot", forge.tokens["robot"].reveal())
            deliver(cluster, checkout)
        made = Story(
            forge=forge,
            alice=PeopleOfGitea(forge.ask, full),
            checkout=checkout,
            inbox=inbox,
            processes=processes,
            west=west,
            east=east,
        )
        for cluster in both:
            made.merged(f"peermesh/clusters/{cluster.name}")
        yield made


def mesh(folder: Path, forge: Gitea) -> tuple[Path, str]:
    """A mesh repository on the forge that trusts both syncers, and an administrator's checkout of it."""
    checkout = folder / "checkout"
    done("init", checkout, "--name", "acme")
    for name in ("west", "east"):
        done(
            *("cluster", "add", name, "--repo", checkout, "--remote", forge.git_url("acme/mesh")),
            *("--network", name, "--trust-domain", f"{name}.acme.example"),
        )
        done("cluster", "trust", name, signing_key(folder / f"{name}.key").public, "--repo", checkout)
    approval(checkout, forge)
    full = forge.repository("mesh", files_in(checkout))
    forge.protect(full)
    token = quote(forge.tokens["admin"].reveal(), safe="")
    git(checkout, "remote", "add", "origin", forge.git_url(full).replace("://", f"://admin:{token}@"))
    git(checkout, "fetch", "--quiet", "origin")
    git(checkout, "reset", "--quiet", "--hard", "origin/main")
    return checkout, full


def approval(checkout: Path, forge: Gitea, *automatic: str) -> None:
    """Where proposals are reviewed, and which classes merge by themselves."""
    path = checkout / "mesh" / "mesh.yaml"
    before, _, _ = path.read_text().partition("\n  approval:\n")
    named = f"{{type: gitea, url: {json.dumps(forge.url)}, repository: acme/mesh}}"
    path.write_text(f"{before}\n  approval:\n    automatic: [{', '.join(automatic)}]\n    forge: {named}\n")


@contextmanager
def running(
    folder: Path, forge: Gitea, full: str, clusters: Mapping[str, Path]
) -> Iterator[tuple[Processes, RedisInbox]]:
    """Syncers, receive, worker and webhook, each a process of its own."""
    passwords = {name: Secret(f"{name}-secret") for name in clusters}
    acl = acl_lines(passwords, border=Secret("border-secret"), worker=Secret("worker-secret"))
    (folder / "token").write_text(forge.tokens["robot"].reveal())
    (folder / "hook").write_text("a long random text")
    processes = Processes(folder / "logs", {})
    with valkey(acl=acl, tcp=True) as broker:
        inbox = RedisInbox(Secret(broker.url))
        try:
            define(processes, folder, broker, forge.git_url(full), clusters)
            forge.done("admin", "POST", f"/repos/{full}/hooks", hook(processes, folder, broker))
            for name in processes.names:
                processes.start(name)
            yield processes, inbox
        finally:
            processes.end()
            inbox.close()


def define(processes: Processes, folder: Path, broker: Valkey, repository: str, clusters: Mapping[str, Path]) -> None:
    worker = {
        settings.BROKER: broker.url_for(WORKER, "worker-secret"),
        settings.REPO: repository,
        settings.COPY: str(folder / "copy"),
        settings.GIT_USER: "robot",
        settings.GIT_PASSWORD_FILE: str(folder / "token"),
        settings.POKE_FILE: str(folder / "poke"),
    }
    processes.define("worker", ["worker"], {setting.name: value for setting, value in worker.items()})
    border = {settings.BORDER_BROKER.name: broker.url_for(BORDER, "border-secret")}
    processes.define("receive", ["receive"], border)
    for name, kubeconfig in clusters.items():
        said = {
            syncer_settings.MESH: "acme",
            syncer_settings.CLUSTER: name,
            syncer_settings.BROKER: broker.url_for(syncer_user(name), f"{name}-secret"),
            syncer_settings.KUBECONFIG: str(kubeconfig),
            syncer_settings.KEY_FILE: str(folder / f"{name}.key"),
        }
        processes.define(f"syncer {name}", ["syncer"], {setting.name: value for setting, value in said.items()})


def hook(processes: Processes, folder: Path, broker: Valkey) -> Mapping[str, object]:
    """What Gitea is told of `peermesh webhook`."""
    address = f"127.0.0.1:{free_port()}"
    told = {
        settings.WEBHOOK_LISTEN: address,
        settings.WEBHOOK_SECRET_FILE: str(folder / "hook"),
        settings.BROKER: broker.url_for(WORKER, "worker-secret"),
    }
    processes.define("webhook", ["webhook"], {setting.name: value for setting, value in told.items()})
    config = {"url": f"http://{address}/", "content_type": "json", "secret": (folder / "hook").read_text()}
    return {"type": "gitea", "active": True, "events": ["push", "pull_request"], "config": config}


def test_a_label_approved_on_gitea_by_hand_is_applied_in_the_peer_and_its_withdrawal_is_pruned(story, capfd):
    legs = Legs("approved on Gitea by hand")
    story.label("reviews", "=true")
    story.wait_for(lambda: story.told("reviews"), "the border to keep it")
    legs.end("quiet")
    story.opened(EXPORTS)
    legs.end("commit")
    story.merged(EXPORTS)
    legs.end("merge")
    story.wait_for(lambda: story.imported("reviews"), "Flux to apply it")
    legs.end("applied")
    legs.tell(capfd)

    story.label("reviews", "-")
    story.merged(EXPORTS)
    story.wait_for(lambda: not story.imported("reviews"), "Flux to prune it")


def test_classes_that_merge_by_themselves_need_nobody_on_gitea(story, capfd):
    git(story.checkout, "pull", "--quiet", "--rebase", "origin", "main")
    approval(story.checkout, story.forge, "export", "withdrawal")
    git(story.checkout, "commit", "--all", "--quiet", "--message", "Let exports through")
    git(story.checkout, "push", "--quiet", "origin", "HEAD:main")
    legs = Legs("on Gitea by itself")
    before = story.main()
    story.label("ratings", "=true")
    story.wait_for(lambda: story.told("ratings"), "the border to keep it")
    legs.end("quiet")
    story.wait_for(lambda: before != story.main(), "the robot to merge it")
    legs.end("commit and merge")
    story.wait_for(lambda: story.imported("ratings"), "Flux to apply it")
    legs.end("applied")
    legs.tell(capfd)
    story.label("ratings", "-")
    story.wait_for(lambda: not story.imported("ratings"), "Flux to prune it")
    assert {} == story.alice.open()
