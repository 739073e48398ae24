"""What `init` and `cluster add` write beside people's documents: what is applied by hand once, and the sync units.

Pure: documents in, files out. One module for each receiver of these files. People own them from then on; nothing here
is written again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from workers.cli.delivery.agent import agent_files
from workers.cli.delivery.argocd import argocd_files
from workers.cli.delivery.flux import flux_files
from workers.cli.delivery.redis import redis_files
from workers.cli.delivery.syncer import syncer_files
from workers.documents.kinds import Cluster, Mesh

UNITS: Final = {
    "gateway": "What the east-west gateway of cluster {name} lets in",
    "imports": "What cluster {name} can call",
    "ca": "The signing certificate of cluster {name}",
}
"""The folders below `clusters/<cluster>/` that are applied each by itself, and what is in them."""
_KEEPS: Final = """\
{what}: written by peermesh, checked by `peermesh check`, never edited by hand.
This file keeps the folder: a sync unit whose folder is missing freezes what was applied last.
"""


def cluster_files(mesh: Mesh, cluster: Cluster, *, remote: str) -> Mapping[str, bytes]:
    """What `cluster add` writes for one cluster, by path; `remote`: where reconcilers fetch the repository from.

    Files of the whole mesh are among them: the first cluster that is added brings them.
    """
    files = {
        **syncer_files(mesh, cluster),
        **agent_files(mesh, cluster),
        **flux_files(cluster, remote),
        **argocd_files(cluster, remote),
        **redis_files(),
    }
    for name, what in UNITS.items():
        text = _KEEPS.format(what=what.format(name=cluster.name))
        files[f"clusters/{cluster.name}/{name}/README.md"] = text.encode()
    return files
