"""The CA agent on a real API server: with exactly the written manifests all of it works, and nothing more does."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import redis
import urllib3

from syncer.agent.names import AGENT, AGENT_NAMESPACE, CACERTS, OWN_SECRET
from syncer.agent.run import run
from syncer.agent.settings import read_settings
from syncer.cluster.resources import Right
from tests.e2e.agent import ISTIO, OTHER, SECRETS, Site
from tests.e2e.edge import ACL, QUEUE, wait_for
from tests.e2e.kubernetes import Process, clusters
from tests.servers.tls import Serve, serving
from tests.servers.valkey import valkey
from workers.cli.delivery.agent_rights import agent_rights, agent_rights_manifests

USER = f"system:serviceaccount:{AGENT_NAMESPACE}:{AGENT}"
EACH = [(right, verb) for right in agent_rights() for verb in right.verbs]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("agent")
    with clusters(folder, "west") as (cluster,), valkey(acl=ACL) as broker:
        made = Site(cluster, broker, folder)
        serve: Serve = made.istiod.serve
        with serving(serve) as port:
            made.port = port
            yield made


@pytest.fixture
def site(servers: Site) -> Site:
    servers.empty()
    servers.commit()
    return servers


@contextmanager
def running(site: Site, **more: str) -> Iterator[None]:
    """An agent in this process."""
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(read_settings(site.environment(**more)),), kwargs={"stop": stop})
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(90)
    assert not thread.is_alive()


# --- all of it


def test_with_exactly_the_written_manifests_all_of_it_works(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """The first intermediate, a second one, and a third one that istiod refuses."""
    caplog.set_level(logging.INFO, logger="peermesh")
    site.commit(wanted="1", reason="first")
    with running(site):
        first = site.sign(site.asked())
        assert site.cacerts() is None
        site.commit(first, rotation="1")
        wait_for(lambda: site.rotation() == 1, "the first intermediate")
        site.commit(first, rotation="1", wanted="2", reason="ordered")
        request = site.asked()
        assert (2, "ordered", True) == (request.rotation, request.reason, bool(request.proof))
        site.commit(second := site.sign(request), rotation="2")
        wait_for(lambda: settled(site, 2), "istiod to be seen with the second intermediate")
        standing = site.cacerts()
        site.istiod.refuses = True
        site.commit(second, rotation="2", wanted="3", reason="ordered")
        site.commit(site.sign(site.asked()), rotation="3")
        wait_for(lambda: site.rotation() == 3, "the third intermediate")
        wait_for(lambda: site.status().get("restored"), "the second one to be put back")
    found = site.cacerts()
    assert standing is not None
    assert found is not None
    assert standing.data == found.data
    assert "still signs with another certificate" in site.status()["trouble"]
    assert "orbidden" not in caplog.text


def settled(site: Site, rotation: int) -> bool:
    """Its certificate is in use, and nothing is under way."""
    said = site.status()
    own = base64.b64decode((site.secret(AGENT_NAMESPACE, OWN_SECRET) or {})["data"]["state"])
    taken = site.istiod.taken is not None and site.rotation() == rotation
    return taken and said.get("rotation") == rotation and not said.get("trouble") and "change" not in json.loads(own)


def test_a_secret_of_type_tls_stays_one(site: Site) -> None:
    site.install(1, kind="kubernetes.io/tls")
    site.commit(site.authority.intermediate("west", 1).pem, rotation="1", wanted="2", reason="ordered")
    before = site.secret(ISTIO, CACERTS)
    with running(site):
        site.commit(site.sign(site.asked()), rotation="2")
        wait_for(lambda: site.rotation() == 2, "the second intermediate")
    after = site.secret(ISTIO, CACERTS)
    assert before is not None
    assert after is not None
    assert "kubernetes.io/tls" == after["type"]
    assert before["metadata"]["uid"] == after["metadata"]["uid"]


def test_a_process_that_is_killed_goes_on_where_it_was(site: Site) -> None:
    site.install(1)
    old = site.authority.intermediate("west", 1).pem
    site.commit(old, rotation="1", wanted="2", reason="ordered")
    with process(site, "one") as (one, _):
        first = site.asked()
        one.send(signal.SIGKILL)
    site.commit(site.sign(first), rotation="2")
    with process(site, "two") as (two, listen):
        two.wait_ready(lambda: ready(listen))
        wait_for(lambda: settled(site, 2), "the second intermediate")
        text = urllib3.request("GET", f"http://{listen}/metrics", retries=False, timeout=60).data.decode()
    assert "peermesh_ca_agent_rotation 2.0" in text
    end = site.authority.intermediate("west", 1).certificate.not_valid_after_utc.timestamp()
    (line,) = [one for one in text.splitlines() if one.startswith("peermesh_ca_agent_intermediate_end_timestamp")]
    assert float(line.split()[1]) >= end
    for log in (one.log, two.log):
        assert "PRIVATE KEY" not in log.read_text()


@contextmanager
def process(site: Site, name: str) -> Iterator[tuple[Process, str]]:
    environment = site.environment()
    started = Process(name, [sys.executable, "-m", "syncer", "ca-agent"], site.folder, **environment)
    try:
        yield started, environment["PEERMESH_LISTEN"]
    finally:
        started.end()


def ready(listen: str) -> bool:
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        return urllib3.request("GET", f"http://{listen}/readyz", retries=False, timeout=5).status == 200
    return False


# --- no right is too much


@pytest.mark.parametrize(
    ("right", "verb"), EACH, ids=[f"{right.resource}-{'-'.join(right.names)}-{verb}" for right, verb in EACH]
)
def test_without_one_of_its_rights_something_fails_and_says_which(
    site: Site, caplog: pytest.LogCaptureFixture, right: Right, verb: str
) -> None:
    caplog.set_level(logging.INFO, logger="peermesh")
    grant(site, *without(right, verb))
    wait_for(lambda: not may(site, right, verb), "the right to be gone")
    site.commit(site.authority.intermediate("west", 1).pem, rotation="1", wanted="2", reason="ordered")
    if verb == "create":
        site.commit(wanted="1", reason="first")
    else:
        site.install(1)
    said = f"cannot {verb} resource {right.resource!r}".replace("'", '"')
    with running(site):
        if verb == "create" or (CACERTS in right.names and verb == "update"):
            request = site.asked()  # only what is asked for can't be installed
            site.commit(site.sign(request), rotation=str(request.rotation))
        wait_for(lambda: said in caplog.text, f"it to be said: {said}")


def grant(site: Site, *rights: Right) -> None:
    site.cluster.apply(agent_rights_manifests(rights))


def without(right: Right, verb: str) -> list[Right]:
    """All rights but this one."""
    fewer = replace(right, verbs=tuple(other for other in right.verbs if other != verb))
    return [one for one in (fewer if each == right else each for each in agent_rights()) if one.verbs]


@pytest.fixture(autouse=True)
def restored(servers: Site) -> Iterator[None]:
    """After each test everything is granted again."""
    yield
    grant(servers, *agent_rights())
    for right, verb in EACH:
        wait_for(lambda right=right, verb=verb: may(servers, right, verb), "the rights to be back")  # type: ignore[misc]


def may(site: Site, right: Right, verb: str) -> bool:
    """What the API server's authorizer says of the service account."""
    attributes = {"group": right.group, "resource": right.resource, "verb": verb, "namespace": right.namespace}
    attributes |= {"name": right.names[0]} if right.names else {}
    review = {"spec": {"user": USER, "resourceAttributes": attributes}}
    code, answer = site.cluster.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    assert 201 == code, answer
    return bool(answer["status"]["allowed"])


# --- nothing more does


def secret_called(name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque", **more}


def a_token(name: str) -> dict[str, Any]:
    """A Secret that a controller fills with the token of a service account."""
    metadata = {"name": name, "annotations": {"kubernetes.io/service-account.name": "default"}}
    return secret_called(name, type="kubernetes.io/service-account-token") | {"metadata": metadata}


@pytest.mark.parametrize(
    ("namespace", "body"),
    [
        (ISTIO, secret_called("another")),
        (ISTIO, secret_called("cacerts-2")),
        (ISTIO, a_token("token")),
        (ISTIO, a_token(CACERTS)),
        (ISTIO, secret_called("") | {"metadata": {"generateName": "cacerts"}}),
        (OTHER, secret_called(CACERTS)),
        (AGENT_NAMESPACE, secret_called(CACERTS)),
    ],
    ids=["another", "nearly", "token", "token-called-cacerts", "generated", "elsewhere", "at-home"],
)
def test_with_its_token_no_other_secret_can_be_created(site: Site, namespace: str, body: dict[str, Any]) -> None:
    """Even where somebody gave it the right to create Secrets everywhere: the policy refuses it."""
    site.cluster.kubectl("create", "clusterrole", "creates-secrets", "--verb=create", "--resource=secrets")
    binding = ("create", "clusterrolebinding", "creates-secrets", "--clusterrole=creates-secrets")
    site.cluster.kubectl(*binding, f"--serviceaccount={AGENT_NAMESPACE}:{AGENT}")
    try:
        anywhere = replace(agent_rights()[0], namespace=namespace, names=())
        wait_for(lambda: may(site, anywhere, "create"), "the right to create Secrets everywhere")
        path = f"/api/v1/namespaces/{namespace}/secrets"
        wait_for(policy_works(site), "the policy to count")
        with pytest.raises(Exception, match="the CA agent creates Secret istio-system/cacerts of type Opaque"):
            site.agents.call("POST", path, body=body)
    finally:
        for kind in ("clusterrolebinding", "clusterrole"):
            site.cluster.kubectl("delete", kind, "creates-secrets")


def policy_works(site: Site) -> Callable[[], bool]:
    """It counts some moments after it was applied."""

    def look() -> bool:
        try:
            site.agents.call("POST", f"{SECRETS}?dryRun=All", body=secret_called("probe"))
        except Exception as error:  # noqa: BLE001 - whatever it is called
            return "ValidatingAdmissionPolicy" in str(error)
        return False

    return look


def test_the_policy_is_nobody_elses_business(site: Site) -> None:
    assert 201 == site.cluster.request("POST", SECRETS, secret_called("of-people"))[0]
    site.cluster.kubectl("-n", ISTIO, "delete", "secret", "of-people")


def test_its_user_at_the_broker_may_only_send(site: Site) -> None:
    url = site.broker.redis_url_for("syncer-west", "canary")
    with redis.Redis.from_url(url) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.rpop(QUEUE)
