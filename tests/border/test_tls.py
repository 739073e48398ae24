"""Redis behind TLS: all that travels does so encrypted, and what is wrong with a certificate is a person's to mend."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from syncer.protocol.broker import broker_url
from syncer.protocol.errors import HumanNeeded, PeermeshError, Transient
from syncer.protocol.secret import Secret
from syncer.publish import send
from tests.border.messages import KEYS, honest_args
from tests.border.processes import process, wait_until
from tests.cli.calls import process as called
from tests.servers.redis_tls import RedisTls, authority, redis_tls
from tests.servers.valkey import free_port
from workers.acl import BORDER, WORKER, acl_lines, syncer_user
from workers.inbox import RedisInbox

LINES = acl_lines({"west": Secret("w")}, border=Secret("b"), worker=Secret("i"))
WEST = (syncer_user("west"), "w")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisTls]:
    with redis_tls(tmp_path_factory.mktemp("redis"), acl=LINES) as running:
        yield running


def asked(url: str) -> PeermeshError | None:
    """What the centre says of an address."""
    try:
        inbox = RedisInbox(Secret(url))
        try:
            inbox.check()
        finally:
            inbox.close()
    except PeermeshError as error:
        return error
    return None


def sent(url: str) -> PeermeshError | None:
    """What a syncer says of an address."""
    try:
        send(Secret(url), honest_args(datetime.now(UTC)))
    except PeermeshError as error:
        return error
    return None


def test_the_whole_way_of_an_observation_is_encrypted_and_needs_no_right_more(server):
    inbox = RedisInbox(Secret(server.url_for(WORKER, "i")))
    inbox.set_border_keys(KEYS)
    with (
        server.client() as tests,
        process(
            "receive",
            PEERMESH_BORDER_BROKER_URL=server.url_for(BORDER, "b"),
            TEST_REDIS_URL=server.url_for("tests", "tests"),
        ) as border,
        process(
            "work", PEERMESH_BROKER_URL=server.url_for(WORKER, "i"), TEST_REDIS_URL=server.url_for("tests", "tests")
        ) as worker,
    ):
        wait_until(lambda: tests.get("test.sweeps"), what="the worker to start")
        assert None is sent(server.url_for(*WEST))
        wait_until(lambda: "flushed: pushed west" in worker.log, what="the flush")
        assert {"west"} == set(inbox.newest())
        assert tests.acl_log() == []
        assert "Traceback" not in border.log + worker.log
    inbox.close()


@pytest.mark.parametrize("look", [asked, sent])
def test_without_a_certificate_of_ours_it_is_a_matter_of_configuration(server, look):
    for _ in range(3):  # the refusal comes with the first command, by one of two ways
        error = look(server.url_for(*WEST, certificate=False))
        assert isinstance(error, HumanNeeded)
        assert "NoTLS" == error.reason
        assert "ssl_certfile" in error.remedy


@pytest.mark.parametrize("look", [asked, sent])
def test_a_server_of_another_ca_is_not_talked_to(server, look, tmp_path):
    error = look(server.url_for(*WEST, ca=authority(tmp_path, "other").ca))
    assert isinstance(error, HumanNeeded)
    assert "its certificate isn't accepted" in str(error)
    assert "w@" not in str(error)


@pytest.mark.parametrize("look", [asked, sent])
@pytest.mark.parametrize(
    ("certificate", "what"),
    [({"host": "elsewhere.example"}, "IP address mismatch"), ({"days": -1}, "certificate has expired")],
)
def test_a_certificate_that_is_not_its_own_or_over_is_told(tmp_path, look, certificate, what):
    with redis_tls(tmp_path, acl=LINES, clients="no", **certificate) as server:
        error = look(server.url_for(*WEST, certificate=False))
    assert isinstance(error, HumanNeeded)
    assert what in str(error)


@pytest.mark.parametrize("look", [asked, sent])
def test_files_that_cannot_be_read_are_told_by_name(tmp_path, look):
    (tmp_path / "no-pem").write_text("nothing")
    for path, what in ((tmp_path / "absent", "No such file"), (tmp_path / "no-pem", "no certificate")):
        error = look(f"rediss://u:canary@127.0.0.1:1/0?ssl_ca_certs={path}")
        assert isinstance(error, HumanNeeded)
        assert f"ssl_ca_certs={path}: {what}" in str(error)
        assert "canary" not in str(error)


def test_a_key_that_does_not_fit_its_certificate_is_told(tmp_path):
    trusted = authority(tmp_path, "ca")
    (certificate, _), (_, key) = trusted.issue("one"), trusted.issue("two")
    error = asked(f"rediss://127.0.0.1:1/0?ssl_certfile={certificate}&ssl_keyfile={key}")
    assert isinstance(error, HumanNeeded)
    assert "key values mismatch" in str(error)


@pytest.mark.parametrize("look", [asked, sent])
def test_nobody_there_is_a_matter_of_time(look):
    assert isinstance(look(f"rediss://127.0.0.1:{free_port()}/0"), Transient)


@pytest.mark.parametrize("look", [asked, sent])
def test_a_wrong_password_is_a_matter_of_configuration_with_tls_too(server, look):
    assert isinstance(look(server.url_for(WEST[0], "wrong")), HumanNeeded)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://h", "it doesn't start with redis://"),
        ("redis://u:canary@h/0?ssl_ca_certs=/ca", "ssl_ca_certs is for rediss://, and this would not be encrypted"),
        ("rediss://u:canary@h/0?ssl_ca_cert=/ca", "ssl_ca_cert is none of ssl_ca_certs, ssl_certfile"),
    ],
)
def test_an_address_that_does_not_mean_what_it_says_is_refused_without_quoting_it(url, what):
    with pytest.raises(ValueError, match=what) as refused:
        broker_url(url)
    assert "canary" not in str(refused.value)


def test_a_process_that_redis_never_lets_in_says_so_and_ends(server, tmp_path):
    other = authority(tmp_path, "other").ca
    for command, variable in (("receive", "PEERMESH_BORDER_BROKER_URL"), ("worker", "PEERMESH_BROKER_URL")):
        for url, what in (
            (server.url_for(BORDER, "b", ca=other), "TLS with Redis fails: its certificate isn't accepted"),
            (server.url_for(BORDER, "wrong"), "Redis doesn't let this user in"),
        ):
            said = called(
                command, **{variable: url, "PEERMESH_REPO": str(tmp_path), "PEERMESH_COPY": str(tmp_path / "c")}
            )
            assert 3 == said.code, said
            assert what in said.stderr
            assert "Traceback" not in said.stderr


def test_the_settings_that_are_written_are_those_of_a_real_server(server):
    with server.client() as client:
        told = {
            name: client.config_get(name)[name]
            for name in ("appendonly", "appendfsync", "maxmemory", "maxmemory-policy", "proto-max-bulk-len", "port")
        }
    assert {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory": str(256 << 20),
        "maxmemory-policy": "noeviction",
        "proto-max-bulk-len": str(4 << 20),
        "port": "0",
    } == told
