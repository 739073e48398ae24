"""Every path, branch, ref and object name that peermesh invents.

Knows names only. Names were checked when they were read (`syncer.protocol.names`), so nothing is escaped here.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from syncer.protocol.names import ServiceKey, is_label

MESH: Final = "mesh/mesh.yaml"
CLUSTERS: Final = "mesh/clusters/"
FACTS: Final = "facts/"
RENDERED: Final = "clusters/"
IMPORTS_NAMESPACE: Final = "peermesh-imports"

MAIN: Final = "refs/heads/main"
RENDER_BRANCH: Final = "peermesh/render"
REJECTED: Final = "refs/peermesh/rejected"
PAUSED: Final = "refs/peermesh/paused"

_OWNED_FOLDERS: Final = ("gateway", "imports", "policy", "ca")


class Place(NamedTuple):
    """What the path of a document says: its kind and the names in it (those that apply)."""

    kind: str
    cluster: str = ""
    namespace: str = ""
    name: str = ""


def cluster_path(cluster: str) -> str:
    return f"mesh/clusters/{cluster}.yaml"


def cluster_facts_path(cluster: str) -> str:
    return f"facts/clusters/{cluster}.yaml"


def export_path(key: ServiceKey, cluster: str) -> str:
    return f"facts/exports/{key.namespace}/{cluster}/{key.service}.yaml"


def host_path(key: ServiceKey) -> str:
    return f"facts/hosts/{key.namespace}/{key.service}.yaml"


def import_path(cluster: str, key: ServiceKey) -> str:
    return f"clusters/{cluster}/imports/{key.namespace}/{key.service}.yaml"


def gateway_path(cluster: str, namespace: str) -> str:
    return f"clusters/{cluster}/gateway/{namespace}.yaml"


def place(path: str) -> Place | None:
    """What kind of document a path in `mesh/` or `facts/` holds; None for a path that isn't one of ours."""
    stem, dot, ending = path.rpartition(".")
    if not dot or ending != "yaml":
        return None
    match stem.split("/"):
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


# --- branches


def clusters_branch(cluster: str) -> str:
    return f"peermesh/clusters/{cluster}"


def exports_branch(namespace: str) -> str:
    return f"peermesh/exports/{namespace}"


def held_branch(namespace: str) -> str:
    return f"peermesh/held/{namespace}"


# --- object names


def import_name(key: ServiceKey) -> str:
    """Name of ServiceEntry and DestinationRule; dots are allowed in theirs, so no two services share one."""
    return f"{key.service}.{key.namespace}"


def alias_name(key: ServiceKey, host: str) -> str:
    return f"{import_name(key)}.{host}"


def gateway_name(namespace: str) -> str:
    """`peermesh-<namespace>`: a DNS label (Istio refuses dots in a Gateway's name), cut with a hash over 63 characters."""
    return shortened(f"peermesh-{namespace}", 63)


def shortened(name: str, limit: int) -> str:
    """`name`, or its beginning and 8 hexadecimal digits of its SHA-256 if it is longer than `limit`."""
    if len(name) <= limit:
        return name
    return f"{name[: limit - 9].rstrip('-.')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
