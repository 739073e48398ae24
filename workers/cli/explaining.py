"""What `peermesh explain` explains: a tree, its reach, and what clusters refuse, if Redis is named."""

from __future__ import annotations

from syncer.protocol.errors import PeermeshError, Rejected
from syncer.protocol.offer import Refused
from workers.cli.opening import newest_observations, readable_tree
from workers.cli.screen import warn
from workers.explain import Explanation, explain
from workers.git.opening import open_files
from workers.reach import reach


def explained(repo: str, asked: str, consumer: str | None, redis_url: str | None) -> Explanation:
    """What is known of a host or service. Raises Rejected: nothing is, or there is no such cluster."""
    with open_files(repo) as files:
        tree = readable_tree(files)
    if consumer is not None and consumer not in tree.clusters:
        remedy = f"There are: {', '.join(tree.clusters) or 'none yet'}."
        raise Rejected("UnknownCluster", "no such cluster", subject=consumer, remedy=remedy)
    return explain(tree, reach(tree), asked, _refused(redis_url))


def _refused(redis_url: str | None) -> list[tuple[str, Refused]]:
    if redis_url is None:
        return []
    try:
        observations = newest_observations(redis_url)
    except PeermeshError as error:
        warn(str(error))
        return []
    return [(cluster, entry) for cluster, said in sorted(observations.items()) for entry in said.refused]
