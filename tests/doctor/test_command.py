"""`peermesh doctor` as it is called: on everything at once, on one thing, for people and for scripts."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncer.protocol.observation import GatewayAddress, ObservedGateway, pack
from syncer.protocol.secret import Secret
from tests import meshes
from tests.cli.calls import call, on_terminal, process
from tests.doctor.gateways import CATALOG, IDENTITY, Authority, gateway
from tests.doctor.sights import KEY, SETTINGS, observation
from tests.servers.valkey import Valkey, valkey
from workers.documents.paths import path_of
from workers.documents.writing import write
from workers.folder import write_folder
from workers.inbox import RedisInbox
from workers.outside import Kept

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
OWNERS = b"/mesh/ @acme/platform\n/facts/exports/ @acme/platform\n"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def west(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayAddress]:
    """Its gateway, as a peer sees it."""
    with gateway({CATALOG: authority.leaf(IDENTITY, tmp_path_factory.mktemp("leaf"))}, authority) as address:
        yield address


@pytest.fixture
def repo(west: GatewayAddress, tmp_path: Path) -> Path:
    """A checkout of a mesh of west, which exports, and east, whose syncer isn't trusted."""
    tree = meshes.tree_of(
        meshes.cluster("west", keys=(KEY,), addresses=(f"localhost:{west.port}",)),
        meshes.cluster("east", addresses=("gateway.east.invalid",)),
        meshes.export("shop/catalog", "west"),
    )
    documents = {path_of(document): write(document) for document in meshes.documents_of(tree)}
    write_folder(tmp_path / "mesh", {**documents, "CODEOWNERS": OWNERS})
    return tmp_path / "mesh"


@pytest.fixture
def redis() -> Iterator[Valkey]:
    """With what west said a moment ago."""
    with valkey(tcp=True) as running:
        inbox = RedisInbox(Secret(running.url))
        said = observation(
            observed_at=datetime.now(UTC),
            gateway=ObservedGateway(),
            settings={**SETTINGS, "istio.trustDomains": "east.acme.example,west.acme.example"},
        )
        inbox.keep("west", Kept(sequence=1, packed=pack(said), signature=b""), content="x")
        inbox.close()
        yield running


def test_without_a_command_it_looks_at_all_and_ends_with_3_if_something_is_wrong(repo: Path, redis: Valkey):
    said = call("doctor", "--repo", repo, "--redis-url", redis.url)
    assert 3 == said.code
    heads = [line for line in said.stdout.splitlines() if line and not line.startswith(" ")]
    assert ["cluster east", "cluster west", "forge git", "center"] == heads[:-1]
    assert re.fullmatch(r"\d+ ok · \d+ warning · \d+ wrong · \d+ unknown", heads[-1])
    assert "          $ peermesh cluster trust east KEY\n" in said.stdout
    assert "there is no way to it" in said.stdout


def test_a_cluster_of_which_nothing_is_wrong_ends_with_0_and_needs_no_kubeconfig(
    repo: Path, redis: Valkey, authority: Authority, tmp_path: Path
):
    root = tmp_path / "root-cert.pem"
    root.write_text(authority.pem)
    said = call("doctor", "cluster", "west", "--repo", repo, "--redis-url", redis.url, "--root", root)
    assert (0, "") == (said.code, said.stderr), said
    assert (
        "answers for shop/catalog as spiffe://west.acme.example/ns/shop/sa/catalog, signed by the root" in said.stdout
    )
    assert "asked from 127.0.0.1" in said.stdout
    assert "ok      Istio: 1.31.0 (as its syncer said" in said.stdout
    assert "a service that doesn't exist is refused" in said.stdout


def test_options_before_the_command_count_for_it(repo: Path, redis: Valkey):
    said = call("doctor", "--repo", repo, "--redis-url", redis.url, "--output", "json", "cluster", "west")
    assert {"cluster west"} == {one["about"] for one in json.loads(said.stdout)["findings"]}


def test_a_service_of_ones_own_choice_is_asked_for(repo: Path):
    said = call("doctor", "cluster", "west", "--repo", repo, "--service", "shop/catalog")
    assert "answers for shop/catalog" in said.stdout
    refused = call("doctor", "cluster", "west", "--repo", repo, "--service", "shop/cart")
    assert (1, "") == (refused.code, refused.stdout)
    assert "error: shop/cart: no other cluster may call it through the gateway of west." in refused.stderr


def test_a_context_for_a_cluster_that_main_does_not_have_is_refused(repo: Path):
    said = call("doctor", "--repo", repo, "--context", "south=x")
    assert (1, "error: south: no such cluster. There are: east, west.\n") == (said.code, said.stderr)


def test_values_for_scripts_are_on_stdout_alone(repo: Path, redis: Valkey):
    said = call("doctor", "center", "--repo", repo, "--redis-url", redis.url, "--output", "json")
    value = json.loads(said.stdout)
    assert {"ok", "warning", "wrong", "unknown"} == set(value["summary"])
    assert {"center"} == {one["about"] for one in value["findings"]}
    assert any("maxmemory isn't set" in one["what"] for one in value["findings"])


def test_the_forge_is_the_one_that_the_mesh_names(repo: Path):
    said = call("doctor", "forge", "--repo", repo)
    assert 0 == said.code
    assert said.stdout.startswith("forge git\n")
    assert "CODEOWNERS names who reviews mesh/ and facts/exports/" in said.stdout


def test_on_a_terminal_there_are_colours_progress_and_no_line_too_long(repo: Path):
    said = on_terminal("doctor", "cluster", "east", "--repo", repo)
    assert "looking at east …" in said.stdout
    assert "\x1b[1;31m" in said.stdout
    assert [] == [line for line in CONTROL.sub("", said.stdout).splitlines() if len(line) > 100]


def test_elsewhere_there_is_neither(repo: Path):
    said = process("doctor", "cluster", "east", "--repo", repo)
    assert (3, "") == (said.code, said.stderr)
    assert "\x1b" not in said.stdout


def test_what_the_help_says_is_there_to_be_called(repo: Path):
    subprocess.run(["git", "init", "--quiet", repo], check=True)
    for command in ((), ("cluster", "west"), ("forge",), ("center",)):
        assert call("doctor", *command, "--repo", repo).code in {0, 3}
