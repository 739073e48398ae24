"""Every path, branch, ref and object name that peermesh invents.

Knows names only. Names were checked when they were read (`syncer.protocol.names`), so nothing is escaped here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final, NamedTuple

from syncer.protocol.names import Namespace, ServiceKey, ServiceName, is_label
from workers.documents.kinds import Document

MESH: Final = "mesh/mesh.yaml"
CLUSTERS: Final = "mesh/clusters/"
FACTS: Final = "facts/"
CLUSTER_FACTS: Final = "facts/clusters/"
PKI: Final = "pki/"
TRUST: Final = "pki/trust.yaml"
ROBOTS: Final = (FACTS, PKI)
"""Where the robot's documents stand."""
RENDERED: Final = "clusters/"
IMPORTS_NAMESPACE: Final = "peermesh-imports"
AUTHORITY_PART: Final = "pki/"
"""What `namespace_of` calls the files of all clusters' trust, which are of no namespace; no namespace is called so."""

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

    @property
    def key(self) -> ServiceKey:
        """The service, where it has a namespace and a name."""
        return ServiceKey(Namespace(self.namespace), ServiceName(self.name))


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


def root_path(name: str) -> str:
    """Where the public side of a root is kept."""
    return f"pki/roots/{name}.yaml"


def request_path(cluster: str) -> str:
    """Where a cluster's request for an intermediate is kept."""
    return f"pki/requests/{cluster}.yaml"


def intermediate_path(cluster: str) -> str:
    """Where a cluster's intermediate is kept."""
    return f"pki/intermediates/{cluster}.yaml"


def sealing_path(cluster: str) -> str:
    """Where the certificate is kept that a cluster's key is sealed for."""
    return f"pki/sealing/{cluster}.yaml"


def ca_path(cluster: str) -> str:
    """What brings a cluster its intermediate and its bundle."""
    return f"clusters/{cluster}/ca/cacerts.yaml"


def import_path(cluster: str, key: ServiceKey) -> str:
    """What `cluster` needs to call a service: ServiceEntry and DestinationRule."""
    return f"clusters/{cluster}/imports/{key.namespace}/{_file(key.service)}"


def gateway_path(cluster: str, namespace: str) -> str:
    """What the gateway of `cluster` lets in for a namespace."""
    return f"clusters/{cluster}/gateway/{_file(namespace)}"


class _Folder(NamedTuple):
    """Where the documents of a kind stand. `names`: the names in the path below the folder, as `Place` has them.

    `slots`: which of these are the cluster, the namespace and the name of a `Place`; -1: it has none.
    """

    folder: str
    names: tuple[str, ...]
    slots: tuple[int, int, int]


_ALONE: Final[Mapping[str, str]] = {"Mesh": MESH, "Trust": TRUST}
"""Kinds of which there is one document."""
_FOLDERS: Final[Mapping[str, _Folder]] = {
    "Cluster": _Folder("mesh/clusters", ("cluster",), (0, -1, 0)),
    "ClusterFacts": _Folder("facts/clusters", ("cluster",), (0, -1, 0)),
    "Export": _Folder("facts/exports", ("namespace", "cluster", "name"), (1, 0, 2)),
    "Host": _Folder("facts/hosts", ("namespace", "name"), (-1, 0, 1)),
    "Root": _Folder("pki/roots", ("name",), (-1, -1, 0)),
    "CertificateRequest": _Folder("pki/requests", ("cluster",), (0, -1, 0)),
    "Intermediate": _Folder("pki/intermediates", ("cluster",), (0, -1, 0)),
    "SealingCertificate": _Folder("pki/sealing", ("cluster",), (0, -1, 0)),
}
_KINDS: Final[Mapping[str, str]] = {folder.folder: kind for kind, folder in _FOLDERS.items()}
_PLACES: Final[Mapping[str, Place]] = {path: Place(kind) for kind, path in _ALONE.items()}


_REFUSABLE: Final = frozenset({"ClusterFacts", "Export", "CertificateRequest", "Intermediate", "Trust"})


def path_of(document: Document) -> str:
    """Where a document stands: its kind and names say it."""
    if document.kind in _ALONE:
        return _ALONE[document.kind]
    folder, names, _ = _FOLDERS[document.kind]
    metadata = document.metadata  # of a document that is of a cluster and of nothing else, `name` is the cluster's
    said = (getattr(metadata, "name" if len(names) == 1 else name) for name in names)
    return f"{folder}/{'/'.join(said)}.yaml"


def place(path: str) -> Place | None:
    """What kind of document a path in `mesh/`, `facts/` or `pki/` holds; None for a path that isn't one of ours."""
    if path in _PLACES:
        return _PLACES[path]
    first, _, rest = path.removesuffix(".yaml").partition("/")
    second, _, rest = rest.partition("/")
    kind = _KINDS.get(f"{first}/{second}")
    if kind is None or not path.endswith(".yaml"):
        return None
    _, wanted, (cluster, namespace, name) = _FOLDERS[kind]
    names = rest.split("/")
    if len(names) != len(wanted) or not all(map(is_label, names)):
        return None
    names.append("")
    return Place(kind, names[cluster], names[namespace], names[name])


def is_refusable(path: str) -> bool:
    """True for what the robot proposes and people may refuse, or take back: exports, ClusterFacts, steps of trust.

    Hosts, and what is rendered, only follow from them.
    """
    where = place(path)
    return where is not None and where.kind in _REFUSABLE


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
    """The namespace of the mesh that a rendered file or a Host document is about; of trust: `AUTHORITY_PART`."""
    parts = path.split("/")
    match parts[0], parts[2] if len(parts) > 2 else "":
        case ("pki", _) | ("clusters", "ca"):
            return AUTHORITY_PART
        case ("clusters", "gateway"):
            return name_in(parts[3])
    return parts[-2]


def name_in(file: str) -> str:
    """The service or namespace that a rendered file is called after."""
    return file.removesuffix(".yaml").rstrip("-")


def _file(name: str) -> str:
    # No DNS label ends in a hyphen, so no other name has this file.
    return f"{name}-.yaml" if name == _TAKEN else f"{name}.yaml"


# --- branches


def ref_of(branch: str) -> str:
    """The ref of a branch."""
    return f"refs/heads/{branch}"


def clusters_branch(cluster: str) -> str:
    """The branch that proposes facts of a cluster as such."""
    return f"peermesh/clusters/{cluster}"


def exports_branch(namespace: str) -> str:
    """The branch that proposes exports of a namespace, whatever cluster they came from."""
    return f"peermesh/exports/{namespace}"


def held_branch(namespace: str) -> str:
    """The branch of the losses that the guard holds back."""
    return f"peermesh/held/{namespace}"


TRUST_BRANCHES: Final = "peermesh/trust/"
"""How branches begin on which steps of trust are proposed."""


def request_branch(cluster: str) -> str:
    """The branch that proposes a cluster's request for an intermediate."""
    return f"{TRUST_BRANCHES}request-{cluster}"


def certificate_branch(cluster: str) -> str:
    """The branch that proposes the certificate that was signed for a request."""
    return f"{TRUST_BRANCHES}certificate-{cluster}"


ROLLOVER_BRANCH: Final = "peermesh/trust/rollover"
"""The branch that proposes the next step on the way to the root that people want."""
PEOPLE: Final = "trust/"
"""How branches begin on which people's own orders are proposed; the robot neither reads nor touches them."""


def people_branch(what: str) -> str:
    """The branch that proposes what somebody orders of trust."""
    return f"{PEOPLE}{what}"


def is_ours(branch: str) -> bool:
    """Whether the robot makes branches of this name."""
    return branch == RENDER_BRANCH or branch.startswith(
        (clusters_branch(""), exports_branch(""), held_branch(""), TRUST_BRANCHES)
    )


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
