"""Two meshes whose trust peermesh runs through Git: the meshes, the pipeline, CA agents, signers, and a person.

Wires real processes, approves what is proposed, and applies what is committed. Knows no rule of the product.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from syncer import settings as syncer_settings
from syncer.agent import settings as agent_settings
from syncer.agent.names import AGENT, AGENT_NAMESPACE
from tests.e2e.istio import shop
from tests.e2e.istio.authority import Authority, intermediate
from tests.e2e.istio.mesh import Mesh, Meshes, meshes
from tests.e2e.kubernetes import Process
from tests.pipeline.harness import MESH, Pipeline, pipeline
from tests.servers.git_http import USER
from workers import settings
from workers.acl import SIGNER, syncer_user
from workers.broker import ROTATE
from workers.cli.delivery.agent import agent_files
from workers.documents import paths

NAMES = ("west", "east")
_PASSPHRASE = "a passphrase of tests"
_SECONDS = 180
_PEOPLE = "refs/heads/trust/"


@dataclass(kw_only=True)
class TrustSite:
    """All of it, running. `folder`: where keys of roots are, and journals; `logs`: what agents write; `agents` run.
    `held`: clusters in which nothing is applied.
    """

    meshes: Meshes
    line: Pipeline
    folder: Path
    logs: Path
    agents: ExitStack
    held: set[str] = field(default_factory=set)
    _agents: dict[str, Process] = field(default_factory=dict)
    _applied: str = ""
    _done: dict[str, str] = field(default_factory=dict)

    # --- a person

    def order(self, *arguments: str) -> str:
        """`peermesh ca …`, merged; what it printed."""
        said = self.line.done("ca", *arguments, "--repo", str(self.line.checkout))
        found = re.search(r"peermesh approve (\S+) --digest (\S+)", said)
        assert found, said
        self.line.done("approve", found[1], "--digest", found[2], "--repo", str(self.line.checkout))
        self.line.ring()
        return said

    def manage(self, mesh: Mesh, **more: str) -> None:
        """Have peermesh look after the certificates of a cluster, and start its agent. `more`: of its environment."""
        self.order("manage", mesh.name)
        self._deliver_agent(mesh)
        self.agents.callback(self._end_agent, mesh.name)
        self._agents[mesh.name] = _agent(self, mesh, **more)
        self.order("manage", mesh.name, "--agent-key", _logged_key(self._agents[mesh.name]))

    def restart_agent(self, mesh: Mesh, **more: str) -> None:
        """`more`: of its environment, beside what it is always told."""
        self._end_agent(mesh.name)
        self._agents[mesh.name] = _agent(self, mesh, **more)

    def _end_agent(self, name: str) -> None:
        self._agents[name].end()

    def _deliver_agent(self, mesh: Mesh) -> None:
        """The objects and the rights that `cluster add` delivers, and no others."""
        tree = self.line.tree()
        mesh.cluster.apply(self.line.checkout / "delivery" / "clusters" / mesh.name / "namespaces.yaml")
        for path, data in agent_files(tree.mesh, tree.clusters[mesh.name]).items():
            if path.endswith(".yaml"):
                mesh.cluster.apply(data)

    def make_root(self, name: str, *, present: str = "") -> None:
        """A root, merged, and its signer, running. `present`: the root with which the two vouch for each other."""
        passphrase = self.folder / "passphrase"
        passphrase.write_text(f"{_PASSPHRASE}\n")
        passphrase.chmod(0o600)
        key, issuers = self.folder / f"{name}.key", self.folder / f"{name}.pem"
        files = ["--key-file", str(key), "--passphrase-file", str(passphrase), "--issuers-file", str(issuers)]
        if present:
            files += ["--present-key-file", str(self.folder / f"{present}.key")]
            files += ["--present-passphrase-file", str(passphrase)]
        self.order("init-root", name, *files)
        told = {
            settings.BROKER: self.line.broker.url_for(SIGNER, "signer-secret"),
            settings.REPO: self.line.wire.url("mesh.git"),
            settings.COPY: str(self.folder / f"copy-{name}"),
            settings.GIT_USER: USER,
            settings.GIT_PASSWORD_FILE: str(self.line.folder / "git-password"),
            settings.SIGNER_ISSUERS_FILE: str(issuers),
            settings.SIGNER_KEY_FILE: str(key),
            settings.SIGNER_PASSPHRASE_FILE: str(passphrase),
            settings.SIGNER_JOURNAL: str(self.folder / f"journal-{name}"),
        }
        signer = f"signer {name}"
        self.line.processes.define(signer, ["signer"], {setting.name: value for setting, value in told.items()})
        self.line.processes.start(signer)

    def root_key(self, name: str) -> ec.EllipticCurvePrivateKey:
        """Which only its signer reads."""
        key = load_pem_private_key((self.folder / f"{name}.key").read_bytes(), _PASSPHRASE.encode())
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key

    def edit(self, before: str, after: str) -> None:
        """A person's commit to `mesh/mesh.yaml`."""
        self.line.git("pull", "--quiet", "origin", "main")
        mesh = self.line.checkout / paths.MESH
        text = mesh.read_text()
        assert before in text, text
        mesh.write_text(text.replace(before, after))
        self.line.git("commit", "--all", "--quiet", "--message", "Edit the mesh")
        self.line.git("push", "--quiet", "origin", "main")

    def status(self) -> str:
        """`peermesh ca status`."""
        redis = self.line.broker.url_for("peermesh-worker", "worker-secret")
        return self.line.done("ca", "status", "--repo", str(self.line.checkout), "--redis-url", redis)

    # --- whoever approves everything, and what applies main

    def until(self, condition: Callable[[], bool], what: str, seconds: float = _SECONDS) -> None:
        """Approve what is proposed and apply what is on main, until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.line.processes.check()
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}\n{self.status()}\n{self.line.state()}"
            self.line.approve_all()
            self.apply()
            self.line.ring()
            self.line.ring(ROTATE)
            time.sleep(1)

    def apply(self) -> None:
        """What a reconciler does: whatever main has for a cluster is applied there; what is gone stays."""
        main = self.line.refs()["refs/heads/main"]
        if main == self._applied:
            return
        files = self.line.main_files()
        for mesh in self.meshes.all:
            texts = [
                data.decode()
                for path, data in sorted(files.items())
                if re.fullmatch(rf"clusters/{mesh.name}/(gateway|imports|ca)/.*\.yaml", path)
            ]
            wanted = "---\n".join(texts)
            if wanted and wanted != self._done.get(mesh.name) and mesh.name not in self.held:
                mesh.cluster.apply(wanted)
                self._done[mesh.name] = wanted
        self._applied = "" if self.held else main


@contextmanager
def trust_site(
    folder: Path,
    *,
    foreign: Authority | None = None,
    self_signed: bool = False,
    varieties: Mapping[str, shop.Variety] | None = None,
) -> Iterator[TrustSite]:
    """All of it: each mesh calls the other, and there is root `a`.

    It signs for the meshes, and agents look after their `cacerts`. With a `foreign` root somebody else's intermediates
    under that one do, and nobody looks after them; nor where the meshes are `self_signed`: there each istiod has made a
    root itself, which the mesh config of the others lets their workloads trust. `varieties`: as in `meshes`.
    """
    with ExitStack() as stack:
        running = stack.enter_context(meshes(folder / "meshes", *NAMES, varieties=varieties))
        stack.enter_context(running.fabric.inside())
        for name in ("line", "keys", "agents"):
            (folder / name).mkdir()
        places = {mesh.name: mesh.cluster.kubeconfig for mesh in running.all}
        line = stack.enter_context(pipeline(folder / "line", places, quiet=0.2, heartbeat=5))
        keys, logs = folder / "keys", folder / "agents"
        site = TrustSite(meshes=running, line=line, folder=keys, logs=logs, agents=stack)
        site.make_root("a")
        site.edit("trust: {root: a}", "trust: {root: a, soak: 0m}")
        if self_signed:
            running.make_own_roots()
        for mesh in () if self_signed else running.all:
            if foreign is None:
                site.manage(mesh)
            else:
                mesh.change(signer=intermediate(f"{mesh.name}-foreign", foreign), bundle=[foreign])
        site.until(running.start, "an intermediate for each cluster")
        site.until(lambda: running.joined, "imports")
        yield site


def _agent(site: TrustSite, mesh: Mesh, **more: str) -> Process:
    """The CA agent of a cluster, running as its service account."""
    token = mesh.cluster.service_account(AGENT_NAMESPACE, AGENT)
    told = {
        syncer_settings.MESH: MESH,
        syncer_settings.CLUSTER: mesh.name,
        syncer_settings.BROKER: site.line.broker.url_for(syncer_user(mesh.name), f"{mesh.name}-secret"),
        syncer_settings.KUBECONFIG: str(mesh.cluster.write_kubeconfig("agent", {"token": token})),
        agent_settings.TRUST_DOMAIN: shop.trust_domain(mesh.name),
        agent_settings.LOOK: "1",
    }
    environment = {setting.name: value for setting, value in told.items()} | more
    return Process(f"agent-{mesh.name}", [sys.executable, "-m", "syncer", "ca-agent"], site.logs, **environment)


def _logged_key(agent: Process) -> str:
    """The public key that it signs its requests with, as soon as it says so."""

    def said() -> re.Match[str] | None:
        return re.search(r"signs with (ed25519:\S+):", agent.log.read_text())

    agent.wait_ready(lambda: said() is not None)
    found = said()
    assert found
    return found[1]
