"""Flux's own controllers beside an API server: source-controller and kustomize-controller, for one cluster.

Knows how they are built, started and asked to look now, and how to read what they say of an object. They run outside of
the cluster with an administrator's kubeconfig, and impersonate service accounts as they do inside. No
notification-controller: `poke` does what a Receiver would.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import urllib3

from tests.e2e import build
from tests.e2e.kubernetes import Cluster, Process, free_port, wait_for_crds
from tests.servers.git_http import PASSWORD, USER

T = TypeVar("T")

NAMESPACE = "flux-system"


class Flux:
    """Flux in one cluster."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self._folder = folder
        self._processes: list[Process] = []
        self._source = f"peermesh-{cluster.name}"

    def start(self) -> None:
        """Ready when both answer so."""
        storage, health = f"127.0.0.1:{free_port()}", [f"127.0.0.1:{free_port()}" for _ in range(2)]
        common = ("--events-addr=", "--log-encoding=console", "--metrics-addr=127.0.0.1:0")
        source = (
            "--storage-path",
            self._folder / "artifacts",
            "--storage-addr",
            storage,
            "--storage-adv-addr",
            storage,
        )
        (self._folder / "artifacts").mkdir()
        for name, arguments, address in (
            ("source-controller", source, health[0]),
            ("kustomize-controller", (), health[1]),
        ):
            command = (build.build(name), *common, f"--health-addr={address}", *arguments)
            process = Process(
                name, command, self._folder, KUBECONFIG=str(self.cluster.kubeconfig), RUNTIME_NAMESPACE=NAMESPACE
            )
            self._processes.append(process)
            process.wait_ready(lambda address=address: _ready(address))  # type: ignore[misc]

    def end(self) -> None:
        for process in self._processes:
            process.end(signal.SIGTERM)

    def log(self) -> str:
        """The end of what the controllers logged."""
        return "\n".join(process.log.read_text(errors="replace")[-3000:] for process in self._processes)

    # --- as people and Receivers do

    def poke(self, kind: str = "gitrepositories", name: str = "") -> None:
        """Look now, as a Receiver of notification-controller asks for it: an annotation with a new value."""
        group = "source" if kind == "gitrepositories" else "kustomize"
        path = f"/apis/{group}.toolkit.fluxcd.io/v1/namespaces/{NAMESPACE}/{kind}/{name or self._source}"
        patch = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": str(time.time_ns())}}}
        code, answer = self.cluster.request("PATCH", path, patch, content_type="application/merge-patch+json")
        assert code == 200, answer

    # --- what it says

    def unit(self, name: str) -> dict[str, Any]:
        """The Kustomization of a sync unit."""
        path = f"/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{NAMESPACE}/kustomizations"
        code, found = self.cluster.request("GET", f"{path}/peermesh-{self.cluster.name}-{name}")
        assert code == 200, found
        return dict(found)

    def applied(self, name: str) -> str:
        """The commit that was last applied of a unit, whatever became of newer ones; empty: none yet."""
        revision: str = self.unit(name).get("status", {}).get("lastAppliedRevision", "")
        return revision.rpartition(":")[2]

    def ready(self, name: str) -> tuple[str, str]:
        """Status and message of the condition Ready of a unit."""
        for condition in self.unit(name).get("status", {}).get("conditions", ()):
            if condition["type"] == "Ready":
                return condition["status"], condition["message"]
        return "Unknown", ""

    def wait_for_commit(self, commit: str, *units: str) -> None:
        """Return when these units, or both, are applied from a commit."""
        for name in units or ("gateway", "imports"):
            self.wait_for(lambda name=name: self.applied(name) == commit, f"{commit} of {name}")  # type: ignore[misc]

    def wait_for(self, condition: Callable[[], T], what: str, seconds: float = 90) -> T:
        """What the condition says as soon as it is true; else fails with what the controllers logged."""
        deadline = time.monotonic() + seconds
        while not (held := condition()):
            assert time.monotonic() < deadline, f"{self.cluster.name}: waited {seconds} s for {what}\n{self.log()}"
            time.sleep(0.05)
        return held


@contextmanager
def receivers(file: Path, *all_of_them: Flux) -> Iterator[None]:
    """What notification-controller does for a Receiver of type `generic-hmac` in each; `file` gets a line for each.

    As its `internal/server/receiver_handlers.go`: X-Signature is checked against the body, which isn't read further.
    """
    secrets = {f"/hook/{one.cluster.name}": (one, f"{one.cluster.name}-token") for one in all_of_them}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            one, secret = secrets[self.path]
            wanted = f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
            signed = hmac.compare_digest(wanted, self.headers.get("X-Signature", ""))
            if signed:
                one.poke()
            self.send_response(200 if signed else 400)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
            """Nothing: who isn't told waits for a minute, and the test fails."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_port}"
    file.write_text("".join(f"{url}{path} {secret}\n" for path, (_, secret) in secrets.items()))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def flux(cluster: Cluster, folder: Path) -> Iterator[Flux]:
    """Flux in a cluster, with the credentials of `tests.servers.git_http` in its namespace; ended with the block."""
    folder.mkdir(parents=True)
    install(cluster)
    made = Flux(cluster, folder)
    try:
        made.start()
        yield made
    finally:
        made.end()


def install(cluster: Cluster) -> None:
    """Its kinds, its namespace, and the Secret with which it reads the repository."""
    for name in ("source-controller", "kustomize-controller"):
        cluster.apply(build.module_folder(name, f"github.com/fluxcd/{name}") / "config" / "crd" / "bases")
    wait_for_crds(cluster)
    cluster.apply(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}))
    let_in(cluster, USER, PASSWORD)


def let_in(cluster: Cluster, user: str, password: str) -> None:
    """The Secret with which it reads the repository."""
    metadata = {"name": "peermesh-git", "namespace": NAMESPACE}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
    cluster.apply(json.dumps(secret | {"stringData": {"username": user, "password": password}}))


def _ready(address: str) -> bool:
    try:
        return urllib3.request("GET", f"http://{address}/readyz", timeout=5, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False
