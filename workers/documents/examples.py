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
  trust:
    root: a
    canary: [west]
    soak: 2m
    intermediates: {lifetime: 90d, key: P-256, renewAt: 0.5}
    renewalRequests: approved
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
  trust:
    agent: {publicKeys: ["ed25519:O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik="]}
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
    "Root": """\
apiVersion: peermesh.io/v1alpha1
kind: Root
metadata:
  name: a
spec:
  certificate: "-----BEGIN CERTIFICATE-----\\nMIIBZzCCAQ6gAwIBAgICEAEwCgYIKoZIzj0EAwIwGzENMAsGA1UECgwEYWNtZTEK\\nMAgGA1UEAwwBYTAeFw0yNjExMjcxMTU1MDBaFw0zNjExMjQxMjAwMDBaMBsxDTAL\\nBgNVBAoMBGFjbWUxCjAIBgNVBAMMAWEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\\nAARoXOuxgyBHtQepFk7ew06lG2iQE1hwEVbG6mDM9BgcyVp5FeZH0kWdqGfQj3DA\\nthFku9zDViE03xRXKydY6oAro0IwQDAPBgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB\\n/wQEAwIBBjAdBgNVHQ4EFgQUqg49RL8UIw+z9AFRqOe8naUeFd4wCgYIKoZIzj0E\\nAwIDRwAwRAIgG3eY+9rwmXueH3EXEOjiUzfRDK7ppJa+4tp+V/90zcMCIGPv8YSX\\nHvAMGbDcDO431HpbC8GUwJ3rUMpWoDTPLOUb\\n-----END CERTIFICATE-----\\n"
  crl: "-----BEGIN X509 CRL-----\\nMIHSMHsCAQEwCgYIKoZIzj0EAwIwGzENMAsGA1UECgwEYWNtZTEKMAgGA1UEAwwB\\nYRcNMjYxMTI3MTE1NTAwWhcNMzUwMjEzMTIwMDAwWqAvMC0wHwYDVR0jBBgwFoAU\\nqg49RL8UIw+z9AFRqOe8naUeFd4wCgYDVR0UBAMCAQEwCgYIKoZIzj0EAwIDRwAw\\nRAIgQlSuIuP2Jk4JE530O7sIe4wdXmFCZac73v8d0zqNiMcCIHKejcbyWtItbkqr\\nw/NAex7zF/4CiiLeCf0qsHUHdvBs\\n-----END X509 CRL-----\\n"
""",  # noqa: E501  # PEM is one line in the robot's spelling
    "CertificateRequest": """\
apiVersion: peermesh.io/v1alpha1
kind: CertificateRequest
metadata:
  name: west
spec:
  rotation: 1
  reason: first
  root: a
  keyFingerprint: sha256:c654f6151c5e70c34e8b18c98bdd8d2742deb4a27fc934b7080382a3694703c2
  csr: "-----BEGIN CERTIFICATE REQUEST-----\\nMIHcMIGCAgEAMCAxDTALBgNVBAoMBGFjbWUxDzANBgNVBAMMBndlc3QtMTBZMBMG\\nByqGSM49AgEGCCqGSM49AwEHA0IABODcz4HvwL0fl2dR9mW/o/gX4BoMxWBeAg6C\\n3jgohxU84n17AVtpnSiXs8T4spmnW2zaORq8za+VqL5UGkNkc3SgADAKBggqhkjO\\nPQQDAgNJADBGAiEAzj0ljEuxXHDFzyyQpTPXu0Jdh05Zuqm3pnTbEOuCg8cCIQDA\\nl/MrWnLCg+qPk1E1JVR4NPfydu80kXgiLiioFqPZew==\\n-----END CERTIFICATE REQUEST-----\\n"
""",  # noqa: E501  # PEM is one line in the robot's spelling
    "Intermediate": """\
apiVersion: peermesh.io/v1alpha1
kind: Intermediate
metadata:
  name: west
spec:
  rotation: 1
  root: a
  certificate: "-----BEGIN CERTIFICATE-----\\nMIIBuDCCAV6gAwIBAgICEAQwCgYIKoZIzj0EAwIwGzENMAsGA1UECgwEYWNtZTEK\\nMAgGA1UEAwwBYTAeFw0yNjExMjcxMTU1MDBaFw0yNzAyMjUxMjAwMDBaMCAxDTAL\\nBgNVBAoMBGFjbWUxDzANBgNVBAMMBndlc3QtMTBZMBMGByqGSM49AgEGCCqGSM49\\nAwEHA0IABODcz4HvwL0fl2dR9mW/o/gX4BoMxWBeAg6C3jgohxU84n17AVtpnSiX\\ns8T4spmnW2zaORq8za+VqL5UGkNkc3SjgYwwgYkwHQYDVR0OBBYEFOXIW6eWyDGU\\naUMB9xm8MDjdrnQMMB8GA1UdIwQYMBaAFKoOPUS/FCMPs/QBUajnvJ2lHhXeMBIG\\nA1UdEwEB/wQIMAYBAf8CAQAwDgYDVR0PAQH/BAQDAgEGMCMGA1UdHgEB/wQZMBeg\\nFTAThhF3ZXN0LmFjbWUuZXhhbXBsZTAKBggqhkjOPQQDAgNIADBFAiA8zOG7f+V/\\nsfT4PD3BYe2I5IVh5QHlL+IXlolbkFyHwgIhAMqWOSHn0o/G9yTBzUwdR4+qdBxh\\nYk805hdIBYrEG3e9\\n-----END CERTIFICATE-----\\n"
""",  # noqa: E501  # PEM is one line in the robot's spelling
    "SealingCertificate": """\
apiVersion: peermesh.io/v1alpha1
kind: SealingCertificate
metadata:
  name: south
spec:
  certificate: "-----BEGIN CERTIFICATE-----\\nMIICqTCCAZGgAwIBAgIBBzANBgkqhkiG9w0BAQsFADAYMRYwFAYDVQQDDA1zZWFs\\nZWQtc2VjcmV0MB4XDTI2MTEyNzEyMDAwMFoXDTM2MTEyNDEyMDAwMFowGDEWMBQG\\nA1UEAwwNc2VhbGVkLXNlY3JldDCCASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoC\\nggEBAM+E0jEKreNr/tEtI2S3ZX5BfqyPA1jzWCV8dU3InK/Q3zOxQ2b9upqVvKVA\\n0gs/bmknN9ZWrhABjpBOYH1mGKGTudg+5ru2N4w4TYadlfan6yPBFuS+z4M9GoOW\\nEbbsObw+8S1L06xJ7F6cG7JQDfvP8bWAxig6Sd+gUfVFg9h3ihGKbhq0XMzzX4qf\\nsS9hQmA/xj6M7GoQe2tFBpX+m+qngTE+RtukcdVoFZSrCU9wTEeBrBIId92e+2ct\\n11Xg8G6mE/X5ybcc9gN+U15zxH4dL+jFjHxghf9In0gvFblsFGXUcfrvbvt/Z4XY\\na7+4oRUX/3IvBpXvJWcbtOPQT30CAwEAATANBgkqhkiG9w0BAQsFAAOCAQEAxhM5\\n0vPIIuqYJpOQ2/T8d3G7rY2rnDJRW6/+MBwP4WUXvcWuanGlTqK+oEGggN0K7EPe\\n+CDjLVxI1W98iLa3ognSbxbnMBA4zUx/o9yZ2EsJSwJQy92OtcA6BY3fc4zqwtfu\\nMAirn5XQwx3sw/FFhK6QNDjpokGzhINJNwB+LrcG37OlAEet/aI5qWW4JpmLkt9S\\nxlVPhw/bxhD08jBvOJ20mYkX5X/urNHup0dkfVew6IvYKE75aDJI0GsKmpZrM10E\\n2J1bdcAwTMtHg/MUDVZJ+KTKgwNTK6hJvBXM6S93Xqt31ukOThfKfxUHiQ2BfzFN\\neSKn74A1xO681WsiRw==\\n-----END CERTIFICATE-----\\n"
""",  # noqa: E501  # PEM is one line in the robot's spelling
    "Trust": """\
apiVersion: peermesh.io/v1alpha1
kind: Trust
metadata:
  name: acme
spec:
  clusters:
    east:
      bundle:
      - a
      signer: a
    west:
      bundle:
      - a
      - b
      signer: a
""",
}
