"""Every path, branch, ref and object name that peermesh invents.

Knows names only. Names were checked when they were read (`syncer.protocol.names`), so nothing is escaped here.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from syncer.protocol.names import ServiceKey, is_label
from workers.documents.kinds import Cluster, ClusterFacts, Document, Export, Host, Mesh

MESH: Final = "mesh/mesh.yaml"
CLUSTERS: Final = "mesh/clusters/"
FACTS: Final = "facts/"
CLUSTER_FACTS: Final = "facts/clusters/"
RENDERED: Final = "clusters/"
IMPORTS_NAMESPACE: Final = "peermesh-imports"

MAIN: Final = "refs/heads/main"
RENDER_BRANCH: Final = "peermesh/render"
REJECTED: Final = "refs/peermesh/rejected"
PAUSED: Final = "refs/peermesh/paused"

_OWNED_FOLDERS: Final = ("gateway", "imports", "policy", "ca")
_TAKEN: Final = "kustomization"
"""Kustomize, and Flux with it, takes a file `kustomization.yaml` for instructions and refuses its whole folder."""


class Place(NamedTuple):
    """What the path of a document says: its kind and the names in it (those that apply)."""

    kind: str
    cluster: str = ""
    namespace: str = ""
    name: str = ""


def cluster_path(cluster: str) -> str:
    """Where people describe a cluster."""
    return f"mesh/clusters/{cluster}.yaml"


def cluster_facts_path(cluster: str) -> str:
    """Where the robot keeps what was accepted of a cluster as such."""
    return f"facts/clusters/{cluster}.yaml"


def export_path(key: ServiceKey, cluster: str) -> str:
    """Where the robot keeps what one cluster exports under one name."""
    return f"facts/exports/{key.namespace}/{cluster}/{key.service}.yaml"


def host_path(key: ServiceKey) -> str:
    """Where the robot keeps the addresses of a service; the file stays for ever."""
    return f"facts/hosts/{key.namespace}/{key.service}.yaml"


def import_path(cluster: str, key: ServiceKey) -> str:
    """What `cluster` needs to call a service: ServiceEntry and DestinationRule."""
    return f"clusters/{cluster}/imports/{key.namespace}/{_file(key.service)}"


def gateway_path(cluster: str, namespace: str) -> str:
    """What the gateway of `cluster` lets in for a namespace."""
    return f"clusters/{cluster}/gateway/{_file(namespace)}"


def path_of(document: Document) -> str:
    """Where a document stands: its kind and names say it."""
    match document:
        case Mesh():
            return MESH
        case Cluster():
            return cluster_path(document.name)
        case ClusterFacts():
            return cluster_facts_path(document.metadata.name)
        case Export():
            return export_path(document.key, document.cluster)
        case Host():
            return host_path(document.key)


def place(path: str) -> Place | None:
    """What kind of document a path in `mesh/` or `facts/` holds; None for a path that isn't one of ours."""
    stem, dot, ending = path.rpartition(".")
    match stem.split("/") if dot and ending == "yaml" else ():
        case ["mesh", "mesh"]:
            return Place("Mesh")
        case ["mesh", "clusters", cluster] if is_label(cluster):
            return Place("Cluster", cluster=cluster, name=cluster)
        case ["facts", "clusters", cluster] if is_label(cluster):
            return Place("ClusterFacts", cluster=cluster, name=cluster)
        case ["facts", "exports", namespace, cluster, name] if all(map(is_label, (namespace, cluster, name))):
            return Place("Export", cluster=cluster, namespace=namespace, name=name)
        case ["facts", "hosts", namespace, name] if is_label(namespace) and is_label(name):
            return Place("Host", namespace=namespace, name=name)
    return None


def is_owned(path: str) -> bool:
    """True where the robot may write and delete: `facts/`, `pki/`, `clusters/<name>/{gateway,imports,policy,ca}/`.

    The `README.md` of a sync unit is people's: it keeps an empty folder in Git.
    """
    parts = path.split("/")
    if parts[0] in {"facts", "pki"}:
        return len(parts) > 1
    return is_rendered(path)


def is_rendered(path: str) -> bool:
    """True for a file that `render` alone decides: everything but `README.md` in a sync unit's folder."""
    parts = path.split("/")
    return len(parts) > 3 and parts[0] == "clusters" and parts[2] in _OWNED_FOLDERS and parts[3:] != ["README.md"]


def namespace_of(path: str) -> str:
    """The namespace of the mesh that a rendered file or a Host document is about."""
    folder, _, last = path.rpartition("/")
    return name_in(last) if folder.endswith("/gateway") else folder.rpartition("/")[2]


def name_in(file: str) -> str:
    """The service or namespace that a rendered file is called after."""
    return file.removesuffix(".yaml").rstrip("-")


def _file(name: str) -> str:
    # No DNS label ends in a hyphen, so no other name has this file.
    return f"{name}-.yaml" if name == _TAKEN else f"{name}.yaml"


# --- branches


def clusters_branch(cluster: str) -> str:
    """The branch that proposes facts of a cluster as such."""
    return f"peermesh/clusters/{cluster}"


def exports_branch(namespace: str) -> str:
    """The branch that proposes exports of a namespace, whatever cluster they came from."""
    return f"peermesh/exports/{namespace}"


def held_branch(namespace: str) -> str:
    """The branch of the losses that the guard holds back."""
    return f"peermesh/held/{namespace}"


# --- object names


def import_name(key: ServiceKey) -> str:
    """Name of ServiceEntry and DestinationRule; dots are allowed in theirs, so no two services share one."""
    return f"{key.service}.{key.namespace}"


def alias_name(key: ServiceKey, host: str) -> str:
    """Name of the objects for an additional host of a service."""
    return f"{import_name(key)}.{host}"


def gateway_name(namespace: str) -> str:
    """`peermesh-<namespace>`: a DNS label (Istio refuses dots in a Gateway's name), cut with a hash over 63."""
    return shortened(f"peermesh-{namespace}", 63)


def shortened(name: str, limit: int) -> str:
    """`name`, or its beginning and 8 hexadecimal digits of its SHA-256 if it is longer than `limit`.

    The digits are a label of their own where the name has labels: none may pass 63 characters.
    """
    if len(name) <= limit:
        return name
    joint = "." if "." in name else "-"
    return f"{name[: limit - 9].rstrip('-.')}{joint}{hashlib.sha256(name.encode()).hexdigest()[:8]}"
