"""The contract of `workers.outside.Inbox`, over Redis and over its double."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import redis

from syncer.protocol.errors import HumanNeeded, Transient
from syncer.protocol.message import KEY_PREFIX, queue
from syncer.protocol.names import HostName
from syncer.protocol.secret import Secret
from tests.servers.valkey import Valkey, valkey
from tests.simulator.inbox import MemoryInbox
from workers.inbox import CONTENTS, KEYS, NEWEST, RedisInbox, _redis_errors, _redis_url
from workers.outside import BorderKeys, Inbox, Kept, Lost, Refusal, request_of

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Subject:
    inbox: Inbox
    wipe: Callable[[], None]


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with valkey() as running:
        yield running


@pytest.fixture
def redis_inbox(server: Valkey) -> Iterator[RedisInbox]:
    server.wipe()
    inbox = RedisInbox(Secret(server.url))
    yield inbox
    inbox.close()


@pytest.fixture(params=["memory", "redis"])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "memory":
        memory = MemoryInbox()
        return Subject(inbox=memory, wipe=memory.wipe)
    server = request.getfixturevalue("server")
    return Subject(inbox=request.getfixturevalue("redis_inbox"), wipe=server.wipe)


@pytest.fixture
def inbox(subject: Subject) -> Inbox:
    return subject.inbox


def kept(sequence: int, body: bytes = b"\x1f\x8b\x00\xff") -> Kept:
    return Kept(sequence=sequence, packed=body, signature=b"\x00" * 64)


def test_an_empty_inbox_knows_nothing(inbox):
    assert {} == inbox.newest()
    assert {} == inbox.marked()
    assert {} == inbox.refusals()
    assert {} == inbox.said()
    assert inbox.border_keys() is None
    assert inbox.seen() is None
    assert inbox.look_again() is None


def test_what_is_kept_comes_back_byte_for_byte(inbox):
    assert inbox.keep("west", kept(1_764_000_000_000_000), content="a")
    assert {"west": kept(1_764_000_000_000_000)} == inbox.newest()
    assert ["west"] == list(inbox.marked())


@pytest.mark.parametrize("sequence", [1, 5])
def test_what_is_not_newer_is_not_kept(inbox, sequence):
    inbox.keep("west", kept(5), content="a")
    inbox.clear(inbox.marked())
    assert not inbox.keep("west", kept(sequence, b"other"), content="b")
    assert {"west": kept(5)} == inbox.newest()
    assert {} == inbox.marked()


def test_sequences_of_microseconds_differ_in_their_last_digit(inbox):
    assert inbox.keep("west", kept(1_764_000_000_000_000), content="a")
    assert inbox.keep("west", kept(1_764_000_000_000_001), content="a")
    assert not inbox.keep("west", kept(1_764_000_000_000_000), content="a")


def test_one_that_says_the_same_is_kept_and_marks_nothing(inbox):
    inbox.keep("west", kept(1), content="a")
    inbox.clear(inbox.marked())
    assert inbox.keep("west", kept(2), content="a")
    assert {"west": kept(2)} == inbox.newest()
    assert {} == inbox.marked()


def test_requests_are_kept_beside_observations_by_their_own_numbers(inbox):
    inbox.keep("west", kept(7), content="a")
    inbox.clear(inbox.marked())
    assert inbox.keep_request("west", kept(3, b"request"), content="b")
    assert ["west"] == list(inbox.marked())
    assert not inbox.keep_request("west", kept(3, b"another"), content="c")
    inbox.clear(inbox.marked())
    assert inbox.keep_request("west", kept(4, b"again"), content="b")
    assert ({"west": kept(7)}, {"west": kept(4, b"again")}, {}) == (inbox.newest(), inbox.requests(), inbox.marked())


def test_a_good_observation_says_nothing_of_a_refused_request(inbox):
    inbox.refuse(request_of("west"), "TooOften", "a request too soon", NOW)
    inbox.keep("west", kept(1), content="a")
    assert [request_of("west")] == list(inbox.refusals())
    inbox.keep_request("west", kept(1), content="a")
    assert {} == inbox.refusals()


def test_what_was_signed_comes_back_and_marks_its_cluster(inbox):
    assert {} == inbox.certificates()
    inbox.keep_certificate("west", b"signed: \x00\xff")
    assert ({"west": b"signed: \x00\xff"}, ["west"]) == (inbox.certificates(), list(inbox.marked()))


def test_clusters_do_not_touch_each_other(inbox):
    inbox.keep("west", kept(9), content="a")
    assert inbox.keep("east", kept(1), content="a")
    assert ["east", "west"] == list(inbox.newest())
    assert ["east", "west"] == list(inbox.marked())


def test_a_mark_that_was_touched_meanwhile_is_not_cleared(inbox):
    inbox.keep("west", kept(1), content="a")
    inbox.mark("main")
    seen = inbox.marked()
    inbox.keep("west", kept(2), content="b")
    inbox.clear(seen)
    assert ["west"] == list(inbox.marked())


def test_a_mark_grows_each_time(inbox):
    numbers = []
    for _ in range(20):
        inbox.mark("main")
        numbers.append(inbox.marked()["main"])
    assert sorted(set(numbers)) == numbers


def test_a_mark_from_before_a_wipe_clears_no_newer_one(subject):
    subject.inbox.keep("west", kept(1), content="a")
    seen = subject.inbox.marked()
    subject.wipe()
    subject.inbox.keep("west", kept(2), content="a")
    subject.inbox.clear(seen)
    assert ["west"] == list(subject.inbox.marked())


def test_a_mark_that_was_cleared_and_made_again_is_a_new_one(inbox):
    inbox.mark("main")
    seen = inbox.marked()
    inbox.clear(seen)
    inbox.mark("main")
    inbox.clear(seen)
    assert ["main"] == list(inbox.marked())


def test_since_holds_while_a_name_is_named_without_a_gap(inbox):
    later, much_later = NOW + timedelta(minutes=1), NOW + timedelta(minutes=2)
    assert {"a": NOW, "b": NOW} == inbox.since(["a", "b"], NOW)
    assert {"b": NOW, "c": later} == inbox.since(["b", "c"], later)
    assert {"b": NOW, "c": later} == inbox.lasting()
    assert {"a": much_later, "b": NOW} == inbox.since(["b", "a", "b"], much_later)
    assert {} == inbox.since([], much_later)
    assert {} == inbox.lasting()
    assert {"b": much_later} == inbox.since(["b"], much_later)


def test_border_keys_come_back_as_they_were_set(inbox):
    inbox.set_border_keys(BorderKeys(mesh="acme", keys={"west": ("ed25519:a", "ed25519:b"), "east": ()}))
    assert BorderKeys(mesh="acme", keys={"west": ("ed25519:a", "ed25519:b"), "east": ()}) == inbox.border_keys()


def test_what_was_seen_comes_back(inbox):
    inbox.set_seen("c0ffee")
    inbox.set_seen("decade")
    assert "decade" == inbox.seen()


def test_when_to_look_again_comes_back_and_can_be_taken_back(inbox):
    inbox.set_look_again(NOW)
    assert NOW == inbox.look_again()
    inbox.set_look_again(None)
    assert inbox.look_again() is None


def test_the_budget_of_pushes_and_what_was_lost_come_back(inbox):
    assert (None, ()) == (inbox.budget(), inbox.lost())
    inbox.set_budget(NOW)
    kept = (
        Lost(cluster="west", at=NOW, hosts=(HostName("a"), HostName("b"))),
        Lost(cluster="east", at=NOW, hosts=(HostName("c"),)),
    )
    inbox.set_lost(kept)
    assert (NOW, kept) == (inbox.budget(), inbox.lost())


def test_what_is_said_replaces_what_was_said(inbox):
    inbox.say({"west": "silent", "main": "protected"})
    inbox.say({"west": "schweigt → 15 min"})
    assert {"west": "schweigt → 15 min"} == inbox.said()


def test_refusals_are_counted_until_a_good_one_comes(inbox):
    later = NOW + timedelta(minutes=5)
    inbox.refuse("west", "ClockBehind", "20 minutes old", NOW)
    inbox.refuse("west", "BadSignature", "no key", later)
    inbox.refuse("east", "NoKey", "no key", later)
    west = Refusal(reason="BadSignature", what="no key", since=NOW, last=later, count=2)
    east = Refusal(reason="NoKey", what="no key", since=later, last=later, count=1)
    assert {"east": east, "west": west} == inbox.refusals()
    inbox.keep("west", kept(1), content="a")
    assert {"east": east} == inbox.refusals()


def test_the_lock_is_held_by_one(inbox):
    with inbox.lock() as first:
        assert first
        with inbox.lock() as second:
            assert not second
        with inbox.lock() as third:
            assert not third
    with inbox.lock() as again:
        assert again


def test_the_lock_is_given_back_after_an_error(inbox):
    with pytest.raises(KeyError), inbox.lock():
        raise KeyError
    with inbox.lock() as ours:
        assert ours


def test_a_wipe_under_the_lock_hurts_nobody(subject):
    with subject.inbox.lock() as first:
        subject.wipe()
        with subject.inbox.lock() as second:
            assert first
            assert second
    with subject.inbox.lock() as third:
        assert third


STEPS: tuple[Callable[[Inbox], object], ...] = (
    lambda inbox: inbox.set_border_keys(BorderKeys(mesh="acme", keys={})),
    lambda inbox: inbox.refuse("west", "NoKey", "no key", NOW),
    lambda inbox: inbox.keep("west", kept(1), content="a"),
    lambda inbox: inbox.clear(inbox.marked()),
    lambda inbox: inbox.keep("west", kept(2), content="a"),
    lambda inbox: inbox.since(["west"], NOW),
    lambda inbox: inbox.say({"west": "silent"}),
    lambda inbox: inbox.set_seen("c0ffee"),
    lambda inbox: inbox.set_look_again(NOW),
)


@pytest.mark.parametrize("wiped_before", range(len(STEPS) + 1))
def test_a_wipe_at_any_moment_is_made_up_by_the_next_heartbeat(subject, wiped_before):
    for number, step in enumerate(STEPS):
        if number == wiped_before:
            subject.wipe()
        step(subject.inbox)
    if wiped_before == len(STEPS):
        subject.wipe()
    subject.inbox.keep("west", kept(3), content="a")
    assert {"west": kept(3)} == subject.inbox.newest()
    # From the wipe on the content is news again, unless it was cleared after it.
    assert (wiped_before >= 3) == ("west" in subject.inbox.marked())


# --- what only the real one has


def test_all_its_keys_stand_below_the_prefix(server, redis_inbox):
    for step in STEPS:
        step(redis_inbox)
    redis_inbox.mark("main")
    redis_inbox.ask()
    with redis_inbox.lock(), server.client() as client:
        keys = [key.decode() for key in client.keys("*")]
    assert [] == [key for key in keys if not key.startswith("peermesh:inbox.")]


def test_it_works_on_after_the_server_was_restarted(redis_inbox, server):
    redis_inbox.keep("west", kept(1), content="a")
    server.restart()
    assert redis_inbox.keep("west", kept(1), content="a")


def test_a_server_that_is_away_is_transient():
    with valkey() as other:
        url = Secret(other.url)
    inbox = RedisInbox(url)
    with pytest.raises(Transient, match="Redis doesn't answer"):
        inbox.newest()
    with pytest.raises(Transient), inbox.lock():
        pass
    inbox.close()


OF_A_CLUSTER_OF_REDISES = {"ChildDeadlockedError", "IncorrectPolicyType", "RedisClusterException"}
FOREIGN = [
    error
    for error in vars(redis.exceptions).values()
    if isinstance(error, type) and issubclass(error, Exception) and error.__module__ == redis.exceptions.__name__
    if OF_A_CLUSTER_OF_REDISES.isdisjoint(parent.__name__ for parent in error.__mro__)
]


@pytest.mark.parametrize("error", FOREIGN)
def test_every_error_of_the_library_is_one_of_ours(error):
    with pytest.raises((Transient, HumanNeeded)), _redis_errors():
        raise error.__new__(error, "something")


def test_a_user_without_the_right_is_told_so():
    with valkey(acl="user default off\nuser weak on >weak +ping ~*") as server:
        inbox = RedisInbox(Secret(server.url_for("weak", "weak")))
        with pytest.raises(HumanNeeded, match=r"users\.acl"):
            inbox.newest()
        inbox.close()
        inbox = RedisInbox(Secret(server.url_for("weak", "wrong")))
        with pytest.raises(HumanNeeded, match=r"users\.acl"):
            inbox.newest()
        inbox.close()


def test_what_another_version_wrote_is_as_good_as_lost(redis_inbox, server):
    with server.client() as client:
        client.set(KEYS, '{"mesh": 1}')
        client.hset(NEWEST, "west", b"\xff")
        client.hset(CONTENTS, "west", "a")
    assert redis_inbox.border_keys() is None
    assert {} == redis_inbox.newest()


def test_a_request_for_a_flush_is_sent_once_until_it_is_taken(redis_inbox):
    assert [True, False] == [redis_inbox.ask(), redis_inbox.ask()]
    redis_inbox.take()
    assert redis_inbox.ask()


def test_the_newest_messages_of_a_queue_stay(redis_inbox, server):
    with server.client() as client:
        for number in range(10):
            client.lpush(KEY_PREFIX + queue("west"), number)
        assert 10 == redis_inbox.trim("west", 3)
        assert 3 == redis_inbox.trim("west", 3)
        assert [b"7", b"8", b"9"] == [client.rpop(KEY_PREFIX + queue("west")) for _ in range(3)]


@pytest.mark.parametrize(
    ("celery", "client"),
    [
        ("redis://u:p@host:6379/0", "redis://u:p@host:6379/0"),
        ("rediss://host/0?ssl_cert_reqs=required", "rediss://host/0?ssl_cert_reqs=required"),
        ("redis+socket:///run/redis/s?virtual_host=2", "unix:///run/redis/s?db=2"),
        ("redis+socket://u:p%40@/run/s", "unix://u:p%40@/run/s"),
    ],
)
def test_the_address_of_celery_is_understood(celery, client):
    assert client == _redis_url(celery)
