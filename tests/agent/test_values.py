"""What the agent reads and keeps, as values: the commit, the content of `cacerts`, its own state, its settings."""

from __future__ import annotations

import json
import pickle
import traceback
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.agent.asking import new_pending
from syncer.agent.committed import Committed, read_committed
from syncer.agent.content import Content, Standing, decoded, encoded, load_key, rotation_of
from syncer.agent.kept import Change, Kept, Pending, Refused, entries_of, read_kept
from syncer.agent.settings import SETTINGS, read_settings
from syncer.protocol.environment import Setting
from syncer.protocol.errors import HumanNeeded, PeermeshError, Rejected
from syncer.protocol.secret import Secret
from tests.agent.world import World
from tests.pki.authority import NOW, Mesh, key_pem
from workers.render.authority import AuthorityView
from workers.render.cacerts import render

CANARY = "canary-7f3a"
MESH = Mesh()
WEST = MESH.intermediate("west", 3)
BUNDLE = WEST.cacerts(MESH.root("a")).roots
VIEW = {
    "cluster": "west", "mesh": "acme", "trust_domain": "west.acme.example", "key_type": "P-384", "rotation": 3,
    "wanted": 4, "reason": "ordered", "root": "a", "renew_after": "2027-01-11T12:00:00Z", "certificate": WEST.pem,
    "chain": WEST.chain, "bundle": BUNDLE, "crls": "", "sealed": "",
}  # fmt: skip
COMMITTED = Committed(
    mesh="acme", cluster="west", trust_domain="west.acme.example", roots=BUNDLE, certificate=WEST.pem, chain=WEST.chain,
    rotation=3, wanted=4, reason="ordered", renew_after=datetime(2027, 1, 11, 12, tzinfo=UTC), key_type="P-384",
)  # fmt: skip
NONE_YET = {"rotation": 0, "wanted": 1, "reason": "first", "renew_after": "", "certificate": "", "chain": ""}


# --- the commit


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, COMMITTED),
        (
            NONE_YET,
            Committed(
                mesh="acme",
                cluster="west",
                trust_domain="west.acme.example",
                roots=BUNDLE,
                wanted=1,
                reason="first",
                key_type="P-384",
            ),
        ),
    ],
    ids=["whole", "none-yet"],
)
def test_what_is_rendered_is_what_is_read(changes: dict[str, object], expected: Committed):
    (rendered,) = render(AuthorityView(**{**VIEW, **changes}))  # type: ignore[arg-type]
    assert expected == read_committed(rendered["data"])


DATA: dict[str, str] = render(AuthorityView(**VIEW))[0]["data"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("mesh", "", "mesh: it isn't there"),
        ("root-cert.pem", "", "root-cert.pem: it isn't there"),
        ("cert-chain.pem", "", "ca-cert.pem: it goes with cert-chain.pem and a rotation"),
        ("ca-cert.pem", "", "ca-cert.pem: it goes with cert-chain.pem and a rotation"),
        ("rotation", "0", "ca-cert.pem: it goes with cert-chain.pem and a rotation"),
        ("rotation", "-3", "rotation: it isn't a number"),
        ("rotation", "³", "rotation: it isn't a number"),
        ("wanted", "9" * 10, "wanted: it isn't a number"),
        ("reason", "because", "reason: it isn't one of first"),
        ("keyType", "RSA-1024", "keyType: it isn't one of P-256, P-384"),
        ("renewAfter", "tomorrow", "renewAfter: it isn't a time"),
        ("renewAfter", "2027-01-11T12:00:00+01:00", "renewAfter: it isn't a time"),
    ],
)
def test_an_entry_that_cant_be_meant_is_refused_by_name(key: str, value: str, said: str):
    with pytest.raises(Rejected) as error:
        read_committed({**DATA, key: value})
    assert str(error.value).startswith(f"ConfigMap peermesh-cacerts: {said}")


@given(data=st.dictionaries(st.sampled_from(sorted(DATA)), st.text(max_size=20)))
def test_any_garbage_is_read_or_refused(data: dict[str, str]):
    with suppress(Rejected):
        read_committed({**DATA, **data})


def test_only_what_would_be_installed_makes_another_commit():
    assert COMMITTED.digest == read_committed({**DATA, "wanted": "9", "renewAfter": ""}).digest
    assert COMMITTED.digest != read_committed({**DATA, "root-cert.pem": BUNDLE + "\n"}).digest


# --- the content


OPAQUE = Content(
    {"ca-cert.pem": b"c", "ca-key.pem": b"k", "cert-chain.pem": b"cc", "root-cert.pem": b"r", "x": b"\xff"}
)
TLS = Content({"tls.crt": b"cc", "tls.key": b"k", "ca.crt": b"r", "ca-cert.pem": b"ignored", "x": b"\xff"})


def test_both_forms_are_read_alike():
    said = [[one.text(name) for name in ("cert-chain.pem", "root-cert.pem", "ca-crl.pem")] for one in (OPAQUE, TLS)]
    assert [["cc", "r", ""]] * 2 == said
    assert [b"k", b"k"] == [OPAQUE.key, TLS.key]
    assert ["c", "cc"] == [OPAQUE.text("ca-cert.pem"), TLS.text("ca-cert.pem")]


def test_a_change_keeps_the_form_and_all_that_it_isnt_about():
    put = {"roots": "R", "crl": "L", "certificate": "C", "chain": "CC", "key": b"K"}
    opaque, tls = OPAQUE.with_files(**put), TLS.with_files(**put)  # type: ignore[arg-type]
    assert {
        "ca-cert.pem": b"C", "ca-key.pem": b"K", "cert-chain.pem": b"CC", "root-cert.pem": b"R", "ca-crl.pem": b"L",
        "x": b"\xff",
    } == opaque.data  # fmt: skip
    assert {"tls.crt": b"CC", "tls.key": b"K", "ca.crt": b"R", "ca-cert.pem": b"ignored", "x": b"\xff"} == tls.data
    assert {**OPAQUE.data, "root-cert.pem": b"R"} == OPAQUE.with_files(roots="R", crl="").data


@given(st.dictionaries(st.text(), st.binary()))
def test_a_content_is_kept_to_the_byte(data: dict[str, bytes]):
    content = Content(data)
    again = decoded(encoded(content))
    assert (data, content.digest) == (again.data, again.digest)


@pytest.mark.parametrize("garbage", [b"", b"[]", b'{"a": 1}', b'{"a": "?"}', b"\xff"])
def test_what_was_not_kept_so_cant_be_read(garbage: bytes):
    with pytest.raises((ValueError, TypeError)):
        decoded(garbage)


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [("west", 3, 3), ("west", 12, 12), ("east", 3, 0), ("west-1", 3, 0)],
)
def test_a_rotation_is_that_of_this_cluster_alone(name: str, number: int, expected: int):
    certificate = MESH.intermediate(name, number, trust_domain="west.acme.example").certificate
    assert expected == rotation_of(certificate, mesh="acme", cluster="west")
    assert 0 == rotation_of(certificate, mesh="other", cluster="west")


def test_a_content_that_cant_be_read_has_no_signer_and_no_roots():
    standing = Standing(content=Content({"ca-cert.pem": b"\xff", "root-cert.pem": b"?"}), mesh="acme", cluster="west")
    assert (None, frozenset(), 0) == (standing.signer, standing.roots, standing.rotation)


# --- what is kept


def whole() -> Kept:
    return Kept(
        sequence=7,
        highest=2,
        pending=Pending(rotation=3, key=Secret(CANARY), csr="csr", crl="crl"),
        previous=Content({"ca-key.pem": CANARY.encode()}),
        change=Change(commit="c", target="t", since=NOW, blind=True, back="why"),
        refused=Refused(commit="c", why="why"),
    )


def test_what_is_kept_is_read_again():
    again = read_kept(entries_of(whole()))
    assert again.pending is not None
    assert again.previous is not None
    assert CANARY == again.pending.key.reveal()
    assert {"ca-key.pem": CANARY.encode()} == again.previous.data
    assert entries_of(whole()) == entries_of(again)
    assert entries_of(Kept()) == entries_of(read_kept(entries_of(Kept())))
    assert Kept() == read_kept({"key": b"of the signatures"})


@pytest.mark.parametrize("entry", ["state", "pending-key.pem", "previous"])
@pytest.mark.parametrize("value", [CANARY.encode() + b"\xff", b'{"format": 2}', None])
def test_a_state_that_cant_be_read_is_a_matter_for_people_and_isnt_quoted(entry: str, value: bytes | None):
    entries = {name: text for name, text in entries_of(whole()).items() if name != entry}
    if value is not None:
        entries[entry] = value
    if entry == "state" and value is None:
        assert Kept() == read_kept(entries)
        return
    if entry == "previous" and value is None:
        assert read_kept(entries).previous is None
        return
    if (entry, value) == ("pending-key.pem", b'{"format": 2}'):
        return  # any text may be a key; it fits no certificate then
    with pytest.raises(HumanNeeded) as error:
        read_kept(entries)
    assert "BadAgentState" == error.value.reason
    assert CANARY not in "".join(traceback.format_exception(error.value))


# --- keys are shown nowhere


def test_no_private_key_is_printed_or_pickled(caplog: pytest.LogCaptureFixture):
    kept, content = whole(), Content({"ca-key.pem": CANARY.encode()})
    standing = Standing(content=content, mesh="acme", cluster="west")
    for value in (kept, kept.pending, kept.previous, content, standing):
        assert CANARY not in f"{value} {value!r}"
        with pytest.raises(TypeError):
            pickle.dumps(value)
    assert CANARY not in caplog.text


def test_no_key_leaves_the_secrets_of_the_cluster(caplog: pytest.LogCaptureFixture):
    """Neither the messages nor the log nor the status nor an error has a line of a key, whatever is committed."""
    caplog.set_level(0)
    world = World(installed=1)
    agent = world.agent()
    world.commit(1, wanted="2")
    world.run(agent, 20)
    pending = world.kept.pending
    assert pending is not None
    own = pending.key.reveal()
    world.sign()
    for files in ({"cert-chain.pem": own}, {"ca-cert.pem": own}, {"root-cert.pem": own}, {"ca-crl.pem": own}, {}):
        world.commit(2, files)
        world.run(agent, 20)
    assert 2 == world.standing.rotation
    shown = caplog.text + json.dumps([one for path, one in world.api.objects.items() if path.endswith("status")])
    for key in (own, key_pem(world.mesh.intermediate("west", 1).key)):
        lines = [line for line in key.splitlines() if len(line) > 20 and "-----" not in line]
        assert lines
        for line in lines:
            assert line not in shown
            assert not [one for one in world.sent if line in f"{one.csr}{one.crl}{one.proof}"]


def test_a_pending_key_is_of_its_type():
    for key_type, bits in (("P-256", 256), ("P-384", 384)):
        made = new_pending(mesh="acme", cluster="west", rotation=1, key_type=key_type, now=NOW)
        key = load_key(made.key.reveal().encode())
        assert bits == key.curve.key_size


# --- settings

LEAST = {
    "PEERMESH_MESH": "acme", "PEERMESH_CLUSTER": "west", "PEERMESH_TRUST_DOMAIN": "west.acme.example",
    "PEERMESH_BROKER_URL": "redis://x:canary@y/0",
}  # fmt: skip


def test_the_least_that_must_be_said():
    read = read_settings(LEAST)
    assert (timedelta(seconds=120), timedelta(seconds=300)) == (read.terms.patience, read.terms.heartbeat)
    assert (15012, 10.0, False, None, "istio-system") == (
        read.istiod_port,
        read.look,
        read.adopt,
        read.listen,
        read.istio_namespace,
    )
    assert "canary" not in repr(read)
    assert {*LEAST} == {setting.name for setting in SETTINGS if setting.required}


@pytest.mark.parametrize("setting", [setting for setting in SETTINGS if setting.required], ids=lambda one: one.name)
def test_what_must_be_said_is_asked_for_by_name(setting: Setting):
    with pytest.raises(HumanNeeded) as error:
        read_settings({**LEAST, setting.name: " "})
    assert setting.name == error.value.subject


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PEERMESH_PATIENCE", "0"),
        ("PEERMESH_LOOK", "soon"),
        ("PEERMESH_ISTIOD_PORT", "70000"),
        ("PEERMESH_ADOPT_SELF_SIGNED", "perhaps"),
        ("PEERMESH_TRUST_DOMAIN", "west_acme"),
        ("PEERMESH_LISTEN", "8080"),
    ],
)
def test_what_cant_be_meant_is_refused_by_name(name: str, value: str):
    with pytest.raises(PeermeshError) as error:
        read_settings({**LEAST, name: value})
    assert name == error.value.subject
