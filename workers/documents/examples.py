"""A document of each kind, as `docs/formats.md` shows it and tests read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EXAMPLES: Final[Mapping[str, str]] = {
    "Mesh": """\
apiVersion: peermesh.io/v1alpha1
kind: Mesh
metadata: {name: acme}
spec:
  rendering: 1
  hosts:
    template: "{service}.{namespace}.mesh.internal"
    virtualIPs: [240.8.0.0/13]
    additional: [{pattern: "*.shop.example.com", namespace: shop}]
  approval:
    automatic: [address, follow-up]
    forge: {type: git}
  guard: {atMost: 5, share: 0.5, from: 2}
""",
    "Cluster": """\
apiVersion: peermesh.io/v1alpha1
kind: Cluster
metadata: {name: west, labels: {env: prod}}
spec:
  network: west
  trustDomain: west.acme.example
  locality: eu-west-1/eu-west-1a
  gateway: {namespace: istio-eastwest, selector: {istio: eastwestgateway}, port: 15443, addresses: []}
  syncer: {publicKeys: ["ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="]}
  mayExport: [bookinfo, "shop-*"]
""",
    "ClusterFacts": """\
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
  - serviceexport
""",
    "Export": """\
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
  consumers:
  - east
  - "env=prod"
""",
    "Host": """\
apiVersion: peermesh.io/v1alpha1
kind: Host
metadata:
  name: reviews
  namespace: bookinfo
spec:
  addresses:
    reviews.bookinfo.mesh.internal: "240.9.17.4"
  providers:
  - west
  - east
""",
}
