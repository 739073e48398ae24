"""What the pods of a cluster have in common, syncer and CA agent: how they run, who asks them, and whom they reach.

Pure. Each says of itself only what is its own; what both have stands here once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from string import Template
from typing import Final

IMAGE: Final = f"ghcr.io/peermesh/peermesh:{version('peermesh')}"
"""One image for everything."""
PORT: Final = 8080
CA_FOLDER: Final = "/etc/peermesh/broker"
"""Where `ca.crt` of the Secret with the broker's URL is, if it has one."""

_METADATA: Final = Template("""\
metadata:
  name: $called
  namespace: $namespace
  labels: {app.kubernetes.io/name: $name, app.kubernetes.io/part-of: peermesh}
""")
_DEPLOYMENT: Final = Template("""\
apiVersion: apps/v1
kind: Deployment
${metadata}spec:
$replicas  selector:
    matchLabels: {app.kubernetes.io/name: $name}
  template:
    metadata:
      labels: {app.kubernetes.io/name: $name, app.kubernetes.io/part-of: peermesh}
    spec:
      serviceAccountName: $name
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        seccompProfile: {type: RuntimeDefault}
$spread      containers:
        - name: $container
          image: $image
          command: [$command]
          envFrom:
            - configMapRef: {name: $name}
          env:
            - name: PEERMESH_BROKER_URL   # the syncer and the CA agent share the queue of their cluster
              valueFrom:
                secretKeyRef: {name: peermesh-broker, key: url}
$variables          ports:
            - {name: http, containerPort: $port}
          livenessProbe:    # its loops run
            httpGet: {path: /healthz, port: http}
            timeoutSeconds: 5
            failureThreshold: 3
          readinessProbe:   # $ready
            httpGet: {path: /readyz, port: http}
            timeoutSeconds: 5
          resources:
$resources          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          volumeMounts:
            - {name: broker, mountPath: $ca_folder, readOnly: true}
      volumes:
        - name: broker
          secret:
            secretName: peermesh-broker
            optional: true
            items:
              - {key: ca.crt, path: ca.crt}
""")
_NETWORK: Final = Template("""\
# Ports and not addresses, which only you know. Add the port of your Redis if it is another one.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
${metadata}spec:
  podSelector:
    matchLabels: {app.kubernetes.io/name: $name}
  policyTypes: [Ingress, Egress]
  ingress:
    - ports:               # probes and Prometheus
        - {port: $port, protocol: TCP}
  egress:
    - ports:               # DNS
        - {port: 53, protocol: UDP}
        - {port: 53, protocol: TCP}
    - ports:               # the API server, as pods call it and as it listens
        - {port: 443, protocol: TCP}
        - {port: 6443, protocol: TCP}
    - ports:               # Redis, without and with TLS
        - {port: 6379, protocol: TCP}
        - {port: 6380, protocol: TCP}
    - ports:               # $whom
$ports""")


@dataclass(frozen=True, kw_only=True)
class EdgePod:
    """What one of them says of itself. `name`: of everything that it has; `ready`: what its readiness means.

    `replicas`, `spread`, `variables` and `resources` are lines of YAML with their indentation, each ended, of the
    Deployment's spec, of the pod's, of the container's `env` and `resources`; `spread` and `variables` may be empty.
    `asks`: whom it reaches beside DNS, the API server and Redis, and at which ports.
    """

    name: str
    namespace: str
    container: str
    command: tuple[str, ...]
    replicas: str
    ready: str
    resources: str
    asks: tuple[str, tuple[int | str, ...]]
    spread: str = ""
    variables: str = ""

    def metadata(self, called: str = "") -> str:
        """The metadata of an object that it has; `called` as it is itself, unless said otherwise."""
        return _METADATA.substitute(called=called or self.name, namespace=self.namespace, name=self.name)

    def empty_secret(self, called: str, why: str) -> str:
        """A Secret that is there to be filled; `why`: what for, a sentence."""
        comment = f"# Empty: {why} To apply this again leaves it in place.\n"
        return f"{comment}apiVersion: v1\nkind: Secret\n{self.metadata(called)}type: Opaque\n"

    def deployment(self) -> str:
        """The Deployment, as YAML."""
        return _DEPLOYMENT.substitute(
            metadata=self.metadata(),
            name=self.name,
            container=self.container,
            command=", ".join(self.command),
            replicas=self.replicas,
            ready=self.ready,
            resources=self.resources,
            spread=self.spread,
            variables=self.variables,
            image=IMAGE,
            port=PORT,
            ca_folder=CA_FOLDER,
        )

    def network_policy(self) -> str:
        """Who may call it, and whom it may, as YAML."""
        whom, ports = self.asks
        lines = "".join(f"        - {{port: {port}, protocol: TCP}}\n" for port in ports)
        return _NETWORK.substitute(metadata=self.metadata(), name=self.name, port=PORT, whom=whom, ports=lines)


def documents(texts: Iterable[str]) -> bytes:
    """Objects as one file."""
    return "---\n".join(texts).encode()
