"""The Lease and the Secret of the key on a real API server: who comes second is told, and does what is right then."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from syncer.cluster.connection import Conflict, Connection
from syncer.keys import key_of_secret, signing_key
from syncer.leader import Election, LeaseLock, Terms
from syncer.protocol.errors import HumanNeeded
from tests.e2e.edge import DEADLINE, wait_for
from tests.e2e.kubernetes import Cluster
from workers.cli.delivery.syncer_pods import pod_manifests
from workers.cli.delivery.syncer_rights import KEY_SECRET, SYNCER, SYNCER_NAMESPACE

NAMESPACE = "replicas"
SECRET = f"/api/v1/namespaces/{NAMESPACE}/secrets/{KEY_SECRET}"
SHORT = Terms(duration=1.5)


@pytest.fixture
def west(pair: tuple[Cluster, Cluster]) -> Iterator[Cluster]:
    """The manifests of a syncer in a namespace of these tests."""
    cluster, _ = pair
    cluster.kubectl("create", "namespace", NAMESPACE, check=False)
    apply(cluster)
    yield cluster
    for kind in ("lease", "secret"):
        cluster.kubectl("-n", NAMESPACE, "delete", kind, "--all")


def apply(cluster: Cluster) -> None:
    cluster.apply(pod_manifests().replace(SYNCER_NAMESPACE.encode(), NAMESPACE.encode()))


def lock(cluster: Cluster) -> LeaseLock:
    """Each with a connection of its own, as replicas have."""
    connection = Connection(kubeconfig=cluster.kubeconfig)
    return LeaseLock(connection, namespace=NAMESPACE, name=SYNCER, timeout=10)


def key(cluster: Cluster) -> str:
    return key_of_secret(Connection(kubeconfig=cluster.kubeconfig), namespace=NAMESPACE, name=KEY_SECRET).public


# --- the Lease


def test_of_many_that_begin_at_once_one_leads_and_when_it_ends_the_next(west: Cluster) -> None:
    with ExitStack() as stack:
        began = [threading.Event() for _ in range(5)]
        elections = [Election(lock(west), f"replica-{n}", SHORT, began=event.set) for n, event in enumerate(began)]
        with ThreadPoolExecutor(5) as pool:
            list(pool.map(stack.enter_context, elections))
        leader = wait_for(lambda: next((one for one in elections if one.leading()), None), "a leader")
        assert [leader] == [one for one in elections if one.leading()]
        assert 1 == sum(event.is_set() for event in began)
        leader.__exit__(None, None, None)
        others = [one for one in elections if one is not leader]
        wait_for(lambda: any(one.leading() for one in others), "another leader")
        assert not leader.leading()
    spec = lock(west).read()["spec"]
    assert "" == spec["holderIdentity"]
    assert spec["leaseTransitions"] >= 2


def test_a_lease_that_was_changed_since_it_was_read_isnt_written(west: Cluster) -> None:
    first, second = lock(west), lock(west)
    old = second.read()
    first.write({**first.read(), "spec": {"holderIdentity": "first", "leaseDurationSeconds": 15}})
    with pytest.raises(Conflict):
        second.write({**old, "spec": {"holderIdentity": "second", "leaseDurationSeconds": 15}})
    assert "first" == first.read()["spec"]["holderIdentity"]


def test_a_lease_that_isnt_there_is_told(west: Cluster) -> None:
    west.kubectl("-n", NAMESPACE, "delete", "lease", SYNCER)
    with pytest.raises(HumanNeeded) as error:
        lock(west).read()
    assert str(error.value) == (
        f"Lease {NAMESPACE}/{SYNCER}: there is no such Lease. Apply delivery/clusters/<cluster>/, which has it."
    )


# --- the key


def test_replicas_that_start_at_once_have_one_key(west: Cluster) -> None:
    barrier = threading.Barrier(4)

    def start(_: int) -> str:
        barrier.wait(DEADLINE)
        return key(west)

    with ThreadPoolExecutor(4) as pool:
        publics = set(pool.map(start, range(4)))
    assert {key(west)} == publics


def test_the_key_survives_that_its_empty_secret_is_applied_again(west: Cluster) -> None:
    public = key(west)
    apply(west)
    west.kubectl("apply", "-f", "-", stdin=pod_manifests().replace(SYNCER_NAMESPACE.encode(), NAMESPACE.encode()))
    assert public == key(west)


def test_the_secret_holds_what_a_file_would(west: Cluster, tmp_path) -> None:
    public = key(west)
    kept = base64.b64decode(west.request("GET", SECRET)[1]["data"]["key"])
    (tmp_path / "key").write_bytes(kept)
    assert public == signing_key(tmp_path / "key").public


def test_a_secret_that_holds_something_else_is_told_without_what_is_in_it(west: Cluster) -> None:
    body = {"data": {"key": base64.b64encode(b"canary").decode()}}
    assert 200 == west.request("PATCH", SECRET, body, content_type="application/merge-patch+json")[0]
    with pytest.raises(HumanNeeded) as error:
        key(west)
    assert str(error.value) == (
        f"Secret {NAMESPACE}/{KEY_SECRET}: it doesn't hold a signing key. Take it from a backup; or remove its entry "
        "`key`: a new key is made, which `peermesh cluster trust` must trust."
    )


def test_a_secret_that_isnt_there_is_told(west: Cluster) -> None:
    west.kubectl("-n", NAMESPACE, "delete", "secret", KEY_SECRET)
    with pytest.raises(HumanNeeded) as error:
        key(west)
    assert str(error.value) == (
        f"Secret {NAMESPACE}/{KEY_SECRET}: there is no such Secret. "
        "Apply delivery/clusters/<cluster>/, which has an empty one."
    )
