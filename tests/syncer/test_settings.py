from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from syncer.debounce import Timing
from syncer.foreign import MeshHosts
from syncer.gateway import GatewayPlace
from syncer.observe import Scope
from syncer.protocol.environment import Setting
from syncer.protocol.errors import HumanNeeded
from syncer.rounds import Probing
from syncer.settings import SETTINGS, Api, KeySecret, Lease, read_settings, settings_from_environment

LEAST = {
    "PEERMESH_MESH": "acme",
    "PEERMESH_CLUSTER": "west",
    "PEERMESH_BROKER_URL": "redis://syncer-west:canary@127.0.0.1:6379/0",
    "PEERMESH_DIRECTORY": "/manifests",
}


def test_what_must_be_set_is_enough() -> None:
    settings = read_settings(LEAST)
    assert Scope(mesh="acme", cluster="west") == settings.scope
    assert (Path("/manifests"), Path("peermesh-syncer.key"), "default", Timing()) == (
        settings.source,
        settings.key,
        settings.namespace,
        settings.timing,
    )
    assert (None, None) == (settings.lease, settings.listen)
    assert LEAST["PEERMESH_BROKER_URL"] == settings.broker.reveal()


def test_everything_can_be_set() -> None:
    settings = read_settings(
        LEAST
        | {
            "PEERMESH_NAMESPACE": "shop",
            "PEERMESH_KEY_FILE": "/keys/west",
            "PEERMESH_LISTEN": "[::1]:8080",
            "PEERMESH_GATEWAY_NAMESPACE": "edge",
            "PEERMESH_GATEWAY_SELECTOR": "istio=ew, app.kubernetes.io/name=gateway",
            "PEERMESH_GATEWAY_PORT": "9443",
            "PEERMESH_HOST_TEMPLATE": "{namespace}.{service}.example.com",
            "PEERMESH_HOST_PATTERNS": "*.shop.example.com, tickets.example.com",
            "PEERMESH_QUIET": "0.5",
            "PEERMESH_LONGEST": "5",
            "PEERMESH_HEARTBEAT": "60",
        }
    )
    expected = Scope(
        mesh="acme",
        cluster="west",
        gateway=GatewayPlace(
            namespace="edge", selector={"app.kubernetes.io/name": "gateway", "istio": "ew"}, port=9443
        ),
        hosts=MeshHosts(
            template="{namespace}.{service}.example.com", patterns=("*.shop.example.com", "tickets.example.com")
        ),
    )
    assert expected == settings.scope
    assert (Path("/keys/west"), "shop", Timing(quiet=0.5, longest=5, heartbeat=60), ("::1", 8080)) == (
        settings.key,
        settings.namespace,
        settings.timing,
        settings.listen,
    )


IN_A_POD = {name: value for name, value in LEAST.items() if name != "PEERMESH_DIRECTORY"} | {
    "PEERMESH_POD_NAMESPACE": "peermesh-system",
    "PEERMESH_POD_NAME": "peermesh-syncer-1",
    "PEERMESH_KEY_SECRET": "peermesh-syncer-key",
    "PEERMESH_LEASE": "peermesh-syncer",
}


def test_without_a_directory_the_service_account_of_the_pod_leads_to_the_cluster() -> None:
    settings = read_settings(IN_A_POD)
    assert Api() == settings.source
    assert KeySecret(namespace="peermesh-system", name="peermesh-syncer-key") == settings.key
    expected = Lease(namespace="peermesh-system", name="peermesh-syncer", holder="peermesh-syncer-1", duration=15)
    assert expected == settings.lease


def test_outside_a_cluster_a_kubeconfig_file_does() -> None:
    settings = read_settings(
        IN_A_POD
        | {"PEERMESH_KUBECONFIG": "/kube/config", "PEERMESH_CONTEXT": "west", "PEERMESH_ISTIO_NAMESPACE": "mesh"}
    )
    assert (Api(kubeconfig=Path("/kube/config"), context="west"), "mesh") == (settings.source, settings.istio_namespace)


def test_pods_of_a_cluster_are_asked_and_those_that_a_directory_names_arent() -> None:
    """They may be anywhere, or be somebody else's by now."""
    told = {"PEERMESH_PROBE": "7", "PEERMESH_PROBE_PORT": "9", "PEERMESH_HEARTBEAT": "100"}
    quick = IN_A_POD | {"PEERMESH_HEARTBEAT": "5"}  # whoever hurries isn't slower than else
    assert Probing(pods=7, port=9, every=90) == read_settings(IN_A_POD | told).probing
    assert (10, 4.5) == (read_settings(IN_A_POD).probing.hurry, read_settings(quick).probing.hurry)
    assert (50, 15099) == (read_settings(IN_A_POD).probing.pods, read_settings(IN_A_POD).probing.port)
    assert [0, 0] == [read_settings(one).probing.pods for one in (LEAST | told, IN_A_POD | {"PEERMESH_PROBE": "0"})]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            LEAST | {"PEERMESH_KUBECONFIG": "/kube/config"},
            "PEERMESH_DIRECTORY: PEERMESH_KUBECONFIG is set, too, and only one of them can be followed. What it is",
        ),
        (LEAST | {"PEERMESH_LEASE": "peermesh-syncer"}, "PEERMESH_DIRECTORY: PEERMESH_LEASE is set, too"),
        (IN_A_POD | {"PEERMESH_KEY_FILE": "/key"}, "PEERMESH_KEY_SECRET: PEERMESH_KEY_FILE is set, too"),
        (
            IN_A_POD | {"PEERMESH_POD_NAMESPACE": ""},
            "PEERMESH_POD_NAMESPACE: it isn't set, and PEERMESH_KEY_SECRET is.",
        ),
        (IN_A_POD | {"PEERMESH_LEASE": "../x"}, "PEERMESH_LEASE: '../x' isn't a DNS name."),
        (IN_A_POD | {"PEERMESH_LISTEN": "8080"}, "PEERMESH_LISTEN: '8080' isn't host:port."),
        (IN_A_POD | {"PEERMESH_LISTEN": "0.0.0.0:0"}, "PEERMESH_LISTEN: '0.0.0.0:0' isn't host:port."),
        (IN_A_POD | {"PEERMESH_LISTEN": "0.0.0.0:http"}, "PEERMESH_LISTEN: '0.0.0.0:http' isn't host:port."),
    ],
)
def test_what_doesnt_go_together_is_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(HumanNeeded) as error:
        read_settings(environment)
    assert message in str(error.value)


def test_they_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LEAST.items():
        monkeypatch.setenv(name, value)
    assert "west" == settings_from_environment().scope.cluster


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("PEERMESH_MESH", "", "it isn't set. What it is: name of the mesh, as in `mesh/mesh.yaml`."),
        ("PEERMESH_CLUSTER", " ", "it isn't set. What it is: name of this cluster, as in `mesh/clusters/`."),
        ("PEERMESH_CLUSTER", "we/st", "'we/st' isn't a name of a-z, 0-9 and -"),
        ("PEERMESH_BROKER_URL", "", "it isn't set."),
        ("PEERMESH_BROKER_URL", "amqp://x:canary@h", "it doesn't start with redis://, rediss://, redis+socket://."),
        ("PEERMESH_GATEWAY_SELECTOR", "istio", "'istio' isn't key=value, separated by commas."),
        ("PEERMESH_GATEWAY_PORT", "https", "'https' isn't a port."),
        ("PEERMESH_GATEWAY_PORT", "70000", "'70000' isn't a port."),
        (
            "PEERMESH_HOST_TEMPLATE",
            "{service}.mesh",
            "'{service}.mesh' isn't a host with labels {service} and {namespace}",
        ),
        ("PEERMESH_HOST_TEMPLATE", "x{service}.{namespace}", "isn't a host with labels {service} and {namespace}"),
        ("PEERMESH_HOST_PATTERNS", "a.*.example.com", "'a.*.example.com' isn't a host, with or without `*.` in front."),
        ("PEERMESH_HEARTBEAT", "often", "'often' isn't a number of seconds."),
        ("PEERMESH_HEARTBEAT", "-1", "'-1' isn't a number of seconds."),
        ("PEERMESH_HEARTBEAT", "0", "'0' isn't a number of seconds."),
        ("PEERMESH_PROBE", "many", "'many' isn't a number from 0 to 1000."),
        ("PEERMESH_PROBE", "-1", "'-1' isn't a number from 0 to 1000."),
        ("PEERMESH_PROBE", "1001", "'1001' isn't a number from 0 to 1000."),
        ("PEERMESH_PROBE_PORT", "0", "'0' isn't a port."),
        ("PEERMESH_QUIET", "nan", "'nan' isn't a number of seconds."),
    ],
)
def test_a_value_that_cant_be_meant_is_named_with_its_variable(variable: str, value: str, message: str) -> None:
    with pytest.raises(HumanNeeded) as error:
        read_settings(LEAST | {variable: value})
    assert str(error.value).startswith(f"{variable}: ")
    assert message in str(error.value)
    assert "canary" not in str(error.value)


def test_settings_never_show_the_password_of_the_broker() -> None:
    settings = read_settings(LEAST)
    assert "canary" not in f"{settings} {settings!r} {settings.broker}"
    with pytest.raises(TypeError):
        pickle.dumps(settings.broker)


def test_every_setting_has_a_meaning_and_a_name_of_ours() -> None:
    assert len(SETTINGS) == len({setting.name for setting in SETTINGS})
    assert all(setting.meaning and setting.name.startswith("PEERMESH_") for setting in SETTINGS)


@pytest.mark.parametrize("setting", [one for one in SETTINGS if one.default], ids=lambda setting: setting.name)
def test_what_is_documented_as_a_default_is_one(setting: Setting) -> None:
    assert vars(read_settings(LEAST)) | {"broker": None} == vars(
        read_settings(LEAST | {setting.name: setting.default})
    ) | {"broker": None}
