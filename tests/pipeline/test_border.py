"""What a cluster pushes into its queue harms nobody else, and stops nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime

import redis
from msgspec.structs import replace

from syncer.protocol.message import KEY_PREFIX
from syncer.protocol.observation import pack
from syncer.protocol.offer import Offer, Port, Refused
from tests.border.messages import NO_MESSAGE, NOT_BELIEVED, WEST, WEST_QUEUE, message, observation, signed
from tests.pipeline.directory import Directory, directory
from tests.pipeline.harness import Pipeline, pipeline
from workers.acl import syncer_user
from workers.documents import paths

SHOP = "peermesh/exports/shop"


def _two(tmp_path) -> dict[str, Directory]:
    """Two clusters; the key of west is the one that the hostile messages are signed with."""
    (tmp_path / "west.key").write_bytes(base64.b64encode(WEST.seed()))
    return {
        "east": directory(tmp_path / "east", "203.0.113.20"),
        "west": directory(tmp_path / "west", "203.0.113.10"),
    }


def test_others_go_on_whatever_a_cluster_pushes(tmp_path):
    clusters = _two(tmp_path)
    clusters["west"].put("shop/cart")
    with pipeline(tmp_path, clusters) as line:
        line.everything_approved()
        before = line.main_files()

        for raw in _garbage():
            _push(line, raw)
        line.wait_for(lambda: "west" in line.inbox.refusals(), "a refusal")
        assert "refused since" in line.status()
        clusters["east"].put("bank/ledger")
        line.wait_until_settled()
        assert ["peermesh/exports/bank"] == list(line.branches())
        line.everything_approved()
        assert before == {path: data for path, data in line.main_files().items() if path in before}

        clusters["west"].put("shop/cart", account="cart-v2")
        line.opened(SHOP)
        line.wait_until_settled()
        assert {} == line.inbox.refusals()


def test_what_a_stolen_key_signs_writes_what_its_cluster_may_and_forges_nothing(tmp_path):
    clusters = _two(tmp_path)
    with pipeline(tmp_path, clusters) as line:
        line.everything_approved()
        line.processes.stop("syncer west")
        bad = ("../../../mesh", "a\nPeermesh-Change: " + 40 * "0", "w" * 300, "cart\x00", "*", "cart.shop", "")
        offers = [_offer("shop", name) for name in bad] + [_offer(name, "cart") for name in bad]
        refused = [Refused(namespace="shop", service="x", source="label", reason=name, message=name) for name in bad]
        _push(line, _signed((*offers, _offer("shop", "stolen")), tuple(refused)))

        line.opened(SHOP)
        assert all(map(paths.is_ours, line.branches()))
        assert [SHOP] == list(line.branches())
        branch = line.branches()[SHOP]
        assert {"facts/exports/shop/west/stolen.yaml", "facts/hosts/shop/stolen.yaml"} == set(line.proposed(SHOP))
        assert not branch.foreign
        assert 1 == branch.message.count("\nPeermesh-Change: ")


def _push(line: Pipeline, raw: bytes) -> None:
    with redis.Redis.from_url(line.broker.redis_url_for(syncer_user("west"), "west-secret")) as stolen:
        stolen.lpush(KEY_PREFIX + WEST_QUEUE, raw)


def _signed(offers: tuple[Offer, ...], refused: tuple[Refused, ...]) -> bytes:
    said = replace(observation(datetime.now(UTC)), offers=offers, refused=refused)
    return message(signed(pack(said)))


def _garbage() -> Iterator[bytes]:
    for name, (_, make) in NO_MESSAGE.items():
        if name != "a hundred times too large":
            yield make(datetime.now(UTC))
    for _, made in NOT_BELIEVED.values():
        yield message(made(datetime.now(UTC)))


def _offer(namespace: str, service: str) -> Offer:
    return Offer(
        namespace=namespace,
        service=service,
        source="label",
        ports=(Port(name="http", number=80, protocol="HTTP", target_port=80),),
        service_accounts=("thief",),
        selector={"app": "thief"},
    )
