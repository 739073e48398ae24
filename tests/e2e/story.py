"""What the stories from a label to an applied object share: two clusters to tell them in, and a watch."""

from __future__ import annotations

import sys
import time

import pytest

from tests.e2e.bookinfo import NAMESPACE, bookinfo, gateway
from tests.e2e.kubernetes import Cluster, install_crds
from tests.e2e.site import GATEWAYS


def prepare(cluster: Cluster, ip: str) -> None:
    """Istio's kinds, an east-west gateway with an address, bookinfo."""
    install_crds(cluster)
    for namespace in (GATEWAYS, NAMESPACE):
        cluster.kubectl("create", "namespace", namespace)
    service, status = gateway(ip)
    cluster.apply(service, "-n", GATEWAYS)
    cluster.set_status(f"/api/v1/namespaces/{GATEWAYS}/services/istio-eastwestgateway", status)
    if cluster.name == "west":
        cluster.apply(bookinfo(), "-n", NAMESPACE)


class Legs:
    """What each part of the way took, printed at its end."""

    def __init__(self, how: str) -> None:
        self._how = how
        self._begun = self._last = time.monotonic()
        self._legs: list[str] = []

    def end(self, leg: str) -> None:
        now = time.monotonic()
        self._legs.append(f"{leg} {now - self._last:.2f} s")
        self._last = now

    def tell(self, capfd: pytest.CaptureFixture[str]) -> None:
        with capfd.disabled():
            total = self._last - self._begun
            sys.stderr.write(f"\nlabel to applied, {self._how}: {total:.2f} s: {', '.join(self._legs)}\n")
