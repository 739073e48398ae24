"""The syncer as pods: two replicas, and what they need beside their rights and settings. Pure."""

from __future__ import annotations

from importlib.metadata import version
from string import Template
from typing import Final

from syncer.rounds import Probing
from workers.cli.delivery.syncer_rights import KEY_SECRET, SYNCER, SYNCER_NAMESPACE

IMAGE: Final = f"ghcr.io/peermesh/peermesh:{version('peermesh')}"
"""One image for everything."""
PORT: Final = 8080
CA_FOLDER: Final = "/etc/peermesh/broker"
"""Where `ca.crt` of the Secret with the broker's URL is, if it has one."""

_PODS: Final = Template("""\
# The replica that holds this Lease publishes; the other one watches, and takes over.
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata:
  name: $name
  namespace: $namespace
  labels: {app.kubernetes.io/name: $name, app.kubernetes.io/part-of: peermesh}
---
# Empty: the syncer makes its key at the first start and keeps it here. To apply this again leaves it in place.
apiVersion: v1
kind: Secret
metadata:
  name: $key_secret
  namespace: $namespace
  labels: {app.kubernetes.io/name: $name, app.kubernetes.io/part-of: peermesh}
type: Opaque
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: $name
  namespace: $namespace
  labels: {app.kubernetes.io/name: $name, app.kubernetes.io/part-of: peermesh}
spec:
  replicas: 2
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
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {app.kubernetes.io/name: $name}
      containers:
        - name: syncer
          image: $image
          command: [peermesh, syncer]
          envFrom:
            - configMapRef: {name: $name}
          env:
            - name: PEERMESH_BROKER_URL
              valueFrom:
                secretKeyRef: {name: peermesh-broker, key: url}
            - name: PEERMESH_POD_NAMESPACE
              valueFrom:
                fieldRef: {fieldPath: metadata.namespace}
            - name: PEERMESH_POD_NAME
              valueFrom:
                fieldRef: {fieldPath: metadata.name}
          ports:
            - {name: http, containerPort: $port}
          livenessProbe:    # its loops run
            httpGet: {path: /healthz, port: http}
            timeoutSeconds: 5
            failureThreshold: 3
          readinessProbe:   # it has read the cluster once, and can tell whether it leads
            httpGet: {path: /readyz, port: http}
            timeoutSeconds: 5
          resources:        # of a cluster with 5,000 Services and 20,000 pods
            requests: {cpu: 50m, memory: 160Mi}
            limits: {memory: 384Mi}
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
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: $name
  namespace: $namespace
  labels: {app.kubernetes.io/name: $name, app.kubernetes.io/part-of: peermesh}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {app.kubernetes.io/name: $name}
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
    - ports:               # istiod and the sidecars of workloads, asked for their certificates and nothing else
        - {port: $istiod_port, protocol: TCP}
        - {port: $probe_port, protocol: TCP}
""")


def pod_manifests() -> bytes:
    """Lease, Secret of the key, Deployment, PodDisruptionBudget and NetworkPolicy, as YAML; the same everywhere."""
    return _PODS.substitute(
        name=SYNCER,
        namespace=SYNCER_NAMESPACE,
        key_secret=KEY_SECRET,
        image=IMAGE,
        port=PORT,
        ca_folder=CA_FOLDER,
        istiod_port=Probing.istiod_port,
        probe_port=Probing.port,
    ).encode()
