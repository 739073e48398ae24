"""Whatever becomes of an API server and of the way to it: a reader says what is so, or nothing; never half of it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.config import incluster_config

from syncer.cluster import ClusterState
from syncer.cluster.connection import Connection
from syncer.protocol.errors import HumanNeeded, PeermeshError, Transient
from tests.e2e.kubernetes import Certificates, Cluster, clusters, install_crds, service_export_crd
from tests.e2e.reading import Recorded, Watched, admin, create, names, namespace, service, watched
from tests.servers.proxy import Proxy, proxy
from tests.syncer.clusters import observed

# A connection that dies between its beginning and TLS leaves a socket to Python's garbage collection: `ssl` makes one
# that isn't connected, and urllib3, which then fails, doesn't know it yet.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SPACE = "faults"
SERVICES = [f"{SPACE}/s{n}" for n in range(3)]
EXPORT = {"apiVersion": "multicluster.x-k8s.io/v1beta1", "kind": "ServiceExport"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that may be killed; each test leaves it running, with three exported services."""
    with clusters(tmp_path_factory.mktemp("faults"), "west") as (west,):
        install_crds(west)
        namespace(west, SPACE)
        create(west, SPACE, *(service(f"s{n}") for n in range(3)))
        yield west


def exported(state: ClusterState) -> list[str]:
    return [f"{offer.namespace}/{offer.service}" for offer in observed(state).offers]


def has(name: str, state: ClusterState) -> bool:
    return name in exported(state)


def always(watching: Watched, check: Callable[[ClusterState], bool]) -> Callable[[], None]:
    """Looks all the time that whatever is said passes; the result ends it, and fails if something didn't."""
    stop, wrong = threading.Event(), list[Any]()

    def look() -> None:
        while not stop.wait(0.005):
            said = watching.now()
            if isinstance(said, ClusterState) and not check(said):
                wrong.append(said)

    thread = threading.Thread(target=look)
    thread.start()

    def end() -> None:
        stop.set()
        thread.join(30)
        assert not wrong

    return end


@contextmanager
def through_a_proxy(cluster: Cluster) -> Iterator[tuple[Proxy, Recorded]]:
    """The administrator's way to the cluster, through a proxy."""
    with proxy(cluster.port) as between:
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{between.port}"
        path = cluster.folder / "proxy.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        yield between, Recorded(kubeconfig=path)


def test_a_killed_server_takes_nothing_away_and_after_its_return_every_kind_is_listed_again(cluster: Cluster) -> None:
    connection = admin(cluster)
    with watched(connection) as watching:
        end = always(watching, lambda state: exported(state) == SERVICES)
        before = len(connection.lists())
        cluster.kill()
        error = watching.error(Transient)
        assert "doesn't answer" in str(error) or "nothing was heard" in str(error)
        cluster.start()
        watching.state(bool)
        end()
        create(cluster, SPACE, service("after"))
        watching.state(lambda state: f"{SPACE}/after" in exported(state))
        cluster.kubectl("-n", SPACE, "delete", "service", "after")
        watching.state(lambda state: exported(state) == SERVICES)
    # 410 for every version from before, even of kinds that never changed.
    assert len(connection.lists("services")) > 1
    assert len(connection.lists()) > before


def test_what_changed_while_the_server_was_away_is_found(cluster: Cluster) -> None:
    with watched(admin(cluster)) as watching:
        cluster.kill()
        cluster.start()
        cluster.kubectl("-n", SPACE, "label", "service", "s0", "peermesh.io/export-")
        watching.state(lambda state: exported(state) == SERVICES[1:])
        cluster.kubectl("-n", SPACE, "label", "service", "s0", "peermesh.io/export=true")
        watching.state(lambda state: exported(state) == SERVICES)


def test_a_cut_watch_goes_on_where_it_was(cluster: Cluster) -> None:
    with through_a_proxy(cluster) as (between, connection), watched(connection) as watching:
        end = always(watching, lambda state: set(SERVICES) <= set(exported(state)))
        before = len(connection.lists())
        for n in range(5):
            assert between.cut()
            create(cluster, SPACE, service(f"cut{n}"))
            watching.state(partial(has, f"{SPACE}/cut{n}"))
        end()
        assert before == len(connection.lists())
        assert all(isinstance(said, ClusterState) for said in watching.said)
    cluster.kubectl("-n", SPACE, "delete", "service", *(f"cut{n}" for n in range(5)))


def test_connections_that_fall_silent_are_noticed_and_made_anew(cluster: Cluster) -> None:
    with through_a_proxy(cluster) as (between, connection), watched(connection) as watching:
        assert between.silence()
        create(cluster, SPACE, service("unseen"))
        watching.state(lambda state: f"{SPACE}/unseen" in exported(state))
    cluster.kubectl("-n", SPACE, "delete", "service", "unseen")


def test_of_a_frozen_server_nothing_is_said_after_a_while_and_then_all_again(cluster: Cluster) -> None:
    with watched(admin(cluster)) as watching:
        end = always(watching, lambda state: exported(state) == SERVICES)
        cluster.freeze()
        began = time.monotonic()
        try:
            # Whoever only reads when something happens is told: when it ceases, and when it goes on.
            watching.told(Transient)
            assert time.monotonic() - began < 60
        finally:
            cluster.thaw()
        watching.told(ClusterState)
        end()


def test_a_version_that_the_server_never_had_is_given_up(cluster: Cluster) -> None:
    """As after etcd was wiped: the server says nothing, and no error either."""
    with watched(admin(cluster)) as watching:
        watch = next(one for one in watching.reader._watches if one.resource.plural == "services")
        watch._version = "999999999999"
        watch.cut()
        create(cluster, SPACE, service("late"))
        watching.state(lambda state: f"{SPACE}/late" in exported(state))
    cluster.kubectl("-n", SPACE, "delete", "service", "late")


def test_who_begins_to_lead_trusts_no_list_from_before(cluster: Cluster) -> None:
    connection = admin(cluster)
    with watched(connection) as watching:
        before = len(connection.lists("services"))
        watching.reader.refresh()
        assert "NotReadYet" == watching.error(Transient).reason
        watching.state(lambda state: exported(state) == SERVICES)
        assert before + 1 == len(connection.lists("services"))


def test_service_exports_that_go_with_their_kind_are_unknown_not_withdrawn(cluster: Cluster) -> None:
    crd = service_export_crd()
    cluster.kubectl("delete", "crd", "serviceexports.multicluster.x-k8s.io")
    with watched(admin(cluster)) as watching:
        assert watching.state(bool).service_exports is None
        assert ("label",) == observed(watching.state(bool)).sources
        cluster.apply(crd)
        state = watching.state(lambda state: state.service_exports is not None)
        assert ("label", "serviceexport") == observed(state).sources
        create(cluster, SPACE, *({**EXPORT, "metadata": {"name": f"s{n}"}} for n in range(3)))
        watching.state(lambda state: names(state.service_exports or ()) == SERVICES)
        end = always(watching, lambda state: state.service_exports is None or len(state.service_exports) == 3)
        cluster.kubectl("delete", "crd", "serviceexports.multicluster.x-k8s.io")
        watching.state(lambda state: state.service_exports is None)
        end()
        cluster.apply(crd)
        watching.state(lambda state: state.service_exports == ())


def test_a_service_export_that_somebody_deletes_is_gone_for_good(cluster: Cluster) -> None:
    with watched(admin(cluster)) as watching:
        watching.state(lambda state: state.service_exports is not None)
        create(cluster, SPACE, *({**EXPORT, "metadata": {"name": f"s{n}"}} for n in range(2)))
        watching.state(lambda state: names(state.service_exports or ()) == SERVICES[:2])
        cluster.kubectl("-n", SPACE, "delete", "serviceexport", "s0")
        watching.state(lambda state: names(state.service_exports or ()) == SERVICES[1:2])
        cluster.kubectl("-n", SPACE, "delete", "serviceexport", "s1")
        watching.state(lambda state: state.service_exports == ())


def test_where_istio_is_taken_out_nothing_is_said_of_what_its_objects_show(cluster: Cluster) -> None:
    mine = {"hosts": ["a.b.mesh.internal"], "resolution": "NONE", "ports": [{"number": 80, "name": "http"}]}
    entry = {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "a"}, "spec": mine}
    cluster.apply(json.dumps(entry), "-n", SPACE)
    with watched(admin(cluster)) as watching:
        state = watching.state(lambda state: observed(state).foreign)
        end = always(watching, lambda state: not state.istio or bool(observed(state).foreign))
        cluster.kubectl("delete", "crd", "serviceentries.networking.istio.io")
        state = watching.state(lambda state: not state.istio)
        end()
    told = observed(state)
    assert not told.foreign
    assert not told.gateway
    assert not told.applied
    assert ["NoIstio"] == [refused.reason for refused in told.refused]
    assert SERVICES == exported(state)
    install_crds(cluster)


def test_a_refusal_is_for_people_when_it_lasts(cluster: Cluster) -> None:
    """403 in the first moment after a start means that the server hasn't read its own rules yet."""
    cluster.kubectl("-n", SPACE, "create", "serviceaccount", "nobody")
    path = cluster.write_kubeconfig("nobody", {"token": cluster.service_account(SPACE, "nobody")})
    watching = Watched(Connection(kubeconfig=path))
    try:
        first = watching.error(PeermeshError)
        assert isinstance(first, Transient)
        error = watching.error(HumanNeeded)
        assert "Forbidden" == error.reason
        cluster.kubectl(
            "create", "clusterrolebinding", "nobody", "--clusterrole=cluster-admin", f"--serviceaccount={SPACE}:nobody"
        )
        watching.state(lambda state: exported(state) == SERVICES)
        cluster.kubectl("delete", "clusterrolebinding", "nobody")
        end = always(watching, lambda state: exported(state) == SERVICES)
        watching.error(HumanNeeded)
        end()
    finally:
        watching.close()


def test_a_reader_ends_at_once_although_its_server_hangs(cluster: Cluster) -> None:
    watching = Watched(admin(cluster))
    watching.state(bool)
    cluster.freeze()
    try:
        began = time.monotonic()
        watching.close()
        assert time.monotonic() - began < 20
    finally:
        cluster.thaw()


def test_a_token_that_is_exchanged_in_its_file_is_used(cluster: Cluster, tmp_path: Path) -> None:
    cluster.kubectl("-n", SPACE, "create", "serviceaccount", "rotated")
    cluster.kubectl(
        "create", "clusterrolebinding", "rotated", "--clusterrole=cluster-admin", f"--serviceaccount={SPACE}:rotated"
    )
    token = tmp_path / "token"
    token.write_text("an-old-one")
    path = cluster.write_kubeconfig("rotated", {"tokenFile": str(token)})
    connection = Connection(kubeconfig=path)
    with pytest.raises(HumanNeeded) as caught:
        connection.call("GET", "/api/v1/services")
    assert "NoCredentials" == caught.value.reason
    assert "an-old-one" not in str(caught.value)
    token.write_text(cluster.service_account(SPACE, "rotated"))
    assert b'"s0"' in connection.call("GET", "/api/v1/services")


def test_a_pod_uses_the_token_and_the_ca_that_are_mounted_now(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.kubectl("-n", SPACE, "create", "serviceaccount", "mounted")
    cluster.kubectl(
        "create", "clusterrolebinding", "mounted", "--clusterrole=cluster-admin", f"--serviceaccount={SPACE}:mounted"
    )
    token, ca = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("an-old-one")
    other = tmp_path / "other"
    other.mkdir()
    ca.write_bytes(Certificates(other).ca.read_bytes())
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(cluster.port))
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(ca))
    connection = Connection()
    with pytest.raises(HumanNeeded) as caught:
        connection.call("GET", "/api/v1/services")
    assert "BadCertificate" == caught.value.reason
    ca.write_bytes(cluster.ca.read_bytes())
    with pytest.raises(HumanNeeded) as caught:
        connection.call("GET", "/api/v1/services")
    assert "NoCredentials" == caught.value.reason
    token.write_text(cluster.service_account(SPACE, "mounted"))
    assert b'"s0"' in connection.call("GET", "/api/v1/services")
