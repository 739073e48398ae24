"""The main job on the real thing: `peermesh up` between two API servers and a Git server, and a person who approves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import pygit2
import pytest
import yaml

from tests.e2e.bookinfo import NAMESPACE, bookinfo, gateway
from tests.e2e.kubernetes import Cluster, clusters, install_crds
from tests.servers.git_http import PASSWORD, USER, GitServer, bare_repository, git_server

T = TypeVar("T")

EXPORTS = f"peermesh/exports/{NAMESPACE}"
HELD = f"peermesh/held/{NAMESPACE}"
LABELLED = ("details", "ratings", "reviews")


class Site:
    """A mesh of two clusters: its repository, a person's checkout, and `peermesh up`, running."""

    def __init__(self, folder: Path, west: Cluster, east: Cluster, server: GitServer) -> None:
        self.folder = folder
        self.west = west
        self.clusters = (west, east)
        self.server = server
        self.bare = bare_repository(server.root / "mesh.git")
        self.checkout = folder / "acme"
        self.log = folder / "up.log"
        password = folder / "git-password"
        password.write_text(PASSWORD)
        config = folder / "gitconfig"
        config.write_text("[user]\n\tname = A person\n\temail = person@example.org\n")
        self.environment = {
            **os.environ,
            "HOME": str(folder),
            "GIT_CONFIG_GLOBAL": str(config),
            "GIT_CONFIG_NOSYSTEM": "1",
            "KUBECONFIG": os.pathsep.join(str(cluster.kubeconfig) for cluster in self.clusters),
            "PEERMESH_GIT_USER": USER,
            "PEERMESH_GIT_PASSWORD_FILE": str(password),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def peermesh(self, *arguments: str) -> str:
        """What a command prints that must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "workers.cli", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"peermesh {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", "-C", self.checkout, *arguments], env=self.environment, check=True, capture_output=True)

    def begin(self) -> None:
        """A repository with two clusters, as README.md says."""
        self.peermesh("init", str(self.checkout), "--name", "acme")
        for cluster in self.clusters:
            name = cluster.name
            options = ("--network", name, "--trust-domain", f"{name}.acme.example")
            self.peermesh("cluster", "add", name, "--repo", str(self.checkout), *options)
        self.git("add", "--all")
        self.git("commit", "--message", "Begin with west and east")
        self.git("remote", "add", "origin", self.server.url("mesh.git", f"{USER}:{quote(PASSWORD, safe='')}"))
        self.git("push", "--set-upstream", "origin", "main")

    def up(self) -> None:
        """Start `peermesh up`, and trust the keys that it says."""
        command = [sys.executable, "-m", "workers.cli", "up", "--repo", self.server.url("mesh.git")]
        for cluster in self.clusters:
            command += ["--cluster", f"{cluster.name}=context:{cluster.name}"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--state", str(self.folder / "state")],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for cluster in self.clusters:
            self.peermesh("cluster", "trust", cluster.name, self._key(cluster), "--repo", str(self.checkout))
        self.git("commit", "--all", "--message", "Trust the syncers")
        self.git("push")

    def _key(self, cluster: Cluster) -> str:
        said = re.compile(rf"peermesh cluster trust {cluster.name} (ed25519:\S+)")
        return self.wait_for(lambda: said.search(self.log.read_text()), f"the key of {cluster.name}")[1]

    def end(self) -> int:
        """Ctrl-C; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def main(self) -> dict[str, bytes]:
        """The files of the robot on main."""
        repo = pygit2.Repository(str(self.bare))
        return {
            path: data
            for path, data in _files(repo.references["refs/heads/main"].peel(pygit2.Tree))
            if path.startswith(("facts/", "clusters/"))
        }

    def branches(self) -> list[str]:
        repo = pygit2.Repository(str(self.bare))
        return [name for name in repo.branches.local if name.startswith("peermesh/")]

    def approved(self, branch: str) -> str:
        """Approve a proposal as soon as it is there and stands still; what it said."""

        def approve() -> str:
            shown = json.loads(self.peermesh("show", branch, "--repo", str(self.checkout), "--output", "json"))
            self.peermesh("approve", branch, "--digest", shown["digest"], "--repo", str(self.checkout))
            return str(shown["body"])

        self.opened(branch)
        for _ in range(5):  # it may be made again between looking and approving
            try:
                return approve()
            except AssertionError as error:
                trouble = error
        raise trouble

    def opened(self, branch: str) -> None:
        self.wait_for(lambda: branch in self.branches(), f"a proposal {branch}")

    def wait_for(self, condition: Callable[[], T], what: str) -> T:
        deadline = time.monotonic() + 120
        while not (found := condition()):
            ended = self.process is not None and self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                pytest.fail(f"waited for {what}\n{self.log.read_text()[-6000:]}")
            time.sleep(0.1)
        return found

    def dump(self, folder: Path) -> list[str]:
        """The clusters as directories of manifests, and how `plan` is told of them."""
        told = []
        for cluster in self.clusters:
            (folder / cluster.name).mkdir(parents=True)
            kinds = "services,deployments,gateways.networking.istio.io,serviceentries.networking.istio.io"
            listed = yaml.safe_load(cluster.kubectl("get", kinds, "--all-namespaces", "-o", "yaml"))
            (folder / cluster.name / "all.yaml").write_text(yaml.safe_dump_all(listed["items"]))
            told += ["--from", f"{cluster.name}={folder / cluster.name}"]
        return told


def _files(tree: pygit2.Tree, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in tree:
        if isinstance(entry, pygit2.Tree):
            yield from _files(entry, f"{prefix}{entry.name}/")
        elif isinstance(entry, pygit2.Blob):
            yield f"{prefix}{entry.name}", entry.data


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """Two clusters with an east-west gateway each, bookinfo in west, and the mesh."""
    (folder / "clusters").mkdir()
    with clusters(folder / "clusters", "west", "east") as (west, east), git_server(folder / "remote") as server:
        for cluster, ip in ((west, "203.0.113.10"), (east, "203.0.113.20")):
            install_crds(cluster)
            cluster.kubectl("create", "namespace", "istio-eastwest")
            service, status = gateway(ip)
            cluster.apply(service, "-n", "istio-eastwest")
            cluster.set_status("/api/v1/namespaces/istio-eastwest/services/istio-eastwestgateway", status)
        west.kubectl("create", "namespace", NAMESPACE)
        west.apply(bookinfo(), "-n", NAMESPACE)
        made = Site(folder, west, east, server)
        try:
            made.begin()
            made.up()
            yield made
        finally:
            if made.process is not None and made.process.poll() is None:
                os.killpg(made.process.pid, signal.SIGKILL)
                made.process.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site")) as made:
        yield made


def test_a_labelled_service_of_one_api_server_becomes_an_import_of_the_other_until_it_goes(running: Site) -> None:
    west = running.west
    for cluster in running.clusters:
        running.approved(f"peermesh/clusters/{cluster.name}")
    west.kubectl("-n", NAMESPACE, "label", "service", *LABELLED, "peermesh.io/export=true")
    running.wait_for(lambda: _all_named(running), "all three in the proposal")
    planned = _planned(running)
    assert "reviews.bookinfo.mesh.internal" in running.approved(EXPORTS)
    assert planned == running.main()
    imports = yaml.safe_load_all(running.main()["clusters/east/imports/bookinfo/reviews.yaml"])
    assert ["DestinationRule", "ServiceEntry"] == [item["kind"] for item in imports]

    west.kubectl("-n", NAMESPACE, "delete", "service", "details")
    running.approved(EXPORTS)
    assert "clusters/east/imports/bookinfo/details.yaml" not in running.main()
    assert "clusters/east/imports/bookinfo/reviews.yaml" in running.main()

    west.kubectl("-n", NAMESPACE, "delete", "service", "--all")
    running.opened(HELD)
    assert "clusters/east/imports/bookinfo/reviews.yaml" in running.main()
    assert running.end() == 0


def _all_named(running: Site) -> bool:
    if EXPORTS not in running.branches():
        return False
    shown = running.peermesh("show", EXPORTS, "--repo", str(running.checkout), "--output", "json")
    return all(f"{name}.{NAMESPACE}.mesh.internal" in json.loads(shown)["body"] for name in LABELLED)


def _planned(running: Site) -> dict[str, bytes]:
    """What `peermesh plan` makes of the same manifests in directories, on the mesh as people began it."""
    out = running.folder / "planned"
    running.git("pull", "--quiet")
    sources = running.dump(running.folder / "manifests")
    running.peermesh("plan", "--repo", str(running.checkout), *sources, "--write", str(out))
    written = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    return {path: data for path, data in written.items() if path.startswith(("facts/", "clusters/"))}
