"""The syncer as pods: two replicas, and what they need beside their rights and settings. Pure."""

from __future__ import annotations

from typing import Final

from syncer.rounds import Probing
from workers.cli.delivery.edge_pods import EdgePod, documents
from workers.cli.delivery.syncer_rights import KEY_SECRET, SYNCER, SYNCER_NAMESPACE

_POD: Final = EdgePod(
    name=SYNCER,
    namespace=SYNCER_NAMESPACE,
    container="syncer",
    command=("peermesh", "syncer"),
    replicas="  replicas: 2\n",
    spread=f"""\
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{app.kubernetes.io/name: {SYNCER}}}
""",
    variables="""\
            - name: PEERMESH_POD_NAMESPACE
              valueFrom:
                fieldRef: {fieldPath: metadata.namespace}
            - name: PEERMESH_POD_NAME
              valueFrom:
                fieldRef: {fieldPath: metadata.name}
""",
    ready="it has read the cluster once, and can tell whether it leads",
    resources="""\
            # of a cluster with 5,000 Services and 20,000 pods
            requests: {cpu: 50m, memory: 160Mi}
            limits: {memory: 384Mi}
""",
    asks=(
        "istiod and the sidecars of workloads, asked for their certificates and nothing else",
        (Probing.istiod_port, Probing.port),
    ),
)
_LEASE: Final = f"""\
# The replica that holds this Lease publishes; the other one watches, and takes over.
apiVersion: coordination.k8s.io/v1
kind: Lease
{_POD.metadata()}"""
_BUDGET: Final = f"""\
apiVersion: policy/v1
kind: PodDisruptionBudget
{_POD.metadata()}spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{app.kubernetes.io/name: {SYNCER}}}
"""


def pod_manifests() -> bytes:
    """Lease, Secret of the key, Deployment, PodDisruptionBudget and NetworkPolicy, as YAML; the same everywhere."""
    secret = _POD.empty_secret(KEY_SECRET, "the syncer makes its key at the first start and keeps it here.")
    return documents((_LEASE, secret, _POD.deployment(), _BUDGET, _POD.network_policy()))
