"""The network of the meshes: a fabric with a bridge for each cluster, and pods, each a network namespace of its own.

Nothing of it has a name or listens outside: a namespace lives as long as this process or one started in it, so that
nothing is left to remove. Knows addresses and routes, and nothing of what runs there.
"""

from __future__ import annotations

import ctypes
import http.client
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

REPLICAS = 2
"""Of istiod, that a cluster has addresses for."""
_CLONE_NEWNET = 0x40000000  # <linux/sched.h>; Python has unshare and setns from 3.12 on
_LIBC = ctypes.CDLL(None, use_errno=True)


class UnfitMachineError(Exception):
    """This machine can't hold the meshes; the text says what it lacks."""


class Namespace:
    """A network namespace without a name, its loopback up."""

    def __init__(self) -> None:
        before = _own()
        _call("unshare", _CLONE_NEWNET)
        try:
            self._file = _own()
        finally:
            _call("setns", before, _CLONE_NEWNET)
            os.close(before)
        self.path = f"/proc/{os.getpid()}/fd/{self._file}"
        with self.inside():
            _ip("link set lo up")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """What this thread opens and starts in the block, it opens and starts there; other threads aren't moved."""
        before = _own()
        try:
            _call("setns", self._file, _CLONE_NEWNET)
            yield
        finally:
            _call("setns", before, _CLONE_NEWNET)
            os.close(before)

    def socket(self) -> socket.socket:
        """A TCP socket of this namespace, for whatever thread."""
        with self.inside():
            return socket.socket()

    def get(self, address: str, port: int, path: str) -> tuple[int, bytes]:
        """One plain HTTP request from here; 0 if nobody answers."""
        # Not urllib3: its pools would keep a connection of one namespace for another.
        connection = http.client.HTTPConnection(address, port, timeout=10)
        try:
            with self.inside():
                connection.connect()
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def close(self) -> None:
        os.close(self._file)


class Fabric(Namespace):
    """What lies between clusters: everything of a control plane listens here, on its cluster's bridge.

    Cluster n has 10.(90+n).0.0/16: `.0.1` is its control plane, `.0.2` that of a second istiod, `.1.x` are pods,
    `.255.x` gateways; from another cluster only gateways are reached.
    """

    def __init__(self, clusters: int) -> None:
        _require()
        super().__init__()
        numbers = range(1, clusters + 1)
        with self.inside():
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
            for number in numbers:
                _ip(
                    f"link add br{number} type bridge",
                    *(f"address add {control_plane(number, replica)}/16 dev br{number}" for replica in range(REPLICAS)),
                    f"link set br{number} up",
                )
            _run("iptables-restore", stdin="\n".join(_forwarding(numbers)))
        self._pods: list[Namespace] = []

    def pod(self, number: int, address: str) -> Namespace:
        """A new namespace at an address of the cluster with this number."""
        pod = Namespace()
        self._pods.append(pod)
        link = f"v{number}-{len(self._pods)}"
        with self.inside():
            _ip(
                f"link add {link} type veth peer name eth0 netns {pod.path}",
                f"link set {link} master br{number}",
                f"link set {link} up",
            )
        with pod.inside():
            # Istio's rules would cover IPv6, too, of which nothing here has an address.
            Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
            _ip(
                f"address add {address}/16 dev eth0",
                "link set eth0 up",
                f"route add default via {control_plane(number)}",
            )
        return pod

    def close(self) -> None:
        for pod in self._pods:
            pod.close()
        super().close()


def control_plane(number: int, replica: int = 0) -> str:
    """Where this replica of istiod listens; the first has everything else of a control plane beside it."""
    return f"10.{90 + number}.0.{1 + replica}"


def workload(number: int, index: int) -> str:
    return f"10.{90 + number}.1.{index}"


def gateway(number: int) -> str:
    return f"10.{90 + number}.255.1"


def _forwarding(numbers: Sequence[int]) -> Iterator[str]:
    yield from ("*filter", ":FORWARD DROP [0:0]", "-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT")
    for number in numbers:
        yield f"-A FORWARD -i br{number} -o br{number} -j ACCEPT"
        yield f"-A FORWARD -d 10.{90 + number}.255.0/24 -j ACCEPT"
    yield from ("COMMIT", "")


def _require() -> None:
    missing = [name for name in ("ip", "iptables-restore") if shutil.which(name) is None]
    if missing:
        raise UnfitMachineError(f"no {', '.join(missing)} in PATH: install iproute2 and iptables")
    if os.geteuid():
        raise UnfitMachineError("network namespaces need root: run these tests as root")


def _own() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _call(name: str, *arguments: int) -> None:
    if getattr(_LIBC, name)(*arguments):
        number = ctypes.get_errno()
        raise UnfitMachineError(
            f"{name} of a network namespace: {os.strerror(number)}; it needs the capabilities SYS_ADMIN and NET_ADMIN"
        )


def _ip(*commands: str) -> None:
    _run("ip", "-batch", "-", stdin="".join(f"{command}\n" for command in commands))


def _run(*command: str, stdin: str) -> None:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise UnfitMachineError(
            f"{' '.join(command)}: {done.stderr}(veth, bridge, conntrack and nat must be in the kernel)\n{stdin}"
        )
