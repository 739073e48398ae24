"""Check: a certificate gets to main only if it answers what was approved there before, and goes alone."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from syncer.protocol.certificates import write_certificates
from tests.core.trusting import (
    MADE,
    STEADY,
    approved,
    begun,
    changes_of,
    intermediate,
    managed,
    request,
    root,
    steps,
    tree,
    with_rendering,
)
from tests.core.worlds import files_of
from tests.pki.authority import DAY, NOW, Authority, Mesh, private_key
from workers.check import check
from workers.documents import paths
from workers.documents.trust import ClusterStep, Intermediate, MeshTrust, PkiDocument, Record
from workers.documents.writing import write
from workers.pki.issue import issue
from workers.tree import Changes, FilesInMemory, apply

ASKED, SIGNED = paths.request_path("west"), paths.intermediate_path("west")
BEFORE = (*begun(), approved(request()))
"""On main: both clusters have rotation 1, and west's request for rotation 2 is approved."""


def told(
    *documents: PkiDocument, base: tuple[PkiDocument, ...] = BEFORE, removes: Any = (), also: Changes | None = None
) -> list[str]:
    """What check says of a change of main that puts these documents there, with what they render to."""
    before = files_of(tree(*base))
    changes = {**with_rendering(before, changes_of(*documents, removes=removes)), **(also or {})}
    return [str(problem) for problem in check(FilesInMemory(apply(before.content, changes)), before)]


def signed(rotation: int = 2, *, made: Authority | None = None, **spec: Any) -> Intermediate:
    """The document of west's next intermediate; `made`: another certificate in it."""
    document = intermediate("west", rotation, **spec)
    return document if made is None else replace(document, spec=replace(document.spec, certificate=made.pem))


def other_key() -> Authority:
    """A certificate for west-2 whose key nobody approved."""
    issuer = MADE.root("a")
    key = private_key("thief")
    made = issue(
        MADE.template("west", 2), key.public_key(), issuer.certificate, issuer.key, now=NOW, serial=MADE.serial()
    )
    return Authority(certificate=made, key=key)


def test_the_certificate_that_answers_an_approved_request_passes():
    assert told(signed()) == []


def test_a_request_passes_beside_whatever_else_people_change():
    assert told(approved(request()), base=begun()) == []


def test_a_chain_that_loses_a_certificate_and_a_lever_need_no_request():
    crossed = (*begun()[:-1], intermediate("west", chain=MADE.cross("a", by="b").pem))
    assert told(intermediate("west", lever=1), base=crossed) == []


def test_a_certificate_without_a_request_on_main_is_refused():
    assert told(signed(), base=begun()) == [
        (
            f"{SIGNED}:6: rotation 2 was signed, and no request for it was approved. "
            "The signer signs what stands on main, and `flush` proposes it: close this and look who made it."
        )
    ]


def test_a_request_that_stands_only_on_the_branch_approves_nothing():
    said = told(signed(), approved(request()), base=begun())
    assert any("no request for it was approved" in line for line in said)
    assert (
        f"{ASKED}: changes together with the certificate of west, which goes alone. Propose it on a branch of its own."
        in said
    )


def test_a_certificate_for_another_key_is_refused():
    [said] = told(signed(made=other_key()))
    assert said.startswith(f"{SIGNED}:8: its key is sha256:")
    assert "was approved. The signer signs what stands on main" in said


def test_a_request_that_changes_along_with_its_certificate_is_refused():
    said = told(signed(made=other_key()), approved(request(key="thief")))
    assert f"{SIGNED}:6: the request for rotation 2 changes along with its certificate. " in "\n".join(said)
    assert "says something else than what was approved" in "\n".join(said)


@pytest.mark.parametrize("key", ["thief", "another"])
def test_an_approved_request_stays_as_it_was_approved(key: str):
    assert told(approved(request(key=key))) == [
        (
            f"{ASKED}:6: the request for rotation 2 says something else than what was approved. "
            f"`git checkout main -- {ASKED}` brings it back; another key is another rotation."
        )
    ]


def test_an_approved_request_may_be_taken_back():
    assert told(removes=[ASKED]) == []


def test_an_older_request_is_refused():
    assert told(approved(request(rotation=1, reason="first", proof=False)))[0].startswith(
        f"{ASKED}:6: a request for rotation 1, and rotation 2 was asked for already."
    )


def test_another_rotation_than_the_approved_one_is_refused():
    assert "no request for it was approved" in told(signed(3))[0]


def test_an_older_certificate_does_not_come_back():
    now = (root("a"), root("b"), steps(east=STEADY, west=STEADY), intermediate("east"), signed(3), approved(request()))
    assert f"{SIGNED}:6: rotation 2 comes after rotation 3. " in "\n".join(told(signed(2), base=now))


def test_another_root_than_the_approved_one_is_refused():
    said = told(signed(under="b"))
    assert f"{SIGNED}:7: it stands under root b, and a was approved. " in "\n".join(said)


def test_the_certificate_of_another_cluster_is_refused():
    made = MADE.intermediate("east", 2, trust_domain="west.acme.example")
    assert "it is for CN=east-2,O=acme, and CN=west-2,O=acme was asked for" in "\n".join(told(signed(made=made)))


def test_a_certificate_that_lives_longer_than_people_want_is_refused():
    made = MADE.intermediate("west", 2, lifetime=400 * DAY)
    assert "it lives for 400 days, longer than `spec.trust.intermediates.lifetime`" in told(signed(made=made))[0]


def test_a_certificate_of_a_foreign_root_is_refused():
    stranger = Mesh(name="acme")
    made = stranger.intermediate("west", 2, under=stranger.root("b"))
    assert "no root of the bundle has issued it" in "\n".join(told(signed(made=made)))


def test_a_certificate_for_another_trust_domain_is_refused():
    made = MADE.intermediate("west", 2, trust_domain="east.acme.example")
    assert "its name constraint isn't permitted;URI:west.acme.example" in "\n".join(told(signed(made=made)))


def test_a_tampered_certificate_is_refused():
    der = bytearray(write_certificates([MADE.intermediate("west", 2).certificate]).encode())
    at = der.index(b"\n", 300) - 10
    der[at] = ord("A") if der[at] != ord("A") else ord("B")
    tampered = signed(made=None)
    tampered = replace(tampered, spec=replace(tampered.spec, certificate=der.decode()))
    assert told(tampered) != []


@pytest.mark.parametrize("path", ["README.md", "CODEOWNERS", "clusters/west/gateway/README.md"])
def test_nothing_else_changes_with_a_certificate(path: str):
    said = told(signed(), also={path: b"x: y\n"})
    assert (
        f"{path}: changes together with the certificate of west, which goes alone. Propose it on a branch of its own."
        in said
    )


def test_the_certificates_of_two_clusters_go_one_by_one():
    both = (*BEFORE, approved(request("east")))
    said = told(signed(), intermediate("east", 2), base=both)
    assert {paths.intermediate_path("east"), SIGNED} == {line.partition(":")[0] for line in said}


def test_with_crls_the_lists_of_all_clusters_change_with_a_certificate():
    """They are in every cluster's file."""
    files = with_rendering(files_of(tree(*BEFORE)), changes_of(signed()))
    assert {"clusters/west/ca/cacerts.yaml", SIGNED} == set(files)


@pytest.mark.parametrize(
    ("former", "passes"), [(("west", 1), True), (("west", 3), False), (("east", 1), False), (None, False)]
)
def test_the_lists_of_former_intermediates_are_those_that_main_had(former: tuple[str, int] | None, passes: bool):
    west = MADE.intermediate("west").crl(lasts=60 * DAY)  # signatures differ each time
    brought = "" if former is None else MADE.intermediate(*former).crl(lasts=60 * DAY)
    had = (root("a"), root("b"), steps(east=STEADY, west=STEADY), intermediate("east"))
    base = (*had, intermediate("west", crl=west), approved(request()))
    said = told(signed(former_crls=west if former == ("west", 1) else brought), base=base)
    assert passes == (not said)
    assert passes or "they aren't the CRLs of the intermediates before it" in said[0]


def test_an_intermediate_is_not_removed_while_its_cluster_is_managed():
    assert told(removes=[SIGNED])[0] == (
        f"{SIGNED}: an intermediate was removed, and its cluster signs with it. "
        f"`git checkout main -- {SIGNED}` brings it back"
    )


# --- the order of a rollover, as far as documents show it

BOTH, B = ClusterStep(bundle=("a", "b"), signer="b"), ClusterStep(bundle=("b",), signer="b")


def on_the_way(east: ClusterStep, west: ClusterStep, *signed_by: Intermediate) -> tuple[PkiDocument, ...]:
    return root("a"), root("b"), steps(east=east, west=west), *signed_by


def asked_under_b(name: str) -> PkiDocument:
    return approved(request(name, 2, reason="rollover"), "b")


def test_nobody_signs_under_a_root_that_somebody_does_not_trust():
    began = (intermediate("east"), intermediate("west"))
    early = (*on_the_way(STEADY, BOTH, *began), asked_under_b("west"))
    assert told(intermediate("west", 2, under="b", lever=1), base=early) == [
        (
            f"{SIGNED}:7: workloads of west and east would share no root: west signs under b, and east trusts a alone. "
            "Let the robot take the steps: everybody trusts a root before anybody signs under it."
        )
    ]
    in_time = (*on_the_way(BOTH, BOTH, *began), asked_under_b("west"))
    assert told(intermediate("west", 2, under="b", lever=1), base=in_time) == []


def test_nobody_distrusts_a_root_that_somebody_signs_under():
    base = on_the_way(BOTH, BOTH, intermediate("east"), intermediate("west", 2, under="b"))
    assert told(steps(east=BOTH, west=B), base=base) == [
        (
            "pki/trust.yaml:12: workloads of east and west would share no root: east signs under a, and west trusts b"
            " alone. Let the robot take the steps: everybody trusts a root before anybody signs under it."
        )
    ]
    after = on_the_way(BOTH, BOTH, intermediate("east", 2, under="b"), intermediate("west", 2, under="b"))
    assert told(steps(east=BOTH, west=B), base=after) == []


def test_a_cross_certificate_is_a_root_in_common():
    crossed = intermediate("west", 2, under="b", lever=1, chain=MADE.cross("b", by="a").pem)
    early = (*on_the_way(STEADY, BOTH, intermediate("east"), intermediate("west")), asked_under_b("west"))
    assert told(crossed, base=early) == []


@pytest.mark.parametrize(
    "trust",
    [
        MeshTrust(root="b", exclude=("east",)),
        MeshTrust(root="b", compromised=("a",), distrust_first=True),
    ],
)
def test_people_may_say_that_nothing_waits_for_a_cluster(trust: MeshTrust):
    before = files_of(
        tree(*on_the_way(BOTH, BOTH, intermediate("east"), intermediate("west", 2, under="b")), trust=trust)
    )
    after = FilesInMemory(apply(before.content, with_rendering(before, changes_of(steps(east=BOTH, west=B)))))
    assert check(after, before) == ()


def test_clusters_that_had_no_root_in_common_may_go_on():
    apart = on_the_way(STEADY, B, intermediate("east"), intermediate("west", 2, under="b"))
    assert told(steps(east=ClusterStep(bundle=("a", "b"), signer="b"), west=B), base=apart) == []


def test_a_root_goes_only_when_nothing_names_it():
    assert told(removes=["pki/roots/b.yaml"]) == []
    said = told(removes=["pki/roots/a.yaml"])
    assert "pki/trust.yaml:9: `spec.clusters.east.bundle[0]` is a, but there is no pki/roots/a.yaml. " in "\n".join(
        said
    )


def test_the_certificate_of_a_root_is_never_exchanged():
    stranger = Mesh(name="acme")
    exchanged = replace(root("b"), spec=replace(root("b").spec, certificate=stranger.root("c").pem))
    assert told(exchanged) == [
        (
            "pki/roots/b.yaml:6: the certificate of a root was exchanged: clusters trust the one that stood here. "
            "Give the new one a name of its own, and order the rollover to it."
        )
    ]


def test_the_record_of_a_root_is_held_against_its_key():
    forged = replace(root("b"), spec=replace(root("b").spec, record=Record(text="I made it.\n", signature="AAAA")))
    assert told(forged) == [
        "pki/roots/b.yaml:7: its key didn't sign its record. Take the root out, or bring the record of its ceremony."
    ]


def test_whoever_edits_what_is_rendered_of_trust_is_refused():
    said = told(also={"clusters/west/ca/cacerts.yaml": b"kind: ConfigMap\n"})
    assert said == [
        (
            "clusters/west/ca/cacerts.yaml: isn't what mesh/, facts/ and pki/ render to. "
            "`peermesh render --repo .` writes it; commit it with what it follows from"
        )
    ]


def test_a_cluster_that_leaves_takes_its_request_and_its_intermediate_along():
    before = files_of(tree(*BEFORE))
    west = replace(managed("west"), spec=replace(managed("west").spec, trust=None))
    east = steps(east=STEADY)
    changes = {paths.cluster_path("west"): write(west), **changes_of(east, removes=[ASKED, SIGNED])}
    after = FilesInMemory(apply(before.content, with_rendering(before, changes)))
    assert check(after, before) == ()
