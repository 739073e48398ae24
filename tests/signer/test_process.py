"""The process signs what is pushed to main, hands it in with no more rights than needed, and writes nothing to Git."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncer.protocol.certificates import key_fingerprint, read_certificate, write_certificates
from syncer.protocol.secret import Secret
from tests.border.processes import wait_until
from tests.signer.running import Bare, Broker, broker, signer
from tests.signer.site import Site, key_of, made, request
from workers.documents import paths
from workers.documents.reading import read
from workers.documents.trust import Intermediate
from workers.signers.key_file import write_key_file

WORD = "correct horse battery staple"


@pytest.fixture
def kept(tmp_path_factory) -> Iterator[Broker]:
    with broker(tmp_path_factory.mktemp("r")) as running:
        yield running


@pytest.fixture
def bare(tmp_path) -> Bare:
    return Bare(Site(tmp_path / "site"), tmp_path)


@pytest.fixture
def told(tmp_path, bare, kept) -> dict[str, str]:
    """All that it is told."""
    return settings(tmp_path, bare, kept)


def settings(folder: Path, bare: Bare, kept: Broker) -> dict[str, str]:
    write_key_file(key_of("root-a"), folder / "key.pem", Secret(WORD))
    (folder / "passphrase").write_text(WORD)
    (folder / "passphrase").chmod(0o600)
    (folder / "issuers.pem").write_text(write_certificates(made("a").issuers))
    return {
        "PEERMESH_REPO": str(bare.path),
        "PEERMESH_COPY": str(folder / "copy"),
        "PEERMESH_BROKER_URL": kept.url,
        "PEERMESH_SIGNER_ISSUERS_FILE": str(folder / "issuers.pem"),
        "PEERMESH_SIGNER_KEY_FILE": str(folder / "key.pem"),
        "PEERMESH_SIGNER_PASSPHRASE_FILE": str(folder / "passphrase"),
        "PEERMESH_SIGNER_JOURNAL": str(folder / "journal"),
    }


def handed_in(kept: Broker) -> Intermediate:
    wait_until(kept.certificate, what="a certificate")
    document = read(paths.intermediate_path("west"), kept.certificate() or b"")
    assert isinstance(document, Intermediate)
    return document


def test_what_is_pushed_to_main_is_signed_and_nothing_in_git_is_changed(tmp_path, bare, kept, told):
    with signer(tmp_path, told) as running:
        wait_until(lambda: running.page("/readyz") == "ok\n", what="readiness")
        bare.site.put(request())
        bare.push()
        refs = bare.refs()
        document = handed_in(kept)
        certificate = read_certificate(document.spec.certificate, subject="west")
        assert request().spec.key_fingerprint == key_fingerprint(certificate.public_key())
        wait_until(lambda: running.says("signed for west"), what="the log")
        assert 'peermesh_signed_total{cluster="west"} 1.0' in running.page("/metrics")
        assert "ok\n" == running.page("/healthz")
        assert refs == bare.refs()
        assert 0 == running.end()


def test_started_again_it_hands_in_the_same_also_after_redis_was_lost(tmp_path, bare, kept, told):
    bare.site.put(request())
    bare.push()
    with signer(tmp_path, told) as running:
        first = handed_in(kept)
        assert 0 == running.end()
    with kept.client() as client:
        client.flushall()
    with signer(tmp_path, told) as running:
        assert first == handed_in(kept)
        assert 'peermesh_signed_total{cluster="west"}' not in running.page("/metrics")


def test_what_it_refuses_is_told_once_and_counted(tmp_path, bare, kept, told):
    bare.site.put(request("north"))
    bare.push()
    with signer(tmp_path, told) as running:
        wait_until(lambda: running.says("nothing is signed for north, Unmanaged"), what="the log")
        assert 'peermesh_unsigned_requests{cluster="north",reason="Unmanaged"} 1.0' in running.page("/metrics")
        assert "ok\n" == running.page("/readyz")
    assert None is kept.certificate("north")


def test_a_repository_that_is_away_is_waited_for(tmp_path, bare, kept, told):
    elsewhere = bare.path.rename(tmp_path / "away.git")
    with signer(tmp_path, told) as running:
        wait_until(lambda: running.says("nothing can be signed"), what="the log")
        assert running.page("/readyz").startswith("503")
        elsewhere.rename(bare.path)
        bare.site.put(request())
        bare.push()
        assert 1 == handed_in(kept).spec.rotation
        wait_until(lambda: running.page("/readyz") == "ok\n", what="readiness")


def test_two_signers_never_share_a_journal(tmp_path, told):
    with signer(tmp_path, told) as first:
        wait_until(lambda: first.page("/healthz") == "ok\n", what="health")
        second = {**told, "PEERMESH_COPY": str(tmp_path / "another")}
        (tmp_path / "second").mkdir()
        with signer(tmp_path / "second", second) as other:
            assert 3 == other.wait()
            assert other.says("PEERMESH_SIGNER_JOURNAL")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PEERMESH_REPO", "", "PEERMESH_REPO: it isn't set"),
        ("PEERMESH_SIGNER_JOURNAL", "", "PEERMESH_SIGNER_JOURNAL: it isn't set"),
        ("PEERMESH_SIGNER", "vault", "PEERMESH_SIGNER: 'vault' is none of key-file, pkcs11"),
        ("PEERMESH_SIGNER_KEY_FILE", "/nowhere", "/nowhere: it can't be read"),
        ("PEERMESH_SIGNER", "pkcs11", "PEERMESH_SIGNER_MODULE: it isn't set"),
    ],
)
def test_what_it_cannot_work_with_is_said_at_the_start(tmp_path, told, name, value, expected):
    with signer(tmp_path, {**told, name: value}) as running:
        assert 3 == running.wait()
        assert running.says(expected)


def test_its_redis_user_may_hand_in_and_do_nothing_else(kept):
    import redis

    address = kept.url.replace("redis+socket:", "unix:").replace("?virtual_host=", "?db=")
    with redis.Redis.from_url(address) as client:
        for command in (("GET", "x"), ("KEYS", "*"), ("HGETALL", "peermesh:inbox.certificates"), ("FLUSHALL",),
                        ("HSET", "peermesh:inbox.newest", "west", "x"), ("LPUSH", "peermesh:work", "x"),
                        ("CONFIG", "GET", "*"), ("HGET", "peermesh:inbox.keys", "x")):  # fmt: skip
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command)


def test_the_journal_holds_nothing_but_what_was_handed_in(tmp_path, bare, kept, told):
    bare.site.put(request())
    bare.push()
    with signer(tmp_path, told):
        handed_in(kept)
    [entry] = (tmp_path / "journal").iterdir()
    found = json.loads(entry.read_text())
    assert {"cluster", "rotation", "root", "key_fingerprint", "document"} == found.keys()
    assert ("west.1.json", "west", 1, "a") == (entry.name, found["cluster"], found["rotation"], found["root"])
