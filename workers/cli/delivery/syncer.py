"""What a cluster needs once, and its syncer: `delivery/clusters/<cluster>/`, and `deploy/syncer/`, which has the same.

Pure: names in, files out.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from string import Template
from typing import Any, Final

from syncer import settings
from syncer.rounds import Probing
from workers.cli.delivery.edge_pods import CA_FOLDER, PORT
from workers.cli.delivery.syncer_pods import pod_manifests
from workers.cli.delivery.syncer_rights import KEY_SECRET, LABELS, SYNCER, SYNCER_NAMESPACE, rights_manifests
from workers.documents.kinds import Cluster, Mesh
from workers.documents.paths import IMPORTS_NAMESPACE
from workers.documents.writing import dump

_PART_OF: Final = {"app.kubernetes.io/part-of": "peermesh"}
_IN_A_POD: Final = {
    settings.KEY_SECRET.name: KEY_SECRET,
    settings.LEASE.name: SYNCER,
    settings.LISTEN.name: f"0.0.0.0:{PORT}",
}
"""The settings of every syncer that runs in its cluster."""

_README: Final = Template("""\
# Cluster $name: what it needs once

Yours to edit; `peermesh cluster add` wrote it and doesn't come back.

| file | what it is |
|---|---|
| `namespaces.yaml` | `$imports`, where everything that $name imports is applied, and `$system` for the syncer |
| `rights.yaml` | what the syncer may do: list and watch what it reads, one Lease, the one Secret of its key |
| `settings.yaml` | what the syncer is told, as its environment |
| `syncer.yaml` | the syncer: two replicas, one of which publishes |

`clusters/$name/` renders no namespace, so do this before its first sync.
`kubectl` stands for one that reaches cluster $name.

1. Give it the way to Redis, with the user of this cluster alone.
   The URL holds a password, so it comes from a file and goes into a Secret, never into Git.

   ```
   kubectl apply -f delivery/clusters/$name/namespaces.yaml
   kubectl -n $system create secret generic peermesh-broker --from-file=url=FILE
   ```

   It shows `secret/peermesh-broker created`.
   The URL is `redis://USER:PASSWORD@HOST:6379/0`.
   With TLS and a CA of your own add `--from-file=ca.crt=FILE` and take
   `rediss://USER:PASSWORD@HOST:6380/0?ssl_ca_certs=$ca`.

2. Start the syncer.

   ```
   kubectl apply -f delivery/clusters/$name/
   kubectl -n $system rollout status deployment/$syncer
   ```

   It shows `deployment "$syncer" successfully rolled out`: both replicas have read the cluster once.
   If it waits, `kubectl -n $system logs -l app.kubernetes.io/name=$syncer` says what for.

3. Let the mesh trust its key, which it made and logs.

   ```
   kubectl -n $system logs -l app.kubernetes.io/name=$syncer --tail=-1 | grep signs
   peermesh cluster trust $name KEY
   ```

   Both replicas show the same `ed25519:…`.
   When that is on main, `peermesh status` shows what $name exports.

A changed setting counts after `kubectl -n $system rollout restart deployment/$syncer`, a changed URL of Redis, too.
Where Istio's control plane isn't in `istio-system`, change `rights.yaml`, and set $istio_namespace in `settings.yaml`.
The syncer asks workloads which roots they trust: every few minutes it begins a TLS handshake with some of them.
A namespace whose NetworkPolicy keeps it out must let in port $probe_port of its pods from namespace `$system`;
so must the annotation `traffic.sidecar.istio.io/includeInboundPorts` where pods have one.
For a new key `kubectl -n $system delete secret $key_secret`, apply `syncer.yaml`, restart, and let the mesh trust it.

A cluster that is described by a directory of manifests (a dump, an air-gapped site) needs no manifest at all:

```
$command
```
""")
_KUSTOMIZATION: Final = """\
# The syncer of one cluster. Say in an overlay which one it is: README.md.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
"""


def syncer_files(mesh: Mesh, cluster: Cluster) -> Mapping[str, bytes]:
    """The files by path."""
    folder = f"delivery/clusters/{cluster.name}"
    environment = syncer_environment(mesh, cluster)
    files = {"README.md": _readme(cluster.name, environment).encode(), **_manifests(environment)}
    return {f"{folder}/{name}": data for name, data in files.items()}


def syncer_base() -> Mapping[str, bytes]:
    """The same manifests for a cluster that isn't known yet, as a base of Kustomize: by the name of the file."""
    files = _manifests({})
    return files | {"kustomization.yaml": (_KUSTOMIZATION + "".join(f"  - {name}\n" for name in files)).encode()}


def _manifests(environment: Mapping[str, str]) -> dict[str, bytes]:
    return {
        "namespaces.yaml": dump([_namespace(IMPORTS_NAMESPACE), _namespace(SYNCER_NAMESPACE, **_RESTRICTED)]),
        "rights.yaml": rights_manifests(),
        "settings.yaml": dump([_config_map({**environment, **_IN_A_POD})]),
        "syncer.yaml": pod_manifests(),
    }


def syncer_environment(mesh: Mesh, cluster: Cluster) -> dict[str, str]:
    """What the mesh repository says to the syncer of a cluster: all but where the cluster and the broker are."""
    gateway, hosts = cluster.spec.gateway, mesh.spec.hosts
    return {
        settings.MESH.name: mesh.metadata.name,
        settings.CLUSTER.name: cluster.name,
        settings.GATEWAY_NAMESPACE.name: gateway.namespace,
        settings.GATEWAY_SELECTOR.name: ",".join(f"{key}={value}" for key, value in sorted(gateway.selector.items())),
        settings.GATEWAY_PORT.name: str(gateway.port),
        settings.HOST_TEMPLATE.name: hosts.template,
        settings.HOST_PATTERNS.name: ",".join(entry.pattern for entry in hosts.additional),
    }


def _readme(name: str, environment: Mapping[str, str]) -> str:
    defaults = {setting.name: setting.default for setting in settings.SETTINGS}
    told = [f"{key}={shlex.quote(value)}" for key, value in environment.items() if value != defaults[key]]
    told += [f"{settings.DIRECTORY.name}=manifests/", f"{settings.BROKER.name}=redis://…", "peermesh syncer"]
    return _README.substitute(
        name=name,
        imports=IMPORTS_NAMESPACE,
        system=SYNCER_NAMESPACE,
        syncer=SYNCER,
        key_secret=KEY_SECRET,
        ca=f"{CA_FOLDER}/ca.crt",
        istio_namespace=settings.ISTIO_NAMESPACE.name,
        probe_port=Probing.port,
        command=" \\\n  ".join(told),
    )


_RESTRICTED: Final = {"pod-security.kubernetes.io/enforce": "restricted"}


def _namespace(name: str, **labels: str) -> dict[str, Any]:
    # No pod of ours needs a sidecar, and nothing else belongs there.
    labels = {**_PART_OF, "istio-injection": "disabled", **labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _config_map(environment: Mapping[str, str]) -> dict[str, Any]:
    metadata = {"name": SYNCER, "namespace": SYNCER_NAMESPACE, "labels": dict(LABELS)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(environment)}
