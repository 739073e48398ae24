"""The CA agent as a pod, and the objects that it writes, empty. Pure."""

from __future__ import annotations

from string import Template
from typing import Final

from syncer.agent.names import AGENT, AGENT_NAMESPACE, OWN_SECRET, STATUS_NAME
from syncer.agent.settings import ISTIOD_PORT
from workers.cli.delivery.syncer_pods import CA_FOLDER, IMAGE, PORT

_PODS: Final = Template("""\
# Empty: the agent keeps its keys here, and what it is at. To apply this again leaves it in place.
apiVersion: v1
kind: Secret
metadata:
  name: $own_secret
  namespace: $namespace
  labels: {app.kubernetes.io/name: $name, app.kubernetes.io/part-of: peermesh}
type: Opaque
---
# Empty: the agent says here how it fares, and the syncer tells the mesh.
apiVersion: v1
kind: ConfigMap
metadata:
  name: $status
  namespace: $namespace
  labels: {app.kubernetes.io/name: $name, app.kubernetes.io/part-of: peermesh}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: $name
  namespace: $namespace
  labels: {app.kubernetes.io/name: $name, app.kubernetes.io/part-of: peermesh}
spec:
  replicas: 1              # a second one does no harm and no good
  strategy: {type: Recreate}
  selector:
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
      containers:
        - name: ca-agent
          image: $image
          command: [python, -m, syncer, ca-agent]
          envFrom:
            - configMapRef: {name: $name}
          env:
            - name: PEERMESH_BROKER_URL   # of the syncer: they share the queue of this cluster
              valueFrom:
                secretKeyRef: {name: peermesh-broker, key: url}
          ports:
            - {name: http, containerPort: $port}
          livenessProbe:    # its loop runs
            httpGet: {path: /healthz, port: http}
            timeoutSeconds: 5
            failureThreshold: 3
          readinessProbe:   # it has looked at everything once
            httpGet: {path: /readyz, port: http}
            timeoutSeconds: 5
          resources:
            requests: {cpu: 10m, memory: 96Mi}
            limits: {memory: 192Mi}
          securityContext:
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
---
# Ports and not addresses, which only you know. Add the port of your Redis if it is another one.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: $name
  namespace: $namespace
  labels: {app.kubernetes.io/name: $name, app.kubernetes.io/part-of: peermesh}
spec:
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
    - ports:               # istiod, asked what it signs with
        - {port: $istiod_port, protocol: TCP}
""")


def agent_pod_manifests() -> bytes:
    """Secret, ConfigMap of the status, Deployment and NetworkPolicy, as YAML; the same everywhere."""
    return _PODS.substitute(
        name=AGENT,
        namespace=AGENT_NAMESPACE,
        own_secret=OWN_SECRET,
        status=STATUS_NAME,
        image=IMAGE,
        port=PORT,
        ca_folder=CA_FOLDER,
        istiod_port=ISTIOD_PORT.default,
    ).encode()
