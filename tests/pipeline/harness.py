"""The whole job as it runs at a site: Valkey, a Git server over http, syncers, `receive` and `worker`, and a person.

Wires real processes and looks at what stands on the server. Knows no rule of the product: what should stand there is
what `plan` says of the same manifests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import pygit2
from click.testing import CliRunner, Result

from syncer import settings as syncer_settings
from syncer.cluster.directory import DirectoryReader
from syncer.keys import signing_key
from syncer.protocol.errors import PeermeshError
from syncer.protocol.observation import Observation, unpack
from syncer.protocol.secret import Secret
from tests.pipeline.directory import Directory
from tests.pipeline.processes import Processes
from tests.servers.git_http import PASSWORD, USER, GitServer, bare_repository, git_server
from tests.servers.valkey import Valkey, valkey
from tests.servers.wires import Transport, Wire, wire
from workers import inbox, settings
from workers.acl import BORDER, SIGNER, WORKER, acl_lines, password_digest, syncer_user, user_line
from workers.broker import SWEEP, WORK, celery_app
from workers.check import check
from workers.cli import main, planning
from workers.documents import paths
from workers.flush import LOST_FOR, gone_by
from workers.forge.git import approve
from workers.git import Access, GitRepository
from workers.inbox import RedisInbox
from workers.outside import Branch, Remote
from workers.plan import Plan, plan
from workers.situation import memory_of, seen_of
from workers.tree import FactChanges, Tree, change_digest, read_tree

T = TypeVar("T")

MESH = "acme"
PERSON = ("A person", "person@example.org")
ROBOT = "peermesh"
FOREIGN = "clusters/west/flux-system/sync.yaml"
"""A file of people in the middle of what the robot writes."""


class Pipeline:
    """Everything of one mesh. `clusters`: the directories that stand for them; `folder`: where all of it is kept."""

    def __init__(
        self, folder: Path, clusters: Mapping[str, Path], broker: Valkey, server: GitServer, wire: Wire
    ) -> None:
        self.folder = folder
        self.clusters = clusters
        self.broker = broker
        self.server = server
        self.wire = wire
        self.checkout = folder / "checkout"
        self.bare = server.root / "mesh.git"
        self.environment = _environment(folder)
        self.processes = Processes(folder / "logs", self.environment)
        self.inbox = RedisInbox(Secret(broker.url))
        self.url = server.url("mesh.git", f"{USER}:{quote(PASSWORD, safe='')}")
        self._bell = celery_app("bell", Secret(broker.url))
        self._person = GitRepository(
            server.url("mesh.git"),
            copy=folder / "person",
            author=PERSON,
            access=Access(user=USER, password=Secret(PASSWORD)),
            people=True,
        )
        # Looks without asking the server that has faults.
        self._eye = GitRepository(str(self.bare), copy=folder / "eye", author=PERSON)
        self._seen: tuple[dict[str, str], Remote] | None = None

    # --- people

    def peermesh(self, *arguments: str) -> Result:
        """A command of a person."""
        return CliRunner(env=self.environment).invoke(main, arguments)

    def done(self, *arguments: str) -> str:
        """What a command prints that must succeed."""
        result = self.peermesh(*arguments)
        assert result.exit_code == 0, f"{arguments}: {result.output}"
        return result.output

    def git(self, *arguments: str) -> str:
        """A git command in the checkout."""
        command = ["git", "-C", str(self.checkout), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=self.environment).stdout

    def ring(self, task: str = SWEEP) -> None:
        """What a forge's webhook does: the worker looks at the repository now, and not within ten seconds.

        ROTATE: at certificates, and not within five minutes.
        """
        self._bell.send_task(task, queue=WORK, declare=[])

    def approve(self, name: str, *, ring: bool = True) -> None:
        """Merge an open proposal, as `peermesh approve` does; without `ring` nobody tells the worker."""
        self._approve(self.branches()[name], ring=ring)

    def approve_all(self, *, held: bool = False) -> None:
        """Approve whatever merges now, what is held only if told to; the rest is made again by the robot."""
        for name, branch in self.branches().items():
            if branch.merges and (held or not name.startswith(paths.held_branch(""))):
                with suppress(PeermeshError):  # it moved between looking and merging, or the server fails
                    self._approve(branch)

    def _approve(self, branch: Branch, *, ring: bool = True) -> None:
        approve(self._person, branch.name, change_digest(branch.change), check=check, when=datetime.now(UTC))
        if ring:
            self.ring()

    def everything_approved(self) -> None:
        """Return when main has all that the manifests say but what is held."""

        def nothing_left() -> bool:
            self.approve_all()
            return self.settled() and all(name.startswith(paths.held_branch("")) for name in self.branches())

        self.wait_for(nothing_left, "all of it to be approved")

    # --- what stands on the server

    def refs(self) -> dict[str, str]:
        """All refs of the server, and where they lead."""
        repo = pygit2.Repository(str(self.bare))
        return {ref.name: str(ref.target) for ref in repo.references.iterator()}

    def remote(self) -> Remote:
        """The repository as the robot would see it."""
        refs = self.refs()
        if self._seen is None or self._seen[0] != refs:
            self._seen = (refs, self._eye.fetch())
        return self._seen[1]

    def branches(self) -> dict[str, Branch]:
        """The open proposals."""
        return dict(self.remote().branches)

    def blob(self, commit: str, path: str) -> str | None:
        """The blob that a commit of the server has at a path, whether or not a ref leads to it."""
        repo = pygit2.Repository(str(self.bare))
        tree = repo[commit].peel(pygit2.Tree)
        return str(tree[path].id) if path in tree else None

    def main_files(self) -> dict[str, bytes]:
        """Every file of main."""
        files = self.remote().files
        return {path: files.read(path) for path, _ in files.under("")}

    def robots_commits(self) -> list[frozenset[str]]:
        """The paths that each commit of the robot on main changed, newest first."""
        repo = pygit2.Repository(str(self.bare))
        commits = repo.walk(repo.references[paths.MAIN].target, pygit2.enums.SortMode.TOPOLOGICAL)
        robots = [commit for commit in commits if commit.author.name == ROBOT and len(commit.parents) == 1]
        return [_paths(repo.diff(commit.parents[0], commit)) for commit in robots]

    def tree(self) -> Tree:
        """The documents of main."""
        tree, problems = read_tree(self.remote().files)
        assert tree is not None
        assert problems == ()
        return tree

    def proposed(self, name: str) -> FactChanges:
        """The facts that a branch proposes."""
        branch = self.branches()[name]
        tree, _ = read_tree(branch.files)
        assert tree is not None
        return {path: tree.facts.get(path) for path in branch.change if paths.place(path) is not None}

    # --- what waits in Redis

    def heard(self, cluster: str) -> Observation | None:
        """What the border keeps of a cluster."""
        kept = self.inbox.newest().get(cluster)
        return unpack(kept.packed) if kept else None

    def status(self) -> str:
        """What `peermesh status` prints with all that can be asked."""
        redis = self.broker.url_for(WORKER, "worker-secret")
        return self.done("status", "--repo", str(self.checkout), "--redis-url", redis)

    # --- what should stand there

    def plan(self) -> Plan:
        """What the robot should propose now, from the manifests themselves."""
        tree, remote = self.tree(), self.remote()
        states = {name: DirectoryReader(path, "default").read() for name, path in self.clusters.items()}
        observed = {name: planning._observation(tree, name, state) for name, state in states.items()}
        automatic = frozenset(tree.mesh.spec.approval.automatic)
        lost = [entry for entry in self.inbox.lost() if datetime.now(UTC) - entry.at < LOST_FOR]
        return plan(
            tree,
            remote.files,
            observed,
            memory_of(remote, {}, gone=gone_by(lost)),
            merges=lambda proposal: automatic.issuperset(proposal.classes),
        )

    def settled(self) -> bool:
        """Whether main and the open proposals are what the manifests say."""
        wanted = self.plan()
        there = {name: change_digest(branch.change) for name, branch in self.branches().items()}
        return not wanted.merged and there == {made.branch: made.digest for made in wanted.proposals}

    # --- time

    def wait_for(self, condition: Callable[[], T], what: str, seconds: float = 60) -> T:
        """What the condition says as soon as it is true; fails with the last lines of every process."""
        deadline = time.monotonic() + seconds
        while not (held := condition()):
            self.processes.check()
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}\n{self.state()}"
            time.sleep(0.05)
        return held

    def opened(self, name: str) -> str:
        """The name of a proposal, as soon as it is open."""
        self.wait_for(lambda: name in self.branches(), f"a proposal {name}")
        return name

    def wait_until_settled(self, seconds: float = 60, *, hurry: bool = False) -> None:
        """Return when the server shows what the manifests say. `hurry`: sweep every second in place of every ten."""
        rung = 0.0

        def settled() -> bool:
            nonlocal rung
            if hurry and time.monotonic() > rung + 1:
                rung = time.monotonic()
                self.ring()
            return self.settled()

        self.wait_for(settled, "main and proposals to be what the manifests say", seconds)

    def wait_until_looked_at(self) -> None:
        """Return when the worker has seen the repository as it is and has nothing more to do."""
        self.ring()

        def looked() -> bool:
            return self.inbox.seen() == seen_of(self.remote(), "") and not self.inbox.marked()

        self.wait_for(looked, "the worker to look")

    def state(self) -> str:
        """What stands on the server, what waits in Redis, and what the processes said last."""
        lines = [f"{ref} {commit}" for ref, commit in sorted(self.refs().items())]
        said = [f"{subject}: {what}" for subject, what in self.inbox.said().items()]
        return "\n".join([*lines, f"marked: {dict(self.inbox.marked())}", *said, self.processes.tails()])

    def forget_the_dead(self) -> None:
        """Bring forward what ends by itself half a minute after a worker was killed: its lock, its request."""
        with self.broker.client() as client:
            client.delete(inbox.LOCK, inbox.ASKED)


def _paths(diff: pygit2.Diff) -> frozenset[str]:
    return frozenset(file.path for delta in diff.deltas for file in (delta.old_file, delta.new_file))


@contextmanager
def pipeline(
    folder: Path,
    clusters: Mapping[str, Path | Directory],
    *,
    automatic: Sequence[str] = (),
    heartbeat: float = 300,
    workers: Sequence[str] = ("worker",),
    trusted: bool = True,
    transport: Transport = "http",
    poke: Path | None = None,
    quiet: float = 0.1,
) -> Iterator[Pipeline]:
    """A running pipeline, all of whose processes are gone at the end.

    `clusters`: where each is read, a directory of manifests or a kubeconfig; `poke`: whom workers tell that main moved.
    `trusted`: main has the keys of the syncers from the beginning; `heartbeat`, `quiet`: seconds of theirs;
    `transport`: by which workers reach the Git server, where people always come by http.
    """
    directories = {name: place.path if isinstance(place, Directory) else place for name, place in clusters.items()}
    passwords = {name: Secret(f"{name}-secret") for name in directories}
    worker, border = Secret("worker-secret"), Secret("border-secret")
    signer = user_line(SIGNER, [password_digest(Secret("signer-secret"))])
    acl = f"{acl_lines(passwords, border=border, worker=worker)}{signer}\n"
    with (
        valkey(acl=acl, tcp=True) as broker,
        git_server(folder / "remote") as server,
        wire(transport, server.root, folder / "wire", http=server) as way,
    ):
        line = Pipeline(folder, directories, broker, server, way)
        try:
            _found(line, automatic, trusted=trusted)
            _define(line, workers=workers, heartbeat=heartbeat, poke=poke, quiet=quiet)
            for name in line.processes.names:
                line.processes.start(name)
            yield line
        except BaseException:
            sys.stderr.write(line.processes.tails(40))
            raise
        finally:
            line.processes.end()
            line.inbox.close()


def _environment(folder: Path) -> dict[str, str]:
    """What git knows: who commits, and nothing of this machine's settings."""
    config = folder / "gitconfig"
    config.write_text(f"[user]\n\tname = {PERSON[0]}\n\temail = {PERSON[1]}\n[commit]\n\tgpgSign = false\n")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_GLOBAL": str(config),
        "GIT_CONFIG_NOSYSTEM": "1",
    }


def _found(line: Pipeline, automatic: Sequence[str], *, trusted: bool) -> None:
    """The mesh repository, made as README.md says."""
    line.done("init", str(line.checkout), "--name", MESH)
    line.git("remote", "add", "origin", line.url)
    for name in line.clusters:
        line.done(
            *("cluster", "add", name, "--repo", str(line.checkout), "--network", name),
            *("--trust-domain", f"{name}.acme.example", "--locality", f"eu/{name}"),
        )
        if trusted:
            key = signing_key(line.folder / f"{name}.key").public
            line.done("cluster", "trust", name, key, "--repo", str(line.checkout))
    mesh = line.checkout / paths.MESH
    if automatic:
        text = f"  approval: {{automatic: [{', '.join(automatic)}]}}\n\n  guard:\n"
        mesh.write_text(mesh.read_text().replace("  guard:\n", text))
    foreign = line.checkout / FOREIGN
    foreign.parent.mkdir(parents=True)
    foreign.write_text("kind: Kustomization\n")
    bare_repository(line.bare)
    line.git("add", "--all")
    line.git("commit", "--quiet", "--message", "Begin with clusters")
    line.git("push", "--quiet", "origin", "main")


def _define(line: Pipeline, *, workers: Sequence[str], heartbeat: float, poke: Path | None, quiet: float) -> None:
    password = line.folder / "git-password"
    password.write_text(f"{PASSWORD}\n")
    for name in workers:
        told = {
            settings.BROKER: line.broker.url_for(WORKER, "worker-secret"),
            settings.REPO: line.wire.url("mesh.git"),
            settings.COPY: str(line.folder / f"copy-{name}"),
            settings.GIT_USER: USER,
            settings.GIT_PASSWORD_FILE: str(password),
            settings.POKE_FILE: str(poke or ""),
            settings.PUSHES: "600",  # what happens to many is what these tests are about
            settings.GIT_SSH_KEY_FILE: str(line.wire.access.ssh_key or ""),
            settings.GIT_KNOWN_HOSTS_FILE: str(line.wire.access.known_hosts or ""),
        }
        line.processes.define(name, ["worker"], {setting.name: value for setting, value in told.items()})
    line.processes.define(
        "receive", ["receive"], {settings.BORDER_BROKER.name: line.broker.url_for(BORDER, "border-secret")}
    )
    for cluster, path in line.clusters.items():
        said = {
            syncer_settings.MESH: MESH,
            syncer_settings.CLUSTER: cluster,
            syncer_settings.BROKER: line.broker.url_for(syncer_user(cluster), f"{cluster}-secret"),
            (syncer_settings.DIRECTORY if path.is_dir() else syncer_settings.KUBECONFIG): str(path),
            syncer_settings.KEY_FILE: str(line.folder / f"{cluster}.key"),
            syncer_settings.QUIET: str(quiet),
            syncer_settings.HEARTBEAT: str(heartbeat),
        }
        line.processes.define(f"syncer {cluster}", ["syncer"], {setting.name: value for setting, value in said.items()})
