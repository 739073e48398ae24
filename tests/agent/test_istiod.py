"""What one replica of istiod shows, asked over TLS: with what it signs, and whether it made that itself."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from syncer.agent.istiod import asked
from syncer.agent.sight import Shown
from syncer.cluster.objects import Metadata, Pod, PodStatus
from syncer.protocol.certificates import fingerprint
from syncer.protocol.trust import ObservedIssuer
from tests.pki.authority import Authority
from tests.servers.tls import Holder, serving, tls
from tests.syncer.sidecars import LEAF, TRUST_DOMAIN, WEST_1, A, B

POD = Pod(metadata=Metadata(name="istiod-0"), status=PodStatus(pod_ip="127.0.0.1"))
OWN = A.leaf(TRUST_DOMAIN)
"""Issued by a root itself."""


def shown(chain: Sequence[Holder], published: Sequence[Authority]) -> Shown:
    roots = [root.certificate for root in published]
    with serving(tls(chain)) as port:
        return asked(POD, roots, istio_namespace="istio-system", port=port)


def signed_with(authority: Authority, *, own_root: bool = False) -> Shown:
    return Shown(
        issuer=ObservedIssuer(pod="istiod-0", issuer=fingerprint(authority.certificate)),
        own_root=own_root,
    )


def test_what_it_signs_with_stands_behind_its_certificate() -> None:
    assert signed_with(WEST_1) == shown([LEAF, WEST_1], [A])


def test_one_that_shows_its_certificate_alone_signs_with_a_published_root_that_it_made_itself() -> None:
    assert signed_with(A, own_root=True) == shown([OWN], [B, A])


def test_one_that_signs_with_a_root_of_its_cacerts_shows_it() -> None:
    assert signed_with(A) == shown([OWN, A], [A])


@pytest.mark.parametrize("published", [(), (B,)], ids=["nothing", "another"])
def test_what_nobody_publishes_isnt_known(published: Sequence[Authority]) -> None:
    found = shown([OWN], published)
    assert ("", False) == (found.issuer.issuer, found.own_root)
    assert "isn't in its chain" in found.issuer.error


def test_one_that_doesnt_answer_made_nothing() -> None:
    with serving(tls([OWN])) as port:
        pass
    found = asked(POD, [A.certificate], istio_namespace="istio-system", port=port)
    assert (True, False) == (found.issuer.error.startswith("no connection"), found.own_root)
