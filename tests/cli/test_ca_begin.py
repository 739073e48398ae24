"""Where trust begins: a ceremony proposes the public side of a root, and the key gets nowhere else than it should."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from syncer.protocol.certificates import fingerprint, read_certificate, read_certificates
from syncer.protocol.revocation import read_crls
from tests.cli.calls import KEY, Said, call, done, mesh_with_clusters
from tests.cli.trusted import CLUSTERS, NOW, Place
from tests.signer.tokens import LIBRARY, new_token
from workers.ceremony import record_fault
from workers.documents import paths
from workers.documents.reading import read
from workers.documents.trust import Root
from workers.signers.key_file import read_key_file

PASSPHRASE = "a passphrase for tests"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Two clusters, of whose certificates nobody has spoken yet."""
    place = Place(tmp_path / "place")
    mesh_with_clusters(place.mesh, *CLUSTERS)
    place.git("init", "--quiet", "--bare", "--initial-branch=main", str(place.remote), at=".")
    place.commit()
    (tmp_path / "keys").mkdir(mode=0o700)
    for name in ("pass", "online.pass"):
        secret = tmp_path / "keys" / name
        secret.touch(mode=0o600)
        secret.write_text(f"{PASSPHRASE}\n")
    return place


def keys(place: Place) -> Path:
    return place.folder.parent / "keys"


def init_root(place: Place, name: str, *more: object) -> Said:
    folder = keys(place)
    files = ("--key-file", folder / f"{name}.key", "--passphrase-file", folder / "pass")
    return call(
        "ca", "init-root", name, *files, "--issuers-file", folder / f"{name}.pem", *more, "--repo", place.remote
    )


def proposed(place: Place, name: str, branch: str | None = None) -> Root:
    path = paths.root_path(name)
    document = read(path, f"{place.file(branch or f'trust/root-{name}', path)}\n".encode())
    assert isinstance(document, Root)
    return document


def merge(place: Place, branch: str) -> None:
    place.git("pull", "--quiet", "--no-edit", str(place.remote), branch, at="mesh")
    place.git("push", "--quiet", str(place.remote), "HEAD:main", f":{branch}", at="mesh")


def test_the_first_root_becomes_the_one_that_is_wanted(place):
    said = init_root(place, "root-a")
    assert (0, "") == (said.code, said.stderr)
    assert "+  trust: {root: root-a}" in place.git("diff", "main", "trust/root-root-a", "--", paths.MESH)
    document = proposed(place, "root-a")
    certificate = read_certificate(document.spec.certificate, subject="root")
    key = read_key_file(keys(place) / "root-a.key", keys(place) / "pass")
    assert certificate.public_key() == key.public_key()
    assert (certificate,) == read_certificates((keys(place) / "root-a.pem").read_text(), subject="issuers")
    assert "" == record_fault(document)
    assert document.spec.record is not None
    assert "by: Ann Example <ann@shop.example>" in document.spec.record.text
    assert f"PEERMESH_SIGNER_KEY_FILE={keys(place) / 'root-a.key'}" in said.stdout
    merge(place, "trust/root-root-a")
    assert "Nothing wrong" in done("check", "--repo", place.mesh)


def test_the_key_is_in_its_file_alone_and_that_is_encrypted(place):
    said = init_root(place, "root-a")
    key = read_key_file(keys(place) / "root-a.key", keys(place) / "pass")
    number = key.private_numbers().private_value.to_bytes(48, "big")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode().splitlines()[1]
    assert 0o600 == (keys(place) / "root-a.key").stat().st_mode & 0o777
    everything = [path.read_bytes() for path in place.folder.parent.rglob("*") if path.is_file()]
    listing = ["git", "-C", str(place.remote), "cat-file", "--batch-all-objects", "--batch"]
    objects = subprocess.run(listing, check=True, capture_output=True).stdout
    assert b"BEGIN CERTIFICATE" in objects
    for content in (*everything, objects, said.stdout.encode()):
        assert number not in content
        assert pem.encode() not in content


def test_a_second_root_and_the_present_one_vouch_for_each_other_if_both_keys_are_at_hand(place):
    init_root(place, "root-a")
    merge(place, "trust/root-root-a")
    present = ("--present-key-file", keys(place) / "root-a.key", "--present-passphrase-file", keys(place) / "pass")
    said = init_root(place, "root-b", *present)
    assert (0, "") == (said.code, said.stderr)
    assert ["root-a"] == list(proposed(place, "root-b").spec.cross_signed)
    assert ["root-b"] == list(proposed(place, "root-a", "trust/root-root-b").spec.cross_signed)
    assert "peermesh ca rollover start root-b" in said.stdout
    assert paths.MESH not in place.git("diff", "--name-only", "main", "trust/root-root-b")


def test_an_offline_root_has_an_intermediate_that_signs(place):
    online = ("--online-key-file", keys(place) / "online.key", "--online-passphrase-file", keys(place) / "online.pass")
    said = init_root(place, "root-a", *online)
    assert (0, "") == (said.code, said.stderr)
    document = proposed(place, "root-a")
    [issuer] = read_certificates(document.spec.issuers, subject="issuers")
    key = read_key_file(keys(place) / "online.key", keys(place) / "online.pass")
    assert issuer.public_key() == key.public_key()
    assert (issuer,) == read_certificates((keys(place) / "root-a.pem").read_text(), subject="issuers")
    assert f"PEERMESH_SIGNER_KEY_FILE={keys(place) / 'online.key'}" in said.stdout


REFUSED = {
    "a file that is there": (["--key-file", "pass"], "it is there already"),
    "a file in a repository": (["--key-file", "../place/mesh/root.key"], "it would lie in the work tree"),
    "no key": ([], "Name --key-file with --passphrase-file"),
    "no passphrase": (["--key-file", "new"], "Name --passphrase-file, too"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_wrong_with_where_keys_go_is_said_before_any_is_made(place, what):
    options, says = REFUSED[what]
    folder = keys(place)
    files = [folder / value if not value.startswith("--") else value for value in options]
    word = ["--passphrase-file", folder / "pass"] if files and what != "no passphrase" else []
    before = sorted(folder.iterdir())
    issuers = ("--issuers-file", folder / "issuers")
    said = call("ca", "init-root", "root-a", *files, *word, *issuers, "--repo", place.remote)
    assert (1, True) == (said.code, says in said.stderr), said
    assert before == sorted(folder.iterdir())
    assert "" == place.git("for-each-ref", "refs/heads/trust/")


@pytest.mark.parametrize("option", ["--lifetime", "--online-lifetime"])
def test_what_is_no_time_is_no_life_of_a_root(place, option):
    said = init_root(place, "root-a", option, "soon")
    assert (1, True) == (said.code, "'soon' isn't a time like 90d or 3653d" in said.stderr), said
    assert not (keys(place) / "root-a.key").exists()


@pytest.mark.skipif(not LIBRARY.exists(), reason="SoftHSM isn't installed")
def test_a_key_in_a_token_signs_the_root_and_its_lists(place, tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTHSM2_CONF", "")
    (tmp_path / "hsm").mkdir()
    token = new_token(tmp_path / "hsm")
    where = ("--module", LIBRARY, "--token", token.label, "--key-label", "root-a", "--pin-file", token.pin)
    issuers = ("--issuers-file", keys(place) / "root-a.pem")
    said = call("ca", "init-root", "root-a", *where, *issuers, "--repo", place.remote)
    assert (0, "") == (said.code, said.stderr)
    assert f"PEERMESH_SIGNER=pkcs11 PEERMESH_SIGNER_ISSUERS_FILE={keys(place) / 'root-a.pem'}" in said.stdout
    assert "" == record_fault(proposed(place, "root-a"))
    merge(place, "trust/root-root-a")
    done("ca", "sign-crl", "root-a", *where, "--repo", place.remote)
    assert read_crls(proposed(place, "root-a", "trust/crl-root-a").spec.crl, subject="crl")


def test_the_list_of_a_root_names_what_people_ordered(place):
    init_root(place, "root-a")
    merge(place, "trust/root-root-a")
    done("ca", "revoke", "root-a", "3F:98", "--reason", "superseded", "--repo", place.remote)
    merge(place, "trust/revoke-3f98")
    key = ("--key-file", keys(place) / "root-a.key", "--passphrase-file", keys(place) / "pass")
    said = done("ca", "sign-crl", "root-a", *key, "--repo", place.remote)
    assert "The CRL of root-a names 3f98." in said
    document = proposed(place, "root-a", "trust/crl-root-a")
    [crl] = read_crls(document.spec.crl, subject="crl")
    assert [0x3F98] == [entry.serial_number for entry in crl]
    certificate = read_certificate(document.spec.certificate, subject="root")
    assert crl.is_signature_valid(certificate.public_key())  # type: ignore[arg-type]
    assert certificate.not_valid_after_utc - timedelta(seconds=1) <= crl.next_update_utc  # type: ignore[operator]


def test_a_cluster_whose_key_is_sealed_is_pinned_to_the_certificate_that_people_saw(place):
    init_root(place, "root-a")
    merge(place, "trust/root-root-a")
    file = keys(place) / "sealing.pem"
    certificate = sealing_certificate()
    file.write_bytes(certificate.public_bytes(Encoding.PEM))
    said = done("ca", "manage", "west", "--sealing-certificate", file, "--repo", place.remote)
    pinned = fingerprint(certificate)
    assert pinned in said
    text = place.file("trust/manage-west", paths.cluster_path("west"))
    assert f"trust: {{delivery: sealed-secrets, sealing: {pinned}}}" in text
    assert "BEGIN CERTIFICATE" in place.file("trust/manage-west", paths.sealing_path("west"))


def test_where_an_intermediate_signs_for_clusters_its_list_names_them_and_the_roots_stays(place):
    online = ("--online-key-file", keys(place) / "online.key", "--online-passphrase-file", keys(place) / "online.pass")
    init_root(place, "root-a", *online)
    merge(place, "trust/root-root-a")
    done("ca", "revoke", "root-a", "3f98", "--repo", place.remote)
    merge(place, "trust/revoke-3f98")
    key = ("--key-file", keys(place) / "online.key", "--passphrase-file", keys(place) / "online.pass")
    done("ca", "sign-crl", "root-a", *key, "--repo", place.remote)
    crls = read_crls(proposed(place, "root-a", "trust/crl-root-a").spec.crl, subject="crl")
    found = {crl.issuer.rfc4514_string(): [entry.serial_number for entry in crl] for crl in crls}
    assert {"CN=root-a,O=shop": [], "CN=root-a-online-1,O=shop": [0x3F98]} == found


def sealing_certificate() -> x509.Certificate:
    """As the controller makes it: RSA, signed by itself, without a name."""
    key = rsa.generate_private_key(65537, 2048)
    builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(x509.Name([]))
    builder = builder.public_key(key.public_key()).serial_number(1)
    return builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=3650)).sign(key, hashes.SHA256())


def test_what_is_managed_without_an_agent_yet_says_what_comes_next(place):
    init_root(place, "root-a")
    merge(place, "trust/root-root-a")
    said = done("ca", "manage", "west", "--repo", place.remote)
    assert "peermesh ca manage west --agent-key KEY" in said
    assert "  trust: {}" in place.file("trust/manage-west", paths.cluster_path("west"))
    assert "kind: Deployment" in place.file("trust/manage-west", "delivery/clusters/west/ca-agent/agent.yaml")
    merge(place, "trust/manage-west")
    settings = place.mesh / "delivery/clusters/west/ca-agent/settings.yaml"
    assert "west.shop.example" in settings.read_text()
    settings.write_text("# of ours\n")
    place.commit()
    done("ca", "manage", "west", "--agent-key", KEY, "--repo", place.remote)
    changed = place.git("diff", "--name-only", "main", "trust/manage-west").splitlines()
    assert paths.cluster_path("west") in changed
    assert [] == [path for path in changed if path.startswith("delivery/")]
