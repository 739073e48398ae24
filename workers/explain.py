"""Explain: who can call a service, from where, through whom, or why not.

Finds what a person asks for in a tree and its reach; what those say isn't judged again. Knows no texts, no repository.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from syncer.protocol.errors import Rejected
from syncer.protocol.names import HostName, Namespace, ServiceKey, ServiceName
from syncer.protocol.offer import Refused
from workers.conflict import age
from workers.documents.kinds import Export, Host
from workers.reach import HostReach, Reach
from workers.tree import Tree


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Everything about one service.

    `exports`: the oldest first; `host`: its addresses and everybody who ever provided it, None if nobody ever did;
    `reach`: its host, then its additional names, empty if nobody exports it; `refused`: by cluster, why what people
    asked to export there isn't exported.
    """

    key: ServiceKey
    exports: tuple[Export, ...]
    host: Host | None
    reach: tuple[HostReach, ...]
    refused: tuple[tuple[str, Refused], ...]


def explain(tree: Tree, reach: Reach, asked: str, refused: Iterable[tuple[str, Refused]] = ()) -> Explanation:
    """What is known of `asked`, a host or `namespace/service`.

    Raises:
        Rejected: nothing is; the remedy names what is called alike.
    """
    refusals = tuple(refused)
    key = _key(tree, reach, asked, refusals)
    if key is None:
        raise Rejected("UnknownHost", "no cluster exports this", subject=asked, remedy=_alike(tree, reach, asked))
    own = tree.mesh.host_name(key)
    return Explanation(
        key=key,
        exports=tuple(sorted(tree.facts.exports.get(key, {}).values(), key=age)),
        host=tree.facts.hosts.get(key),
        reach=tuple(sorted((h for h in reach.values() if h.key == key), key=lambda h: (h.name != own, h.name))),
        refused=tuple((cluster, entry) for cluster, entry in refusals if (entry.namespace, entry.service) == key),
    )


def _key(tree: Tree, reach: Reach, asked: str, refused: Iterable[tuple[str, Refused]]) -> ServiceKey | None:
    found = reach.get(HostName(asked))
    if found is not None:
        return found.key
    namespace, _, service = asked.partition("/")
    key = ServiceKey(Namespace(namespace), ServiceName(service))
    if key in tree.facts.exports or key in tree.facts.hosts:
        return key
    if any((entry.namespace, entry.service) == key for _, entry in refused):
        return key
    # A host that nobody provides any more keeps its address, so it can be found by its name.
    return next((known for known, host in tree.facts.hosts.items() if asked in host.spec.addresses), None)


def _alike(tree: Tree, reach: Reach, asked: str) -> str:
    names = [*map(str, tree.facts.hosts), *reach]
    close = difflib.get_close_matches(asked, names, n=3) or [name for name in names if asked in name][:3]
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return "`peermesh status` lists what waits; a label or ServiceExport that can't be exported is told in proposals."
