"""What Argo CD needs to apply the clusters' parts of the repository: `delivery/argocd/`.

Pure: names in, files out. Written for Argo CD 3.2 and newer (`retry.refresh`). One file for the mesh, one per cluster,
so that a cluster is added without an edit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from string import Template
from typing import Final

from syncer.protocol.trust import AGENT_NAMESPACE
from workers.cli.delivery.units import Unit, units_of
from workers.documents.kinds import Cluster, GatewaySettings
from workers.documents.paths import IMPORTS_NAMESPACE
from workers.render.cacerts import SECRET

_SETS_HEAD: Final = """\
# An Application for every file of mesh/clusters/ and each of its sync units, called peermesh-<cluster>-<unit>.
# Argo CD must know each cluster by its name in the mesh, and this repository by its URL: delivery/README.md.
"""
_SET: Final = Template("""\
---
apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata:
  name: peermesh-$unit
  namespace: argocd
  labels: {app.kubernetes.io/part-of: peermesh}
spec:
  goTemplate: true
  goTemplateOptions: [missingkey=error]
  generators:
    - git:
        repoURL: $url
        revision: main
        files: [{path: mesh/clusters/*.yaml}]
  # A repository that is empty or away for a moment deletes no Application, and an Application no object.
  syncPolicy:
    applicationsSync: create-update
    preserveResourcesOnDeletion: true
  # So that people can switch automated sync off for one cluster, and it stays off.
  ignoreApplicationDifferences:
    - jsonPointers: [/spec/syncPolicy/automated]
  template:
    metadata:
      name: peermesh-{{ .metadata.name }}-$unit
      labels: {app.kubernetes.io/part-of: peermesh}
    spec:
      project: peermesh-{{ .metadata.name }}-$unit
      source:
        repoURL: $url
        targetRevision: main
        path: clusters/{{ .metadata.name }}/$unit
        directory: {recurse: true}
      destination:
        name: "{{ .metadata.name }}"
        namespace: $namespace
      syncPolicy:
        # allowEmpty: the last export of a cluster can be withdrawn; what is too much at once, peermesh holds before.
        automated: {prune: true, selfHeal: true, allowEmpty: true}
        syncOptions: [ServerSideApply=true, FailOnSharedResource=true]
        # Never give up, and take the newest commit each time: else a mended one waits for the retries of the bad one.
        retry:
          limit: -1
          refresh: true
          backoff: {duration: 10s, factor: 2, maxDuration: 3m}
""")
_PROJECT: Final = Template("""\
---
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata:
  name: peermesh-$cluster-$unit
  namespace: argocd
  labels: {app.kubernetes.io/part-of: peermesh}
spec:
  description: $description
  sourceRepos: [$url]
  destinations:
    - {name: "$cluster", namespace: "$namespace"}
  clusterResourceWhitelist: []
  namespaceResourceWhitelist:
$kinds
""")
_PROJECT_HEAD: Final = """\
# What Argo CD may do for peermesh in cluster {name}, and nothing else: the kinds that are rendered, each in its one
# namespace. A stolen robot can't reach Secrets, workloads or roles, and neither can a merged mistake.
"""
_CORE: Final = '""'
"""The API group of ConfigMaps, as YAML."""
_NAMESPACES: Final[Mapping[str, str]] = {
    # A file that people wrote by hand may leave the gateway out, as the default.
    "gateway": f"""'{{{{ dig "gateway" "namespace" "{GatewaySettings().namespace}" .spec }}}}'""",
    "imports": IMPORTS_NAMESPACE,
    "ca": (
        f"""'{{{{ if eq (dig "trust" "delivery" "" .spec) "sealed-secrets" }}}}{SECRET[0]}"""
        f"""{{{{ else }}}}{AGENT_NAMESPACE}{{{{ end }}}}'"""
    ),
}


def argocd_files(cluster: Cluster, url: str) -> Mapping[str, bytes]:
    """The files by path, those of the mesh among them; `url`: where Argo CD fetches from."""
    units, repository = units_of(cluster), json.dumps(url)
    sets = [_SET.substitute(unit=unit.name, url=repository, namespace=_NAMESPACES[unit.name]) for unit in units]
    projects = [_project(cluster.name, unit, repository) for unit in units]
    return {
        "delivery/argocd/applicationsets.yaml": (_SETS_HEAD + "".join(sets)).encode(),
        f"delivery/argocd/projects/{cluster.name}.yaml": (
            _PROJECT_HEAD.format(name=cluster.name) + "".join(projects)
        ).encode(),
    }


def _project(cluster: str, unit: Unit, repository: str) -> str:
    return _PROJECT.substitute(
        cluster=cluster,
        unit=unit.name,
        url=repository,
        namespace=unit.namespace,
        description=json.dumps(f"peermesh: clusters/{cluster}/{unit.name}/"),
        kinds="\n".join(f"    - {{group: {unit.group or _CORE}, kind: {kind}}}" for kind in unit.kinds),
    )
