"""Real API servers on one etcd, without nodes: each cluster is one kube-apiserver with a prefix of its own.

Knows how they are started, reached, killed and started again. There is no controller: a namespace that is deleted stays
`Terminating`, service accounts are made by hand, and no pod runs. Everything listens on loopback.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import urllib3
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tests.e2e import build

_READY_SECONDS = 180


class Certificates:
    """A throw-away CA in a folder, and what it signs: `<name>.crt`, `<name>.key`; the CA itself is `ca.crt`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("test CA")
        self.ca = self._write("ca", self._key, self._sign(self._name, self._key, ca=True, names=()))

    def issue(self, name: str, *, group: str = "", names: Sequence[str] = ("localhost", "127.0.0.1")) -> Path:
        """A certificate for a server on loopback or, by its common name and group, for a Kubernetes user."""
        key = ec.generate_private_key(ec.SECP256R1())
        return self._write(name, key, self._sign(_name(name, group), key, ca=False, names=names))

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool, names: Sequence[str]
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + dt.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), False)
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Path:
        (self.folder / f"{name}.key").write_bytes(_private(key))
        path = self.folder / f"{name}.crt"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path


class Process:
    """A server in a session of its own, its output in a file."""

    def __init__(self, name: str, arguments: Sequence[str | Path], folder: Path, **environment: str) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(argument) for argument in arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self, look: Callable[[], bool]) -> None:
        """Return when `look` says so; fail with the end of the log if the process ends or takes too long."""
        deadline = time.monotonic() + _READY_SECONDS
        while not look():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.name} isn't ready:\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)

    def send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def end(self, number: int = signal.SIGKILL) -> None:
        """End it, and return when it is gone."""
        self.send(number)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self._process.wait()


class Cluster:
    """An API server, and an administrator's way to it. `context` of `kubeconfig` is the cluster's name."""

    def __init__(self, name: str, folder: Path, etcd: str) -> None:
        self.name = name
        self.folder = folder
        self.port = free_port()
        self.server = f"https://127.0.0.1:{self.port}"
        certificates = Certificates(folder)
        self.ca = certificates.ca
        certificates.issue("apiserver", names=("localhost", "127.0.0.1", "kubernetes.default.svc"))
        certificates.issue("admin", group="system:masters", names=())
        service_accounts = rsa.generate_private_key(65537, 2048)
        (folder / "sa.key").write_bytes(_private(service_accounts))
        (folder / "sa.pub").write_bytes(
            service_accounts.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        admin = {"client-certificate": str(folder / "admin.crt"), "client-key": str(folder / "admin.key")}
        self.kubeconfig = self.write_kubeconfig("admin", admin)
        self._etcd = etcd
        self._process: Process | None = None
        self._admin = urllib3.PoolManager(
            ca_certs=str(self.ca),
            cert_file=str(folder / "admin.crt"),
            key_file=str(folder / "admin.key"),
            retries=False,
        )

    def start(self) -> None:
        folder = self.folder
        arguments = (
            build.build("kube-apiserver"),
            f"--etcd-servers={self._etcd}",
            f"--etcd-prefix=/{self.name}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.0.0.0/16",
            "--authorization-mode=RBAC",
            "--anonymous-auth=false",
            f"--client-ca-file={self.ca}",
            f"--tls-cert-file={folder / 'apiserver.crt'}",
            f"--tls-private-key-file={folder / 'apiserver.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder / 'sa.pub'}",
            f"--service-account-signing-key-file={folder / 'sa.key'}",
            "--disable-admission-plugins=ServiceAccount",
            "--profiling=false",
            "--enable-priority-and-fairness=false",
        )
        self._process = Process(f"apiserver-{self.name}", arguments, folder)
        self._process.wait_ready(lambda: self._status("/readyz") == 200)

    def kill(self) -> None:
        """As a crash: what is in etcd survives. (On SIGTERM it would wait for open watches.)"""
        if self._process is not None:
            self._process.end()

    def freeze(self) -> None:
        assert self._process
        self._process.send(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process
        self._process.send(signal.SIGCONT)

    def request(
        self, method: str, path: str, body: Any = None, *, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        """One call as administrator: status, and the decoded answer."""
        answer = self._admin.request(
            method,
            self.server + path,
            body=None if body is None else json.dumps(body),
            headers={"Content-Type": content_type},
            timeout=60,
        )
        try:
            return answer.status, json.loads(answer.data)
        except ValueError:
            return answer.status, answer.data.decode(errors="replace")

    def kubectl(self, *arguments: str, stdin: str | bytes | None = None, check: bool = True) -> str:
        """What kubectl prints, as administrator."""
        done = subprocess.run(
            [build.build("kubectl"), "--kubeconfig", self.kubeconfig, *arguments],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            check=False,
            timeout=120,
            env={**os.environ, "HOME": str(self.folder)},
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr.decode()}")
        return (done.stdout if check else done.stdout + done.stderr).decode()

    def apply(self, manifests: str | bytes | Path, *options: str) -> None:
        """`kubectl apply --server-side` of a text of manifests, a file or a folder."""
        if isinstance(manifests, Path):
            self.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(manifests), *options)
        else:
            self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", *options, stdin=manifests)

    def set_status(self, path: str, status: Any) -> None:
        """Merge a status, as a controller would: `path` as `/api/v1/namespaces/n/services/s`."""
        code, answer = self.request(
            "PATCH", f"{path}/status", {"status": status}, content_type="application/merge-patch+json"
        )
        assert code == 200, answer

    def service_account(self, namespace: str, name: str) -> str:
        """A token of a service account that exists."""
        return self.kubectl("-n", namespace, "create", "token", name, "--duration=2h").strip()

    def write_kubeconfig(self, name: str, user: dict[str, str]) -> Path:
        """A kubeconfig file for a user (`{"token": …}`); its only context is called like the cluster."""
        cluster = {"server": self.server, "certificate-authority": str(self.ca)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": self.name, "cluster": cluster}],
            # Files are used together, too, and then the first user of a name counts.
            "users": [{"name": f"{self.name}-{name}", "user": user}],
            "contexts": [{"name": self.name, "context": {"cluster": self.name, "user": f"{self.name}-{name}"}}],
            "current-context": self.name,
        }
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    def _status(self, path: str) -> int:
        try:
            return self._admin.request("GET", self.server + path, timeout=5).status
        except urllib3.exceptions.HTTPError:
            return 0


@contextmanager
def clusters(folder: Path, *names: str) -> Iterator[list[Cluster]]:
    """One etcd and an API server for each name, ready; gone at the end of the block."""
    with ExitStack() as stack:
        etcd = stack.enter_context(_etcd(folder))
        made = []
        for name in names:
            (folder / name).mkdir()
            cluster = Cluster(name, folder / name, etcd)
            stack.callback(cluster.kill)
            cluster.start()
            made.append(cluster)
        yield made


def install_crds(cluster: Cluster, *, service_export: str | None = "v1beta1") -> None:
    """Istio's kinds, and the ServiceExport that serves `v1beta1` (and v1alpha1), only `v1alpha1`, or None."""
    cluster.apply(build.module_folder("crds", "istio.io/api") / "kubernetes" / "customresourcedefinitions.gen.yaml")
    if service_export:
        cluster.apply(service_export_crd(service_export))
    wait_for_crds(cluster)


def wait_for_crds(cluster: Cluster) -> None:
    """Return when every kind that was added is served. (`kubectl wait` fails on one that has no status yet, and for a
    moment after Established its storage still answers 429.)
    """
    _, listed = cluster.request("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    specs = [item["spec"] for item in listed["items"]]
    waiting = [
        f"/apis/{spec['group']}/{next(v['name'] for v in spec['versions'] if v['served'])}/{spec['names']['plural']}"
        for spec in specs
    ]
    deadline = time.monotonic() + _READY_SECONDS
    while waiting := [path for path in waiting if cluster.request("GET", f"{path}?limit=1")[0] != 200]:
        assert time.monotonic() < deadline, f"{cluster.name} doesn't serve {waiting}"
        time.sleep(0.05)


def service_export_crd(version: str = "v1beta1") -> Path:
    """The CRD of the Multicluster Services API."""
    module = build.module_folder("crds" if version == "v1beta1" else "crds-old", "sigs.k8s.io/mcs-api")
    return module / "config" / "crd" / "multicluster.x-k8s.io_serviceexports.yaml"


def free_port() -> int:
    """A port that was free a moment ago; servers that can't say which one they took get it so."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def _etcd(folder: Path) -> Iterator[str]:
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    arguments = (
        build.build("etcd"),
        f"--data-dir={folder / 'etcd'}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--log-level=warn",
    )
    process = Process("etcd", arguments, folder)
    try:
        process.wait_ready(lambda: _answers(f"{client}/health"))
        yield client
    finally:
        process.end()


def _answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, timeout=5, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def _name(common: str, group: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _private(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
