"""A valid mesh in files, one key a line, so that faults have lines of their own."""

from __future__ import annotations

MESH = """\
apiVersion: peermesh.io/v1alpha1
kind: Mesh
metadata:
  name: acme
spec:
  rendering: 1
  hosts:
    template: "{service}.{namespace}.mesh.internal"
    virtualIPs:
    - 240.8.0.0/13
    additional:
    - pattern: "*.shop.example.com"
      namespace: bookinfo
  approval:
    automatic: [address]
    forge:
      type: git
  guard:
    atMost: 5
    share: 0.5
    from: 2
"""

WEST = """\
apiVersion: peermesh.io/v1alpha1
kind: Cluster
metadata:
  name: west
  labels:
    env: prod
spec:
  network: west
  trustDomain: west.acme.example
  locality: eu-west-1/eu-west-1a
  gateway:
    namespace: istio-eastwest
    selector:
      istio: eastwestgateway
    port: 15443
    addresses:
    - 203.0.113.10
  syncer:
    publicKeys:
    - ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
  mayExport:
  - bookinfo
"""

EAST = """\
apiVersion: peermesh.io/v1alpha1
kind: Cluster
metadata:
  name: east
spec:
  network: east
  trustDomain: east.acme.example
"""

WEST_FACTS = """\
apiVersion: peermesh.io/v1alpha1
kind: ClusterFacts
metadata:
  name: west
spec:
  gateway:
    addresses:
    - ip: "203.0.113.10"
      port: 15443
    clusterIP: "10.0.3.7"
  sources:
  - label
"""

EXPORT = """\
apiVersion: peermesh.io/v1alpha1
kind: Export
metadata:
  name: reviews
  namespace: bookinfo
  cluster: west
spec:
  source: label
  since: "2026-11-24T08:00:00Z"
  ports:
  - name: http
    number: 9080
    protocol: HTTP
    targetPort: 9080
  serviceAccounts:
  - bookinfo-reviews
  selector:
    app: reviews
  hosts:
  - reviews.shop.example.com
"""

HOST = """\
apiVersion: peermesh.io/v1alpha1
kind: Host
metadata:
  name: reviews
  namespace: bookinfo
spec:
  addresses:
    reviews.bookinfo.mesh.internal: "240.9.17.4"
    reviews.shop.example.com: "240.12.200.31"
  providers:
  - west
"""

MESH_PATH = "mesh/mesh.yaml"
WEST_PATH = "mesh/clusters/west.yaml"
EAST_PATH = "mesh/clusters/east.yaml"
WEST_FACTS_PATH = "facts/clusters/west.yaml"
EXPORT_PATH = "facts/exports/bookinfo/west/reviews.yaml"
HOST_PATH = "facts/hosts/bookinfo/reviews.yaml"

FILES = {
    MESH_PATH: MESH,
    WEST_PATH: WEST,
    EAST_PATH: EAST,
    WEST_FACTS_PATH: WEST_FACTS,
    EXPORT_PATH: EXPORT,
    HOST_PATH: HOST,
}


def with_files(changed: dict[str, bytes | str | None]) -> dict[str, bytes]:
    """The valid mesh with some files changed or added, by path; None: without the file."""
    merged = {**FILES, **changed}
    return {
        path: content.encode() if isinstance(content, str) else content
        for path, content in sorted(merged.items())
        if content is not None
    }
