"""What `peermesh plan` plans, and the tree that `--write` leaves.

The same `plan` as the pipeline's, with directories of manifests and API servers in place of what syncers send.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from syncer.cluster import ClusterState
from syncer.cluster.directory import DirectoryReader
from syncer.foreign import MeshHosts
from syncer.gateway import GatewayPlace
from syncer.observe import Scope, next_sequence, observe
from syncer.protocol.errors import Rejected
from syncer.protocol.observation import Observation
from workers.cli.opening import open_remote
from workers.documents.reading import Invalid
from workers.folder import read_checkout, read_folder, write_folder
from workers.git.opening import is_folder
from workers.plan import Memory, Plan, frozen_namespaces, plan
from workers.series import all_but_held
from workers.situation import memory_of
from workers.tree import Files, Tree, apply, read_tree

CONTEXT: Final = "context:"
"""In front of a source that is a context of a kubeconfig, not a directory."""
MARKER: Final = ".peermesh-plan"
"""Lists what `--write` wrote into a folder, so that the next time can take it away again, and nothing else."""
_MARKER_HEAD: Final = "# Written by `peermesh plan --write`, which replaces these files the next time.\n"


@contextmanager
def planned(repo: str, sources: Mapping[str, str], namespace: str) -> Iterator[tuple[Files, Plan]]:
    """The files of a repository, and the plan for them.

    Raises:
        Rejected: bad documents, an unknown cluster, a source that can't be read.
        Transient, HumanNeeded: an API server is away, or refuses.
    """
    with _opened(repo) as (files, memory):
        tree, problems = read_tree(files)
        if tree is None:
            raise Invalid(problems)
        _known(tree, sources)
        states = {name: _state(name, source, namespace) for name, source in sources.items()}
        observations = {name: _observation(tree, name, state) for name, state in states.items()}
        frozen = frozen_namespaces(tree, problems)
        yield files, plan(tree, files, observations, memory, merges=all_but_held, frozen=frozen)


@contextmanager
def _opened(repo: str) -> Iterator[tuple[Files, Memory]]:
    """A checkout as it lies there; of a bare repository or a URL main, with what its other refs remember."""
    if is_folder(repo):
        yield read_checkout(Path(repo)), Memory()
    else:
        with open_remote(repo) as remote:
            yield remote.files, memory_of(remote, {})


def _known(tree: Tree, sources: Mapping[str, str]) -> None:
    for name in sources:
        if name not in tree.clusters:
            known = ", ".join(tree.clusters) or "none yet"
            remedy = f"There are: {known}. `peermesh cluster add {name} …` adds it."
            raise Rejected("UnknownCluster", "no such cluster", subject=name, remedy=remedy)


def _state(name: str, source: str, namespace: str) -> ClusterState:
    """What a cluster holds: a directory of manifests, or the API server of a context."""
    context = source.removeprefix(CONTEXT)
    if context == source:
        return DirectoryReader(Path(source), namespace).read()
    if not context:
        remedy = f"Write --from {name}={CONTEXT}CTX; `kubectl config get-contexts` shows which there are."
        raise Rejected("BadOption", "no name of a context follows", subject=f"--from {name}={source}", remedy=remedy)
    from syncer.cluster.api import read
    from syncer.cluster.connection import Connection

    return read(Connection(context=context))


def _observation(tree: Tree, name: str, state: ClusterState) -> Observation:
    now = datetime.now(UTC)
    gateway, hosts = tree.clusters[name].spec.gateway, tree.mesh.spec.hosts
    scope = Scope(
        mesh=tree.mesh.metadata.name,
        cluster=name,
        gateway=GatewayPlace(namespace=gateway.namespace, selector=gateway.selector, port=gateway.port),
        hosts=MeshHosts(template=hosts.template, patterns=tuple(entry.pattern for entry in hosts.additional)),
    )
    return observe(state, scope, sequence=next_sequence(0, now), observed_at=now)


def refuse_inside(repo: str, out: Path) -> None:
    """A plan that is written into what was planned on would be planned on the next time.

    Raises:
        Rejected: `out` lies below the checkout `repo`.
    """
    if is_folder(repo) and Path(repo).resolve() in out.resolve().parents:
        remedy = "Name a folder outside of it."
        raise Rejected("InsideRepository", f"it lies in the repository {repo}", subject=str(out), remedy=remedy)


def write_after(out: Path, files: Files, made: Plan) -> None:
    """Put the tree after the plan into a folder, in place of what was written there before.

    Raises:
        Rejected: the folder holds something that wasn't written so.
    """
    content = {path: files.read(path) for path, _ in files.under("") if path != MARKER}
    after = apply(content, made.changes)
    marker = _MARKER_HEAD + "".join(f"{path}\n" for path in after)
    gone = dict.fromkeys(_written_before(out) - after.keys())
    write_folder(out, {**gone, **after, MARKER: marker.encode()})


def _written_before(out: Path) -> set[str]:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return set()
    marker = out / MARKER
    if not marker.is_file():
        remedy = "Name a folder that doesn't exist, or an empty one: nothing of yours is overwritten."
        raise Rejected("NotOurs", "not empty, and not written by `plan --write`", subject=str(out), remedy=remedy)
    # Only what is really there: whoever edited the list can't make this remove anything elsewhere.
    return {path for path, _ in read_folder(out).under("")} & set(marker.read_text().splitlines())
