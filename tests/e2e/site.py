"""A site with Flux: two API servers, Flux in each, and a mesh repository behind a Git server, as `cluster add` made it.

Knows how a person sets it up and commits. What is in the repository is what the demo's manifests export.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pygit2
import pytest

from syncer.cluster.api import ApiReader
from syncer.cluster.connection import Connection
from syncer.observe import Scope, observe
from syncer.protocol.errors import Transient
from syncer.protocol.observation import Observation
from tests.cli.calls import MANIFESTS, done
from tests.cli.conftest import as_person
from tests.e2e.flux import Flux, flux
from tests.e2e.kubernetes import Cluster, clusters, install_crds
from tests.servers.git_http import PASSWORD, USER, bare_repository, git_server
from workers.applied import committed
from workers.tree import FilesInMemory

NAMES = ("west", "east")
GATEWAYS = "istio-eastwest"
ISTIO = "/apis/networking.istio.io/v1"


@dataclass(kw_only=True)
class Site:
    """`checkout`: where a person works; `bare`: the repository on the server; `flux`: by cluster."""

    checkout: Path
    bare: Path
    flux: Mapping[str, Flux]

    def commit(self, changes: Mapping[str, bytes | str | None], *, poke: bool = True) -> str:
        """A person's commit on main: new content by path, None removes; then every Flux is told. Returns its id."""
        repo = pygit2.Repository(str(self.bare))
        parent = repo.references["refs/heads/main"].peel(pygit2.Commit)
        index = pygit2.Index()
        index.read_tree(parent.tree)
        for path, data in changes.items():
            if data is None:
                index.remove(path)
            else:
                blob = repo.create_blob(data.encode() if isinstance(data, str) else data)
                index.add(pygit2.IndexEntry(path, blob, pygit2.enums.FileMode.BLOB))
        person = pygit2.Signature("A person", "person@example.org")
        made = repo.create_commit("refs/heads/main", person, person, "Edit\n", index.write_tree(repo), [parent.id])
        for one in self.flux.values() if poke else ():
            one.poke()
        return str(made)

    def files(self) -> FilesInMemory:
        """Main as it stands."""
        repo = pygit2.Repository(str(self.bare))
        return FilesInMemory(dict(_files(repo, repo.references["refs/heads/main"].peel(pygit2.Tree))))

    def wanted(self, cluster: str) -> dict[str, str]:
        """Digests of all that main commits for a cluster."""
        units = committed(self.files(), {}).get(cluster, {})
        return {name: digest for unit in units.values() for name, digest in unit.items()}


def held(cluster: Cluster) -> dict[str, str]:
    """Digests of all that peermesh rendered and the cluster holds."""
    found = {}
    for plural in ("destinationrules", "gateways", "serviceentries", "virtualservices"):
        code, answer = cluster.request("GET", f"{ISTIO}/{plural}?labelSelector=app.kubernetes.io/managed-by=peermesh")
        assert code == 200, answer
        for item in answer["items"]:
            metadata: dict[str, Any] = item["metadata"]
            name = f"{item['kind']}/{metadata['namespace']}/{metadata['name']}"
            found[name] = metadata["annotations"]["peermesh.io/digest"]
    return found


class Eye:
    """The reader of a cluster's syncer, watching."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._reader = ApiReader(Connection(kubeconfig=cluster.kubeconfig))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        for _ in self._reader.changes(self._stop):
            pass

    def observation(self) -> Observation | None:
        """What the syncer would say now; None until everything was listed."""
        try:
            state = self._reader.read()
        except Transient:
            return None
        return observe(state, Scope(mesh="shop", cluster=self._cluster.name), sequence=1, observed_at=datetime.now(UTC))

    def close(self) -> None:
        self._stop.set()
        self._thread.join(60)


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """All of it, running, with what the demo's clusters export applied."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        as_person(folder, patch)
        made = stack.enter_context(clusters(folder, *NAMES))
        server = stack.enter_context(git_server(folder / "remote"))
        bare = bare_repository(server.root / "mesh.git")
        checkout = repository(folder, server.url("mesh.git", f"{USER}:{quote(PASSWORD, safe='')}"))
        controllers = {}
        for cluster in made:
            install_crds(cluster, service_export=None)
            controllers[cluster.name] = stack.enter_context(flux(cluster, folder / f"flux-{cluster.name}"))
            deliver(cluster, checkout)
        running = Site(checkout=checkout, bare=bare, flux=controllers)
        for name, one in controllers.items():
            one.wait_for(lambda one=one, name=name: held(one.cluster) == running.wanted(name), "the first sync")  # type: ignore[misc]
        yield running


def repository(folder: Path, url: str) -> Path:
    """A checkout of a mesh of west and east with what the demo exports there, on main of the remote, too."""
    checkout, after = folder / "checkout", folder / "after"
    done("init", checkout, "--name", "shop")
    git(checkout, "remote", "add", "origin", url)
    for name in NAMES:
        done("cluster", "add", name, "--repo", checkout, "--network", name, "--trust-domain", f"{name}.shop.example")
    sources = [part for name in NAMES for part in ("--from", f"{name}={MANIFESTS / name}")]
    done("plan", "--repo", checkout, *sources, "--write", after)
    for part in ("facts", "clusters"):
        subprocess.run(["cp", "-r", str(after / part), str(checkout)], check=True)
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message", "Begin")
    git(checkout, "push", "--quiet", "origin", "main")
    return checkout


def deliver(cluster: Cluster, checkout: Path) -> None:
    """What delivery/README.md says, by hand and once."""
    cluster.apply(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": GATEWAYS}}))
    cluster.apply(checkout / "delivery" / "clusters" / cluster.name / "namespaces.yaml")
    cluster.apply(checkout / "delivery" / "flux" / cluster.name)


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


def _files(repo: pygit2.Repository, tree: pygit2.Tree, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in tree:
        if isinstance(entry, pygit2.Tree):
            yield from _files(repo, entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", repo[entry.id].peel(pygit2.Blob).data
