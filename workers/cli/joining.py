"""A cluster joins the mesh: what is written into a checkout for it, if the mesh is valid with it.

Reads the checkout, decides, writes: each once; nothing is written if anything is wrong.
"""

from __future__ import annotations

from pathlib import Path

from syncer.protocol.errors import Rejected
from workers.acl import syncer_user
from workers.cli.cluster_file import text_of, with_key
from workers.cli.delivery import cluster_files
from workers.cli.delivery.redis import USERS, with_password, with_users
from workers.cli.rendered import FilesWith, valid_tree
from workers.documents import paths
from workers.documents.kinds import Cluster
from workers.folder import read_checkout, write_folder


def add_cluster(folder: Path, cluster: Cluster, *, remote: str, password: str = "") -> list[str]:
    """Write the files of a new cluster; returns their paths.

    `remote`: where reconcilers fetch the repository from; `password`: digest of that of its user in Redis.

    Raises:
        Rejected: the mesh isn't valid, or wouldn't be with it; the cluster is there already.
    """
    files = read_checkout(folder)
    valid_tree(files)
    path = paths.cluster_path(cluster.name)
    if files.blob(path) is not None:
        raise Rejected("Exists", "this cluster is there already", subject=path, remedy="Edit the file.")
    document = {path: text_of(cluster).encode()}
    tree = valid_tree(FilesWith(files, document))
    delivery = cluster_files(tree.mesh, tree.clusters[cluster.name], remote=remote)
    # What people put there before the cluster was added stays theirs.
    changes = document | {path: data for path, data in delivery.items() if files.blob(path) is None}
    users = with_users(files.read(USERS).decode() if files.blob(USERS) is not None else "", [syncer_user(cluster.name)])
    changes[USERS] = (with_password(users, syncer_user(cluster.name), password) if password else users).encode()
    write_folder(folder, changes)
    return sorted(changes)


def trust_key(folder: Path, name: str, key: str) -> str | None:
    """Write one more key of a cluster's syncer; returns the path, None if it is trusted already.

    Raises:
        Rejected: the mesh isn't valid, or wouldn't be with it; no such cluster; two keys are trusted.
    """
    files = read_checkout(folder)
    tree = valid_tree(files)
    path = paths.cluster_path(name)
    cluster = tree.clusters.get(name)
    if cluster is None:
        known = ", ".join(tree.clusters) or "none yet"
        raise Rejected("UnknownCluster", "no such cluster", subject=name, remedy=f"There are: {known}.")
    text = files.read(path).decode()
    changed = with_key(text, cluster, key)
    if changed == text:
        return None
    valid_tree(FilesWith(files, {path: changed.encode()}))
    write_folder(folder, {path: changed.encode()})
    return path
