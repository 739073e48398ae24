"""What `peermesh up` tells each process, and when it starts one again; that it runs is told in tests/pipeline."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from syncer.protocol.errors import HumanNeeded
from syncer.protocol.secret import Secret
from syncer.settings import Api
from syncer.settings import read_settings as syncer_settings
from tests.cli.calls import call
from tests.meshes import cluster, mesh, tree_of
from workers.acl import BORDER, SIGNER, WEBHOOK, WORKER, syncer_user
from workers.cli.up import next_pause
from workers.cli.up_roles import Place, Site, address, brokers_of, host_port, places, roles, state_of, users_of
from workers.settings import read_settings
from workers.tree import Tree

GIT = {"PEERMESH_GIT_USER": "peermesh", "PEERMESH_GIT_PASSWORD_FILE": "/run/secrets/git"}
EVERYWHERE = {"PATH": "/usr/bin", "HOME": "/home/mesh", "AWS_PROFILE": "mesh"}


@pytest.fixture(scope="module")
def main() -> Tree:
    return tree_of(mesh(), cluster("west"), cluster("east"))


def site(clusters: dict[str, Place], **more: object) -> Site:
    told = {
        "repo": "https://git.example/mesh.git",
        "state": Path("/state"),
        "kubeconfig": "/home/mesh/.kube/config",
        "metrics": None,
        "environment": EVERYWHERE | GIT | {"PEERMESH_BROKER_URL": "redis://x", "PEERMESH_QUIET": "0.1"},
        **more,
    }
    return Site(clusters=clusters, **told)  # type: ignore[arg-type]


def environments(of: Site, main: Tree) -> dict[str, dict[str, str]]:
    brokers = brokers_of(of, {user: Secret(f"redis://{user}:secret-of-{user}@r/0") for user in users_of(of)})
    return {role.name: dict(role.environment) for role in roles(of, main, brokers)}


def test_each_process_has_its_own_user_and_nobody_elses_credentials(main):
    told = environments(site({"west": Place(context="w"), "east": Place(directory=Path("/m/east"))}), main)
    assert ["worker", "receive", "syncer west", "syncer east"] == list(told)
    owners = {
        WORKER: "worker",
        BORDER: "receive",
        syncer_user("west"): "syncer west",
        syncer_user("east"): "syncer east",
    }
    for user, owner in owners.items():
        assert [owner] == [name for name, environment in told.items() if f"secret-of-{user}@" in str(environment)]
    for name, environment in told.items():
        assert EVERYWHERE.items() <= environment.items()
        assert (GIT.items() <= environment.items()) == (name == "worker")
        assert (name == "worker") == ("git" in str(environment))


def test_what_they_are_told_is_what_they_understand(main):
    told = environments(site({"west": Place(context="w"), "east": Place(directory=Path("/m/east"))}), main)
    west, east = syncer_settings(told["syncer west"]), syncer_settings(told["syncer east"])
    assert Api(kubeconfig=Path("/home/mesh/.kube/config"), context="w") == west.source
    assert Path("/m/east") == east.source
    assert ("west", Path("/state/keys/west"), 0.1) == (west.scope.cluster, west.key, west.timing.quiet)
    assert main.mesh.metadata.name == west.scope.mesh
    assert main.mesh.spec.hosts.template == west.scope.hosts.template
    worker = read_settings(told["worker"])
    assert ("https://git.example/mesh.git", "peermesh", None) == (worker.repo, worker.git_user, worker.metrics)
    assert Path("/state") in worker.copy.parents


def test_certificates_are_signed_if_somebody_names_what_with_and_nobody_else_learns_it(main):
    key = {"PEERMESH_SIGNER_KEY_FILE": "/vault/root", "PEERMESH_SIGNER_PASSPHRASE_FILE": "/vault/word"}
    told = GIT | key | {"PEERMESH_SIGNER_ISSUERS_FILE": "/vault/issuers", "PEERMESH_FORGE_TOKEN_FILE": "/run/forge"}
    of = site({"west": Place(context="w")}, environment=EVERYWHERE | told)
    found = environments(of, main)
    assert ["worker", "receive", "signer", "syncer west"] == list(found)
    signer = read_settings(found["signer"])
    assert (Path("/vault/root"), Path("/state/journal")) == (signer.signer_place.key, signer.signer_journal)
    assert (None, Path("/run/secrets/git")) == (signer.forge_token_file, signer.git_password_file)
    assert f"{SIGNER}:secret-of-{SIGNER}@" in signer.broker.reveal()
    assert ["signer"] == [name for name, environment in found.items() if "/vault/" in str(environment)]
    assert signer.copy != read_settings(found["worker"]).copy
    assert SIGNER not in users_of(site({}))


def test_the_forge_is_listened_to_if_somebody_says_where(main):
    told = {"PEERMESH_WEBHOOK_LISTEN": "127.0.0.1:8081", "PEERMESH_WEBHOOK_SECRET_FILE": "/run/hook"}
    of = site({"west": Place(context="w")}, environment=EVERYWHERE | GIT | told)
    environment = environments(of, main)["webhook"]
    assert told.items() <= environment.items()
    assert "git" not in str(environment)
    assert [WORKER, BORDER, WEBHOOK, syncer_user("west")] == users_of(of)
    assert "hook" not in str(environments(of, main)["worker"])


def test_metrics_are_on_ports_one_after_the_other(main):
    told = environments(site({"west": Place(context="w")}, metrics=("::1", 9100)), main)
    assert ("::1", 9100) == read_settings(told["worker"]).metrics
    assert ("::1", 9101) == read_settings(told["receive"]).metrics
    assert ("::1", 9102) == syncer_settings(told["syncer west"]).listen


def test_a_cluster_that_main_does_not_know_is_told_with_the_command_that_adds_it(main):
    with pytest.raises(HumanNeeded, match=r"north: main has no mesh/clusters/north\.yaml.*peermesh cluster add north"):
        environments(site({"north": Place(context="n")}), main)


def test_a_place_is_a_context_or_a_directory(tmp_path):
    found = places((f"west={tmp_path}", "east=context:arn:aws:eks:eu-west-1:1:cluster/east"))
    assert {
        "west": Place(directory=tmp_path),
        "east": Place(context="arn:aws:eks:eu-west-1:1:cluster/east"),
    } == found


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("west", "neither NAME=context:CONTEXT nor NAME=DIR"),
        ("west=", "neither"),
        ("West=.", "neither"),
        ("west=/nowhere", "/nowhere is no directory"),
        ("west=context:", "is no directory"),
    ],
)
def test_a_place_that_is_none_is_refused(given, what):
    with pytest.raises(click.BadParameter, match=what):
        places((given,))


def test_a_cluster_is_in_one_place():
    with pytest.raises(click.BadParameter, match="west is given twice"):
        places(("west=context:a", "west=context:b"))


@pytest.mark.parametrize("text", ["9100", "host:", "host:0", "host:65536", ":9100"])
def test_an_address_for_metrics_that_is_none_is_refused(text):
    with pytest.raises(click.BadParameter, match="HOST:PORT"):
        host_port(text)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rediss://redis.example:6380/0?ssl_ca_certs=/ca", "rediss://u:p%2Fw@redis.example:6380/0?ssl_ca_certs=/ca"),
        ("redis+socket:///run/redis?virtual_host=0", "redis+socket://u:p%2Fw@/run/redis?virtual_host=0"),
        ("redis://me:mine@redis.example/0", "redis://me:mine@redis.example/0"),
        ("redis://:mine@redis.example/0", "redis://:mine@redis.example/0"),
    ],
)
def test_a_redis_of_the_site_is_reached_by_each_user_unless_the_address_names_one(url, expected):
    assert expected == address(Secret(url), "u", lambda _: Secret("p/w")).reveal()


def test_each_repository_has_a_state_of_its_own():
    homes = [state_of(repo, {"XDG_STATE_HOME": "/s"}) for repo in ("a", "b")]
    assert [Path("/s/peermesh")] * 2 == [home.parent for home in homes]
    assert len(set(homes)) == 2


def test_the_pause_grows_as_long_as_a_process_goes_on_ending_and_not_without_end():
    pauses: list[float] = []
    for _ in range(9):
        pauses.append(next_pause(pauses[-1] if pauses else None, lived=0.5))
    assert [1, 2, 4, 8, 16, 32, 60, 60, 60] == pauses
    assert 1 == next_pause(60, lived=61)


def test_without_a_cluster_and_a_redis_there_is_nothing_to_run(tmp_path):
    said = call("up", "--repo", tmp_path)
    assert 1 == said.code
    assert "Name a --cluster" in said.stderr
