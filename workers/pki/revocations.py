"""Whether CRLs can go out: a CA without a list that holds stops every new connection, so all have one or none is used.

Knows the documents of `pki/` and which CAs are in use. Makes no list (`workers.pki.crl`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from syncer.protocol.errors import Rejected
from workers.documents.trust import MeshTrust
from workers.pki.papers import Papers
from workers.pki.proposing import Refusal
from workers.pki.state import State
from workers.tree import Tree

OLDEST: Final = (1, 27)
"""The first Istio that takes `ca-crl.pem`."""


def crl_refusals(tree: Tree, trust: MeshTrust, state: State, papers: Papers) -> tuple[Refusal, ...]:
    """What `crls: true` waits for; none: it waits for nothing, or nobody wants CRLs."""
    if not trust.crls:
        return ()
    return (*_lists(tree, state.now, papers), *_versions(state))


def _lists(tree: Tree, now: datetime, papers: Papers) -> Iterator[Refusal]:
    pki = tree.facts.pki
    used = sorted({root for step in pki.steps.values() for root in step.bundle} & pki.roots.keys())
    roots = [pki.roots[name].spec for name in used]
    authorities = [text for root in roots for text in (root.certificate, root.issuers) if text]
    authorities += [one.spec.certificate for one in pki.intermediates.values()]
    lists = "".join(root.crl for root in roots) + "".join(one.spec.crl for one in pki.intermediates.values())
    try:
        faults = papers.crl_faults(lists, authorities, now=now)
    except Rejected as error:
        faults = (str(error),)
    if faults:
        remedy = "Every CA of every mesh needs a list before any is used."
        yield Refusal(rule="CrlMissing", what="; ".join(faults), remedy=remedy)


def _versions(state: State) -> Iterator[Refusal]:
    for member in state.counted:
        if not all(map(_takes_crls, member.sight.istio.split(","))):
            what = f"istiod of {member.name} is {member.sight.istio or 'of an unknown version'}"
            yield Refusal(rule="OldIstio", what=what, remedy="CRLs need Istio 1.27 or newer in every cluster.")


def _takes_crls(version: str) -> bool:
    said = re.match(r"(\d{1,4})\.(\d{1,4})(?!\d)", version)
    return said is not None and (int(said[1]), int(said[2])) >= OLDEST
