"""What a cluster needs once, and what its syncer is told: `delivery/clusters/<cluster>/`.

Pure: names in, files out.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, Final

from syncer import settings
from workers.documents.kinds import Cluster, Mesh
from workers.documents.paths import IMPORTS_NAMESPACE
from workers.documents.writing import dump

SYNCER_NAMESPACE: Final = "peermesh-system"
_LABELS: Final = {"app.kubernetes.io/part-of": "peermesh"}

_README: Final = """\
# Cluster {name}: what it needs once

Yours to edit; `peermesh cluster add` wrote it and doesn't come back.

| file | what it is |
|---|---|
| `namespaces.yaml` | `{imports}`, where everything that {name} imports is applied, and `{system}` for the syncer |
| `syncer.yaml` | the settings of the syncer, as its environment |

Apply both before the first sync of `clusters/{name}/`, which renders no namespace.

The syncer also needs `{broker}`, with the Redis user of this cluster alone.
That holds a password, so it belongs into a Secret and not here.
It makes its key at the first start and logs the public half:

```
peermesh cluster trust {name} KEY
```

A cluster that is described by a directory of manifests (a dump, an air-gapped site) needs no manifest at all:

```
{command}
```
"""


def syncer_files(mesh: Mesh, cluster: Cluster) -> Mapping[str, bytes]:
    """The files by path."""
    folder = f"delivery/clusters/{cluster.name}"
    environment = _environment(mesh, cluster)
    return {
        f"{folder}/README.md": _readme(cluster.name, environment).encode(),
        f"{folder}/namespaces.yaml": dump([_namespace(IMPORTS_NAMESPACE), _namespace(SYNCER_NAMESPACE)]),
        f"{folder}/syncer.yaml": dump([_config_map(environment)]),
    }


def _environment(mesh: Mesh, cluster: Cluster) -> dict[str, str]:
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
    return _README.format(
        name=name,
        imports=IMPORTS_NAMESPACE,
        system=SYNCER_NAMESPACE,
        broker=settings.BROKER.name,
        command=" \\\n  ".join(told),
    )


def _namespace(name: str) -> dict[str, Any]:
    # No pod of ours needs a sidecar, and nothing else belongs there.
    labels = {**_LABELS, "istio-injection": "disabled"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _config_map(environment: Mapping[str, str]) -> dict[str, Any]:
    metadata = {"name": "peermesh-syncer", "namespace": SYNCER_NAMESPACE, "labels": dict(_LABELS)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(environment)}
