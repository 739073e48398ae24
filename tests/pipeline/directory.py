"""A directory of manifests that stands for a cluster, and the edits that teams make in it.

Knows how a Service, its workload and a gateway are written down. Says what is exported in the words of a test.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple


class Export(NamedTuple):
    """What a service exports: its port, and the service account that answers."""

    port: int
    account: str


@dataclass(kw_only=True)
class Directory:
    """`exports`: by `namespace/service`, what the manifests export now."""

    path: Path
    exports: dict[str, Export] = field(default_factory=dict)

    def gateway(self, ip: str) -> None:
        """The east-west gateway has this address."""
        self._write("gateway.yaml", _GATEWAY.format(ip=ip))

    def put(self, key: str, *, port: int = 8080, account: str = "", exported: bool = True) -> None:
        """A service is deployed so; without `exported` its label is missing."""
        namespace, _, name = key.partition("/")
        account = account or name
        label = 'peermesh.io/export: "true"' if exported else "app: unlabelled"
        text = _SERVICE.format(name=name, namespace=namespace, label=label, port=port, account=account)
        self._write(f"{namespace}-{name}.yaml", text)
        self.exports.pop(key, None)
        if exported:
            self.exports[key] = Export(port, account)

    def remove(self, key: str) -> None:
        """The service is deleted."""
        (self.path / f"{key.replace('/', '-')}.yaml").unlink(missing_ok=True)
        self.exports.pop(key, None)

    def _write(self, name: str, text: str) -> None:
        """In one step, as editors and deployments do."""
        beside = self.path / f".{name}"  # hidden, so no manifest
        beside.write_text(text)
        beside.replace(self.path / name)


def directory(path: Path, ip: str) -> Directory:
    """A new one, with a gateway."""
    path.mkdir(parents=True)
    made = Directory(path=path)
    made.gateway(ip)
    return made


_GATEWAY = """\
apiVersion: v1
kind: Service
metadata: {{name: istio-eastwestgateway, namespace: istio-eastwest}}
spec:
  type: LoadBalancer
  clusterIP: 10.0.3.7
  selector: {{istio: eastwestgateway}}
  ports: [{{name: tls, port: 15443, targetPort: 15443}}]
status:
  loadBalancer: {{ingress: [{{ip: {ip}}}]}}
"""
_SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: {name}
  namespace: {namespace}
  creationTimestamp: "2026-01-20T08:00:00Z"
  labels: {{{label}}}
spec:
  selector: {{app: {name}}}
  ports: [{{name: http, port: {port}, targetPort: 8080}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      serviceAccountName: {account}
      containers: [{{name: main, image: "registry.example.com/{namespace}/{name}:1"}}]
"""
