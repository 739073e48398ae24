"""What Flux needs to apply one cluster's part of the repository: `delivery/flux/<cluster>/`.

Pure: names in, files out. Written for Flux 2.6 and newer (`sparseCheckout`, `deletionPolicy`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from string import Template
from typing import Final

from workers.cli.delivery.units import Unit, units_of
from workers.documents.kinds import Cluster

_SOURCE: Final = Template("""\
# Where Flux in cluster $cluster fetches from: this repository, of which only clusters/$cluster/ comes into the cluster.
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata:
  name: peermesh-$cluster
  namespace: flux-system
  labels: {app.kubernetes.io/part-of: peermesh}
spec:
  url: $url
  ref: {branch: main}
  secretRef: {name: peermesh-git}   # may read, no more; take the line out if everybody may read the repository
  interval: 1m                      # a Receiver brings it down to seconds: delivery/README.md
  timeout: 1m
  sparseCheckout: [clusters/$cluster]
  # In place of Flux's own list, which leaves out cloudbuild.yaml: a namespace or a service may be called so.
  ignore: |
    /*
    !/clusters
""")
_UNIT: Final = Template("""\
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata:
  name: peermesh-$cluster-$unit
  namespace: flux-system
  labels: {app.kubernetes.io/part-of: peermesh}
spec:
  sourceRef: {kind: GitRepository, name: peermesh-$cluster}
  path: ./clusters/$cluster/$unit
  prune: true
  wait: true
  deletionPolicy: Orphan            # what is applied outlives this object
  serviceAccountName: peermesh-applier-$unit
  interval: 10m
  retryInterval: 1m
  timeout: 2m
""")
_UNITS_HEAD: Final = """\
# Each folder by itself: Flux refuses a whole unit when one object of it is refused, and the others go on.
"""
_APPLIER_HEAD: Final = """\
# What Flux may do for peermesh here, and nothing else: the kinds that are rendered, each in its one namespace.
# A stolen robot can't reach Secrets, workloads or roles, and neither can a merged mistake.
"""
_APPLIER: Final = Template("""\
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: peermesh-applier-$unit
  namespace: flux-system
  labels: {app.kubernetes.io/part-of: peermesh}
automountServiceAccountToken: false   # no pod runs as it; Flux acts for it
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: peermesh-applier-$unit
  namespace: "$namespace"
  labels: {app.kubernetes.io/part-of: peermesh}
rules:
$rules
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: peermesh-applier-$unit
  namespace: "$namespace"
  labels: {app.kubernetes.io/part-of: peermesh}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: peermesh-applier-$unit}
subjects:
  - {kind: ServiceAccount, name: peermesh-applier-$unit, namespace: flux-system}
""")


def flux_files(cluster: Cluster, url: str) -> Mapping[str, bytes]:
    """The files by path; `url`: where Flux fetches from."""
    folder, units = f"delivery/flux/{cluster.name}", units_of(cluster)
    source = _SOURCE.substitute(cluster=cluster.name, url=json.dumps(url))
    kustomizations = [_UNIT.substitute(cluster=cluster.name, unit=unit.name) for unit in units]
    return {
        f"{folder}/applier.yaml": (_APPLIER_HEAD + "".join(map(_applier, units))).encode(),
        f"{folder}/source.yaml": source.encode(),
        f"{folder}/units.yaml": (_UNITS_HEAD + "".join(kustomizations)).encode(),
    }


def _applier(unit: Unit) -> str:
    rules = _ONE if unit.only else _ANY
    return _APPLIER.substitute(
        unit=unit.name,
        namespace=unit.namespace,
        rules=rules.substitute(
            group=unit.group or '""', resources=", ".join(unit.resources), name=json.dumps(unit.only)
        ),
    )


_ANY: Final = Template("""\
  - apiGroups: [$group]
    resources: [$resources]
    verbs: [get, create, patch, delete]""")
_ONE: Final = Template("""\
  # RBAC can't limit `create` by name. Deleted it is never: istiod would sign with a root of its own.
  - {apiGroups: [$group], resources: [$resources], verbs: [create]}
  - {apiGroups: [$group], resources: [$resources], resourceNames: [$name], verbs: [get, patch]}""")
