"""What a person is told of documents of trust: every fault with its file, its line and the remedy."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from syncer.protocol.certificates import fingerprint, key_fingerprint, write_certificates
from syncer.protocol.request import make_csr
from tests.core.trusting import MADE, approved, begun, intermediate, managed, request, root, steps, tree
from tests.meshes import files_of
from tests.pki.authority import Mesh, key_pem, private_key
from tests.signer.site import rsa_key, sealing_certificate
from workers.documents import paths
from workers.documents.kinds import Document
from workers.documents.strict import Name
from workers.documents.trust import (
    CertificateRequest,
    ClusterStep,
    Intermediate,
    MeshTrust,
    Order,
    Revoked,
    Root,
    SealingCertificate,
    SealingSpec,
    duration_of,
)
from workers.documents.writing import write
from workers.tree import FilesInMemory, Tree, read_tree

STRANGER = Mesh(name="acme")
A, B, WEST = "pki/roots/a.yaml", "pki/roots/b.yaml", "pki/intermediates/west.yaml"
REQUEST, SEALING = "pki/requests/west.yaml", "pki/sealing/west.yaml"
PINNED = sealing_certificate(rsa_key(2048))


def with_spec(document: Any, **spec: Any) -> Any:
    return replace(document, spec=replace(document.spec, **spec))


def sealing(pem: str | None = None) -> SealingCertificate:
    return SealingCertificate(
        metadata=Name(name="west"), spec=SealingSpec(certificate=pem or write_certificates([PINNED]))
    )


def read(*documents: Document, base: Tree | None = None) -> tuple[Tree | None, list[str]]:
    """The mesh of `tests.core.trusting` with these documents in it, and what is wrong with it."""
    content = files_of(base or tree(*begun(), approved(request())))
    content |= {paths.path_of(document): write(document) for document in documents}
    found, problems = read_tree(FilesInMemory(content))
    return found, [str(problem) for problem in problems]


def mesh_with(**trust: Any) -> Document:
    mesh = tree().mesh
    return replace(mesh, spec=replace(mesh.spec, trust=MeshTrust(**{"root": "a", **trust})))


def west_with(**trust: Any) -> Document:
    return managed("west", **trust)


def robbed(pem: str) -> str:
    return pem + key_pem(private_key("west-1"))


IN_ONE = [
    ("a key beside a root", with_spec(root(), certificate=robbed(root().spec.certificate)),
     f"{A}:6: `spec.certificate`: it holds a block of another kind than CERTIFICATE. "),
    ("text beside a root", with_spec(root(), certificate=root().spec.certificate + "by hand\n"),
     f"{A}:6: `spec.certificate`: there is text outside its PEM blocks, or PEM that is cut. "),
    ("no root at all", with_spec(root(), certificate="-----BEGIN CERTIFICATE-----\n"),
     f"{A}:6: `spec.certificate`: there is text outside its PEM blocks, or PEM that is cut. "),
    ("a root that another one signed", with_spec(root(), certificate=MADE.cross("a", by="b").pem),
     f"{A}:6: `spec.certificate`: its own key hasn't signed it "),
    ("a cross certificate of another root", with_spec(root(), cross_signed={"b": MADE.cross("b", by="a").pem}),
     f"{A}:8: `spec.crossSigned.b`: it doesn't certify this root's subject and key. "),
    ("a cross certificate by itself", with_spec(root(), cross_signed={"a": MADE.cross("a", by="b").pem}),
     f"{A}:8: `spec.crossSigned.a`: not the name of another root. "),
    ("issuers of another root", with_spec(root("b"), issuers=MADE.online(root="a").pem),
     f"{B}:7: `spec.issuers`: it holds a certificate that neither the root nor another issuer here has issued. "),
    ("a revocation list of another root", with_spec(root("b"), crl=MADE.root("a").crl()),
     f"{B}:7: `spec.crl`: it holds a revocation list that no CA of this document has signed. "),
    ("two revocation lists of a root", with_spec(root("b"), crl=MADE.root("b").crl() + MADE.root("b").crl(number=2)),
     f"{B}:7: `spec.crl`: it holds two revocation lists of one CA. Leave the newest."),
    ("an imported root that signs", with_spec(root("b"), imported=True, issuers=MADE.online("ob", root="b").pem),
     f"{B}:8: `spec.imported`: nothing is signed under an imported root, but it has what signs. "),
    ("no CSR", with_spec(approved(request()), csr=root().spec.certificate),
     f"{REQUEST}:10: `spec.csr`: it holds a block of another kind than CERTIFICATE REQUEST. "),
    ("a fingerprint of another key", with_spec(approved(request()), key_fingerprint=f"sha256:{'0' * 64}"),
     f"{REQUEST}:9: `spec.keyFingerprint`: it isn't that of the key in `csr`. "),
    ("a revocation list without a key", with_spec(approved(request()), csr="", crl=MADE.root("a").crl()),
     f"{REQUEST}:10: `spec.crl`: there is a revocation list without `csr`: nobody has the key that signs it. "),
    ("two intermediates", with_spec(intermediate("west"), certificate=MADE.intermediate().pem + MADE.root("a").pem),
     f"{WEST}:8: `spec.certificate`: it holds 2 certificates, and one belongs there. Leave the one."),
    ("a chain that leads elsewhere", with_spec(intermediate("west"), chain=MADE.root("b").pem),
     f"{WEST}:9: `spec.chain`: a certificate in it hasn't issued the one before it. Order it from below to above."),
    ("a revocation list of the root", with_spec(intermediate("west"), crl=MADE.root("a").crl()),
     f"{WEST}:9: `spec.crl`: it holds a revocation list that no CA of this document has signed. "),
    ("what isn't sealed", with_spec(intermediate("west"), sealed="~~~"), f"{WEST}:9: `spec.sealed`: it isn't base64. "),
    ("a key that isn't RSA to seal for", sealing(MADE.root("a").pem),
     f"{SEALING}:6: `spec.certificate`: its key isn't RSA, and Sealed Secrets seals for RSA keys alone. "),
    ("a bundle that isn't sorted", steps(east=ClusterStep(bundle=("b", "a"), signer="a")),
     "pki/trust.yaml:8: `spec.clusters.east.bundle`: it isn't sorted, each root once. "),
    ("a root that must go and stay", mesh_with(compromised=("a",)),
     "mesh/mesh.yaml:18: `spec.trust.compromised` has a, which is also the `root` that all shall trust. "),
    ("distrust without a reason", mesh_with(distrust_first=True),
     "mesh/mesh.yaml:18: `spec.trust.distrustFirst` breaks calls, and no root is compromised. "),
    ("a life of nothing", mesh_with(workload_lifetime="0m"),
     "mesh/mesh.yaml:18: `spec.trust.workloadLifetime` is 0m, which is no time to live. "),
    ("a life of less than a minute", mesh_with(workload_lifetime="59s"),
     "mesh/mesh.yaml:18: `spec.trust.workloadLifetime` is 59s, which is no time to live. "),
    ("a life of ages", mesh_with(workload_lifetime="900000d"),
     "mesh/mesh.yaml:18: `spec.trust.workloadLifetime` is 900000d, which is no time to live. "),
    ("a canary twice", mesh_with(canary=("east", "east")),
     'mesh/mesh.yaml:20: `spec.trust.canary[1]` is "east", which stands twice. Keep one of the two.'),
    ("a serial twice", mesh_with(revoked=(Revoked(issuer="a", serial="1f"),) * 2),
     "mesh/mesh.yaml:21: `spec.trust.revoked[1]` stands twice. Keep one of the two."),
    ("sealed for nobody", west_with(delivery="sealed-secrets"),
     "mesh/clusters/west.yaml:14: `spec.trust.sealing` is missing, and delivery sealed-secrets needs it. "),
    ("sealed though asked", west_with(sealing=fingerprint(PINNED)),
     "mesh/clusters/west.yaml:18: `spec.trust.sealing` is for delivery sealed-secrets alone. "),
]  # fmt: skip
BETWEEN = [
    ("a root that isn't there", mesh_with(root="z"),
     "mesh/mesh.yaml:17: `spec.trust.root` is z, but there is no pki/roots/z.yaml. Write one of those there: a, b."),
    ("a canary that isn't there", mesh_with(canary=("north",)),
     "mesh/mesh.yaml:19: `spec.trust.canary[0]` is about north, but there is no mesh/clusters/north.yaml. "),
    ("an exclusion of nobody", mesh_with(exclude=("north",)),
     "mesh/mesh.yaml:19: `spec.trust.exclude[0]` is about north, but there is no mesh/clusters/north.yaml. "),
    ("an order for nobody", mesh_with(rotate={"north": Order(rotation=2)}),
     "mesh/mesh.yaml:19: `spec.trust.rotate.north` is about north, but there is no mesh/clusters/north.yaml. "),
    ("an unknown root that must go", mesh_with(compromised=("z",)),
     "mesh/mesh.yaml:19: `spec.trust.compromised[0]` is z, but there is no pki/roots/z.yaml. "),
    ("a revocation by nobody", mesh_with(revoked=(Revoked(issuer="z", serial="1f"),)),
     "mesh/mesh.yaml:19: `spec.trust.revoked[0].issuer` is z, but there is no pki/roots/z.yaml. "),
    ("a request under no root", with_spec(approved(request()), root="z"),
     f"{REQUEST}:8: `spec.root` is z, but there is no pki/roots/z.yaml. "),
    ("a request of another cluster", with_spec(
        approved(request()),
        csr=make_csr(private_key("west-2"), mesh="acme", cluster="east", rotation=2),
        key_fingerprint=key_fingerprint(private_key("west-2").public_key())),
     f"{REQUEST}:10: its subject is CN=east-2,O=acme, and CN=west-2,O=acme belongs there. "),
    ("a request of a cluster that isn't managed", replace(
        managed("west"), spec=replace(managed("west").spec, trust=None)),
     f"{REQUEST}:1: a request of west, whose certificates peermesh doesn't manage. Remove it, or "),
    ("an intermediate under no root", with_spec(intermediate("west"), root="z"),
     f"{WEST}:7: `spec.root` is z, but there is no pki/roots/z.yaml. "),
    ("two roots with one subject", with_spec(root("b"), certificate=STRANGER.root("a").pem),
     f"{B}:6: its subject is also that of pki/roots/a.yaml. Give each root a subject of its own."),
    ("a cross certificate by nobody", with_spec(root("b"), cross_signed={"z": MADE.cross("b", by="a").pem}),
     f"{B}:8: `spec.crossSigned.z` is z, but there is no pki/roots/z.yaml. "),
    ("a cross certificate by another", with_spec(root("a"), cross_signed={"b": MADE.cross("a", by="c").pem}),
     f"{A}:8: pki/roots/b.yaml hasn't signed it. Make the cross certificate again, or take it out."),
    ("a step to no root", steps(west=ClusterStep(bundle=("a", "z"), signer="a")),
     "pki/trust.yaml:10: `spec.clusters.west.bundle[1]` is z, but there is no pki/roots/z.yaml. "),
    ("a step of nobody", steps(north=ClusterStep(bundle=("a",), signer="a")),
     "pki/trust.yaml:7: `spec.clusters.north` is about north, but there is no mesh/clusters/north.yaml. "),
    ("a pinned certificate that isn't there", west_with(delivery="sealed-secrets", sealing=fingerprint(PINNED)),
     f"{SEALING}: missing, but mesh/clusters/west.yaml pins it (spec.trust.sealing). "),
]  # fmt: skip


@pytest.mark.parametrize(("document", "says"), [case[1:] for case in IN_ONE], ids=[case[0] for case in IN_ONE])
def test_a_fault_inside_a_document_is_told_with_its_place_and_the_remedy(document: Document, says: str):
    _, told = read(document)
    assert any(line.startswith(says) for line in told), told


@pytest.mark.parametrize(("document", "says"), [case[1:] for case in BETWEEN], ids=[case[0] for case in BETWEEN])
def test_a_fault_between_documents_is_told_and_stops_no_exports(document: Document, says: str):
    found, told = read(document)
    assert any(line.startswith(says) for line in told), told
    assert found is not None


def test_the_mesh_that_these_faults_are_put_into_has_none():
    assert [] == read()[1]


def test_two_imported_roots_may_have_one_subject():
    """As istiods make them that made theirs as `cluster.local`."""
    first = with_spec(root("b"), imported=True)
    second = with_spec(root("c"), certificate=STRANGER.root("b").pem, imported=True)
    assert [] == read(first, second)[1]
    assert 1 == len(read(first, with_spec(second, imported=False))[1])


def test_no_message_quotes_a_key():
    _, told = read(with_spec(root(), certificate=robbed(root().spec.certificate)))
    secret = key_pem(private_key("west-1")).splitlines()[1]
    assert told
    assert not any(secret in line for line in told)


def test_what_is_sealed_for_is_what_people_pinned():
    other = sealing_certificate(rsa_key(3072))
    west = west_with(delivery="sealed-secrets", sealing=fingerprint(PINNED))
    assert [] == read(west, sealing())[1]
    [said] = read(west, sealing(write_certificates([other])))[1]
    assert said.startswith(f"{SEALING}:6: it is {fingerprint(other)}, and mesh/clusters/west.yaml pins sha256:")


def test_a_key_speaks_for_one_agent():
    west = managed("west")
    assert west.spec.trust is not None
    agent = replace(west.spec.trust.agent, public_keys=west.spec.syncer.public_keys)
    theirs = replace(west, spec=replace(west.spec, trust=replace(west.spec.trust, agent=agent)))
    found, told = read(theirs)
    assert told == [
        (
            "mesh/clusters/west.yaml:17: this key also stands in mesh/clusters/west.yaml. "
            "Each agent has a key of its own: copy the one that this cluster's agent logs at its start."
        )
    ]
    assert found is not None


def test_what_cannot_be_read_is_not_also_told_to_be_missing():
    content = files_of(tree()) | {A: b"kind: Root\n"}
    _, problems = read_tree(FilesInMemory(content))
    assert {A} == {problem.path for problem in problems}


@pytest.mark.parametrize(
    ("document", "field"), [(root(), "certificate"), (intermediate("west"), "root"), (approved(request()), "root")]
)
def test_line_breaks_stand_in_pem_alone(document: Root | Intermediate | CertificateRequest, field: str):
    """A name with a line break at its end is no name, whatever a regular expression takes it for."""
    told = read(with_spec(document, **{field: "a\n"}))[1]
    assert any("has a line break, a tab or another character that doesn't print" in line for line in told), told


def test_what_is_sealed_is_bytes_in_base64():
    assert [] == read(with_spec(intermediate("west"), sealed=base64.b64encode(b"x" * 32).decode()))[1]


@pytest.mark.parametrize(
    ("text", "seconds"), [("0m", 0), ("30s", 30), ("2m", 120), ("24h", 86_400), ("90d", 7_776_000)]
)
def test_a_time_is_so_many_of_its_unit(text: str, seconds: int):
    assert timedelta(seconds=seconds) == duration_of(text)
    assert [] == read(mesh_with(soak=text))[1]
