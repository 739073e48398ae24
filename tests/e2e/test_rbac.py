"""What the syncer may do: with exactly the written manifests all of it works, and each verb is needed by something."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from prometheus_client import generate_latest

import syncer.run
from syncer import metrics
from syncer.cluster.api import ApiReader
from syncer.cluster.connection import Connection
from syncer.cluster.known import Timing
from syncer.cluster.resources import Right
from syncer.keys import key_of_secret
from syncer.protocol.errors import HumanNeeded
from syncer.settings import read_settings
from tests.e2e.edge import DEADLINE, Edge, edge, exported, wait_for
from tests.syncer.logs import wait_until_logged
from workers.cli.delivery.syncer_rights import KEY_SECRET, SYNCER, SYNCER_NAMESPACE, rights_manifests, syncer_rights

USER = f"system:serviceaccount:{SYNCER_NAMESPACE}:{SYNCER}"
SECRET = f"/api/v1/namespaces/{SYNCER_NAMESPACE}/secrets/{KEY_SECRET}"
EACH = [(right, verb) for right in syncer_rights() for verb in right.verbs]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with edge(tmp_path_factory.mktemp("rights")) as made:
        made.export("a")
        yield made


def test_with_exactly_the_written_manifests_all_of_it_works(site: Edge) -> None:
    replica = site.start("one")
    replica.wait_ready()
    assert {"a"} == exported(site.wait_agreed())
    assert replica is site.leader(replica)
    kept = key_of_secret(Connection(kubeconfig=site.cluster.kubeconfig), namespace=SYNCER_NAMESPACE, name=KEY_SECRET)
    assert f"signs with {kept.public}" in replica.log
    assert "orbidden" not in replica.log
    site.end()


@pytest.mark.parametrize(("right", "verb"), EACH, ids=[f"{right.resource}-{verb}" for right, verb in EACH])
def test_without_one_of_its_rights_something_fails_and_says_which(
    site: Edge, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, right: Right, verb: str
) -> None:
    caplog.set_level(logging.INFO, logger="peermesh")
    # How long a refusal is taken for the start of an API server.
    monkeypatch.setattr(syncer.run, "ApiReader", partial(ApiReader, timing=Timing(grace=0.5)))
    grant(site, *(without(one, verb) if one == right else one for one in syncer_rights()))
    wait_for(lambda: not may(site, right, verb), "the right to be gone")
    empty_the_secret(site)
    said = f"cannot {verb} resource {right.resource!r}".replace("'", '"')
    match right.resource:
        case "secrets":
            with pytest.raises(HumanNeeded, match=said):
                syncer.run.run(read_settings(site.environment("one")), stop=threading.Event())
        case "leases":
            with running(site):
                wait_until_logged(caplog, "no election, Forbidden: ")
                assert not leads()
        case _:
            with running(site):
                wait_until_logged(caplog, "incomplete, nothing is said until it is mended, Forbidden: ")
    assert [text for text in [*caplog.messages] if said in text] or right.resource == "secrets"


@pytest.fixture(autouse=True)
def restored(site: Edge) -> Iterator[None]:
    """After each test everything is granted again."""
    yield
    grant(site, *syncer_rights())
    for right, verb in EACH:
        wait_for(lambda right=right, verb=verb: may(site, right, verb), "the rights to be back")  # type: ignore[misc]


@contextmanager
def running(site: Edge) -> Iterator[None]:
    """A syncer in this process."""
    stop = threading.Event()
    settings = read_settings(site.environment("one"))
    thread = threading.Thread(target=syncer.run.run, args=(settings,), kwargs={"stop": stop})
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(DEADLINE)
    assert not thread.is_alive()


def leads() -> bool:
    return "peermesh_syncer_leader 1.0" in generate_latest(metrics.REGISTRY).decode()


def grant(site: Edge, *rights: Right) -> None:
    site.cluster.apply(rights_manifests(rights))


def without(right: Right, verb: str) -> Right:
    return replace(right, verbs=tuple(other for other in right.verbs if other != verb))


def may(site: Edge, right: Right, verb: str) -> bool:
    """What the API server's authorizer says of the service account."""
    attributes: dict[str, Any] = {"group": right.group, "resource": right.resource, "verb": verb}
    attributes |= {"namespace": right.namespace} if right.namespace else {}
    attributes |= {"name": right.names[0]} if right.names else {}
    review = {"spec": {"user": USER, "resourceAttributes": attributes}}
    code, answer = site.cluster.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    assert 201 == code, answer
    return bool(answer["status"]["allowed"])


def empty_the_secret(site: Edge) -> None:
    """As it is written, so that a key is made."""
    code, answer = site.cluster.request("PATCH", SECRET, {"data": None}, content_type="application/merge-patch+json")
    assert 200 == code, answer
