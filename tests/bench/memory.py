"""How much memory a syncer takes in a large cluster: a real process, a real API server full of objects.

The baseline is a process that lists the same with the official client, and holds them as dicts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import urllib3

from tests.bench.figures import Figures
from tests.bench.report import Row
from tests.bench.world import World, making, say
from tests.e2e import build
from tests.e2e.kubernetes import Cluster, Process, clusters, free_port, install_crds

_BUDGET: Final = 150.0
_NEEDED: Final = ("etcd", "kube-apiserver", "kubectl")
_NAMESPACES: Final = 50
_SECONDS: Final = 600.0
_BASELINE: Final = """
import json, sys
from pathlib import Path
from kubernetes import client, config
config.load_kube_config(sys.argv[1])
core = client.CoreV1Api()
names = ("service", "pod")
lists = [getattr(core, f"list_{name}_for_all_namespaces") for name in names]
held = [json.loads(one(_preload_content=False).data)["items"] for one in lists]
status = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


@dataclass(frozen=True, kw_only=True)
class _Load:
    """What fills the cluster; pods are spread over all Services."""

    services: int
    pods: int
    exported: int

    def __str__(self) -> str:
        return f"{self.services:,} Services, {self.pods:,} pods, {self.exported:,} exported"


def rows(world: World) -> Iterator[Row]:
    """MiB; nothing where the servers aren't built or memory can't be looked at."""
    missing = [name for name in _NEEDED if not build.path(name).exists()]
    if missing or not Path("/proc/self/status").exists():
        why = (
            f"{', '.join(missing)} not built: `python -m tests.e2e.build {' '.join(missing)}`"
            if missing
            else "no /proc"
        )
        say(f"  left out ({why})")
        return
    load = (
        _Load(services=200, pods=800, exported=20) if world.quick else _Load(services=5000, pods=20_000, exported=500)
    )
    folder = world.folder / "memory"
    folder.mkdir()
    with clusters(folder, "large") as (cluster,):
        install_crds(cluster)
        with making(f"a cluster of {load}"):
            _fill(cluster, load)
        with _syncer(cluster, folder) as syncer:
            with making("a syncer reads it all"):
                syncer.wait(f"observed {load.exported} exports")
            first = syncer.peak()
            with making("the API server starts again, so that everything is listed again; then a Service changes"):
                cluster.kill()
                cluster.start()
                cluster.kubectl("-n", "n0", "label", "service", "s0", "peermesh.io/export-")
                syncer.wait(f"observed {load.exported - 1} exports")
            again = syncer.peak()
        with making("the official client lists it"):
            arguments = [sys.executable, "-c", _BASELINE, str(cluster.kubeconfig)]
            done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=_SECONDS)
    beside = Figures(values=(int(done.stdout) / 1024,), unit="MiB")
    baseline = "official client, the same lists as dicts"
    for what, peak in ((f"syncer, {load}: peak memory", first), ("the same after everything was listed again", again)):
        measured = Figures(values=(peak,), unit="MiB")
        yield Row(what=what, measured=measured, budget=_BUDGET, baseline=baseline, beside=beside)


class _Syncer:
    """A running process, and what it logged."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def wait(self, text: str) -> None:
        """Until it has logged that."""
        deadline = time.monotonic() + _SECONDS
        while text not in (log := self._process.log.read_text()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"it never said {text!r}: {log[-2000:]}")
            time.sleep(0.1)

    def peak(self) -> float:
        """MiB, since it started."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


@contextmanager
def _syncer(cluster: Cluster, folder: Path) -> Iterator[_Syncer]:
    """Its broker is away, which costs it a wait now and then and nothing else."""
    environment = {
        "PEERMESH_MESH": "acme",
        "PEERMESH_CLUSTER": cluster.name,
        "PEERMESH_BROKER_URL": f"redis://127.0.0.1:{free_port()}",
        "PEERMESH_KUBECONFIG": str(cluster.kubeconfig),
        "PEERMESH_KEY_FILE": str(folder / "syncer.key"),
    }
    process = Process("syncer", (sys.executable, "-m", "syncer"), folder, **environment)
    try:
        yield _Syncer(process)
    finally:
        process.end()


def _fill(cluster: Cluster, load: _Load) -> None:
    admin = urllib3.PoolManager(
        ca_certs=str(cluster.ca),
        cert_file=str(cluster.folder / "admin.crt"),
        key_file=str(cluster.folder / "admin.key"),
        maxsize=8,
        retries=urllib3.Retry(5, status_forcelist=(429, 500, 503), allowed_methods=None, backoff_factor=0.2),
    )

    def post(path: str, item: Mapping[str, Any]) -> None:
        body = json.dumps(item).encode()
        answer = admin.request("POST", cluster.server + path, body=body, headers={"Content-Type": "application/json"})
        if answer.status != 201:
            raise RuntimeError(f"POST {path}: {answer.status} {answer.data[:500]!r}")

    for number in range(_NAMESPACES):
        post("/api/v1/namespaces", {"metadata": {"name": f"n{number}"}})
    with ThreadPoolExecutor(8) as pool:
        services = pool.map(lambda n: post(_place("services", n), _service(n, load)), range(load.services))
        pods = pool.map(lambda n: post(_place("pods", n % load.services), _pod(n, load)), range(load.pods))
        for _ in (*services, *pods):
            pass


def _place(plural: str, service: int) -> str:
    return f"/api/v1/namespaces/n{service % _NAMESPACES}/{plural}"


def _service(number: int, load: _Load) -> dict[str, Any]:
    exported = {"peermesh.io/export": "true"} if number < load.exported else {}
    name = f"s{number}"
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": f"{name}-1.2.3"}
    ports = [{"name": "http", "port": 8080, "targetPort": "http"}, {"name": "metrics", "port": 9090}]
    return {
        "metadata": {
            "name": name,
            "labels": labels | exported,
            "annotations": {"meta.helm.sh/release-name": name, "note": "x" * 500},
        },
        "spec": {"selector": {"app.kubernetes.io/name": name}, "ports": ports},
    }


def _pod(number: int, load: _Load) -> dict[str, Any]:
    """Of about the size of one with a sidecar."""
    service = number % load.services
    variables = [{"name": f"SETTING_{n}", "value": "v" * 40} for n in range(30)]
    container = {
        "image": f"registry.example.com/team/s{service}@sha256:{'0' * 64}",
        "env": variables,
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
    }
    return {
        "metadata": {
            "name": f"s{service}-6d4b75cb6d-{number:05}",
            "labels": {"app.kubernetes.io/name": f"s{service}", "pod-template-hash": "6d4b75cb6d", "version": "v1"},
            "annotations": {"sidecar.istio.io/status": "x" * 1500, "checksum/config": f"{number:064}"},
        },
        "spec": {
            "serviceAccountName": f"s{service}",
            "containers": [
                {**container, "name": "main", "ports": [{"name": "http", "containerPort": 8080}]},
                {**container, "name": "istio-proxy", "ports": [{"name": "http-envoy-prom", "containerPort": 15090}]},
            ],
        },
    }
