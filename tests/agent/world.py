"""A cluster in memory with an agent in it: objects with versions, an istiod behind a kubelet, a border that keeps.

Knows how an API server answers and how istiod takes or refuses files. Time is a number that tests move. Any call may be
made to fail, before it takes effect or after.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, cast

import msgspec

from syncer.agent.content import Content, Standing
from syncer.agent.decide import Terms
from syncer.agent.kept import Kept, read_kept
from syncer.agent.names import AGENT_NAMESPACE, CACERTS, COMMITTED, OWN_SECRET, STATUS_NAME
from syncer.agent.run import Agent, Post
from syncer.agent.settings import Settings
from syncer.agent.sight import Shown
from syncer.agent.stores import Stores
from syncer.cluster.connection import Conflict, Connection, NotFound
from syncer.cluster.objects import ROOTS_CONFIG, Pod
from syncer.keys import key_of_secret
from syncer.protocol.cacerts import cacerts_faults
from syncer.protocol.certificates import fingerprint, read_foreign_certificates, write_certificates
from syncer.protocol.errors import Transient
from syncer.protocol.message import parse_arguments
from syncer.protocol.request import SIGN_REQUEST_PURPOSE, SignRequest, read_csr, unpack
from syncer.protocol.secret import Secret
from syncer.protocol.signature import verify
from syncer.protocol.trust import ObservedAgent, ObservedIssuer
from syncer.settings import Api
from tests.pki.authority import NOW, Authority, Mesh, key_pem
from workers.pki.issue import issue

ISTIO = "istio-system"
PERIOD = timedelta(seconds=60)
"""Of the kubelet."""
TERMS = Terms(mesh="acme", cluster="west", trust_domain="west.acme.example")


NOTHING: Mapping[str, str] = MappingProxyType({})


def secret(name: str, namespace: str = ISTIO) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets/{name}"


def config_map(name: str, namespace: str = ISTIO) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps/{name}"


OWN = secret(OWN_SECRET, AGENT_NAMESPACE)
STATUS = config_map(STATUS_NAME, AGENT_NAMESPACE)
COMMIT = config_map(COMMITTED, AGENT_NAMESPACE)


class Died(BaseException):
    """The process is gone, in the middle of something."""


class ApiServer:
    """Objects by path. `fault` is called before and after each write, with its number, and may raise."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.away = False
        self.writes: list[str] = []
        self.fault: Callable[[int, bool], None] = lambda _number, _done: None
        self.changed: Callable[[str, dict[str, Any]], None] = lambda _path, _object: None
        self._versions = itertools.count(1)

    def put(self, path: str, data: Mapping[str, Any] = NOTHING, /, *, kind: str = "Opaque") -> None:
        """As somebody with all rights."""
        self._store(path, {"metadata": {"name": path.rsplit("/", 1)[1]}, "type": kind, "data": _values(path, data)})

    def call(self, method: str, path: str, *, query: Any = None, body: Any = None) -> bytes:
        """As `Connection.call`."""
        assert query is None or path.endswith("/pods")
        if self.away:
            raise Transient("ApiAway", "the API server doesn't answer", subject="https://api")
        if method == "GET":
            if path not in self.objects:
                raise NotFound("NotFound", f"GET {path}: 404")
            return json.dumps(self.objects[path]).encode()
        target = f"{path}/{body['metadata']['name']}" if method == "POST" else path
        number = len(self.writes)
        self.fault(number, False)
        before = self.objects.get(target)
        if (method == "POST") != (before is None):
            raise Conflict("Conflict", f"{method} {path}: 409") if before else NotFound("NotFound", f"{path}: 404")
        if before is not None and body["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
            raise Conflict("Conflict", f"PUT {path}: 409 the object has been modified")
        if before is not None:
            assert before.get("type") == body.get("type"), "it can't be changed"
        self.writes.append(target)
        stored = self._store(target, body)
        self.fault(number, True)
        return json.dumps(stored).encode()

    def data(self, path: str) -> dict[str, bytes]:
        """The entries of a Secret."""
        return {name: base64.b64decode(value) for name, value in (self.objects[path].get("data") or {}).items()}

    def _store(self, path: str, obj: Mapping[str, Any]) -> dict[str, Any]:
        stored = json.loads(json.dumps(obj))
        stored["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[path] = stored
        self.changed(path, stored)
        return cast("dict[str, Any]", stored)


def _values(path: str, data: Mapping[str, str | bytes]) -> dict[str, str]:
    if "/configmaps/" in path:
        return {name: str(value) for name, value in data.items()}
    raw = {name: value.encode() if isinstance(value, str) else value for name, value in data.items()}
    return {name: base64.b64encode(value).decode() for name, value in raw.items()}


@dataclass
class Istiod:
    """What one replica signs with. `refuses`: what it doesn't take although it could; it never takes what is wrong.
    `own_root`: it made its root itself, and reads no `cacerts` before it is started again.
    """

    name: str = "istiod-1"
    content: Content | None = None
    refuses: Callable[[Content], bool] = lambda _content: False
    away: bool = False
    own_root: bool = False
    history: list[tuple[datetime, Content]] = field(default_factory=list)

    def look(self, now: datetime) -> None:
        """It reads what the kubelet has brought by now, every version once and in order."""
        while self.history and self.history[0][0] <= now - PERIOD:
            _, mounted = self.history.pop(0)
            if not self.own_root and not self.refuses(mounted) and _fits(mounted, self.content):
                self.content = mounted

    def says(self) -> ObservedIssuer:
        standing = self.content and Standing(content=self.content, mesh="acme", cluster="west")
        if self.away or not standing or not standing.signer:
            return ObservedIssuer(pod=self.name, error="no connection: Connection refused")
        return ObservedIssuer(pod=self.name, issuer=fingerprint(standing.signer))


def _fits(new: Content, old: Content | None) -> bool:
    """As istiod checks: the chain leads to a root, and the bundle has something to do with the one before."""
    files = new.cacerts
    td = "west.acme.example"
    when = read_foreign_certificates(files.certificate, subject="")[0].not_valid_before_utc + timedelta(minutes=6)
    if any(fault.rule in {"NoPath", "WrongKey"} for fault in cacerts_faults(files, trust_domain=td, now=when)):
        return False
    return old is None or bool(_roots(new) & _roots(old))


def _roots(content: Content) -> set[str]:
    return {fingerprint(one) for one in read_foreign_certificates(content.cacerts.roots, subject="")}


class World:
    """A mesh `acme` and its cluster `west`. Nothing is in `cacerts` unless it is put there."""

    def __init__(self, *, installed: int = 0, adopt: bool = False) -> None:
        self.mesh = Mesh()
        self.now = NOW
        self.api = ApiServer()
        self.istiods = [Istiod()]
        self.sent: list[SignRequest] = []
        self.broker_away = False
        self.adopt = adopt
        self.signed: dict[int, Authority] = {}
        self.api.put(OWN)
        self.api.put(STATUS)
        self.api.changed = self._changed
        self._list_pods()
        if installed:
            one = self.mesh.intermediate("west", installed)
            self.signed[installed] = one
            self.install(one, "a")
            self.commit(installed)

    # --- people and Git

    def install(self, authority: Authority, *roots: str, kind: str = "Opaque", **more: str) -> None:
        """As somebody who writes `cacerts` by hand; istiod starts with it."""
        texts = authority.cacerts(*map(self.mesh.root, roots))
        if kind == "Opaque":
            files = {"ca-cert.pem": texts.certificate, "cert-chain.pem": texts.chain, "root-cert.pem": texts.roots}
            files["ca-key.pem"] = key_pem(authority.key)
        else:
            files = {"tls.crt": texts.chain, "tls.key": key_pem(authority.key), "ca.crt": texts.roots}
        self.api.put(secret(CACERTS), {**files, **more}, kind=kind)
        self.restart_istiod()

    def restart_istiod(self) -> None:
        for istiod in self.istiods:
            istiod.history.clear()
            if self.cacerts is not None or not istiod.own_root:
                istiod.content, istiod.own_root = self.cacerts, False
        self._publish()

    def commit(
        self,
        rotation: int = 0,
        files: Mapping[str, str] = NOTHING,
        /,
        roots: tuple[str, ...] = ("a",),
        lever: int = 0,
        **more: str,
    ) -> None:
        """What `peermesh` renders for a cluster with this rotation, and Flux applies."""
        data = {
            "mesh": "acme", "cluster": "west", "trustDomain": "west.acme.example",
            "root-cert.pem": write_certificates(self.mesh.root(root).certificate for root in roots) + lever * "\n",
            "rotation": str(rotation), "wanted": str(rotation), "reason": "renewal", "root": roots[-1],
            "keyType": "P-256",
        }  # fmt: skip
        if rotation:
            one = self.signed[rotation]
            data |= {"ca-cert.pem": one.pem, "cert-chain.pem": one.chain}
            half = one.certificate.not_valid_before_utc + timedelta(days=45)
            data["renewAfter"] = f"{half:%Y-%m-%dT%H:%M:%SZ}"
        self.api.put(COMMIT, {**data, **files, **more})

    def sign(self, *, root: str = "a", request: SignRequest | None = None) -> int:
        """As the signer does with the last request; returns its rotation."""
        asked = request or self.sent[-1]
        issuer = self.mesh.root(root)
        made = issue(
            self.mesh.template("west", asked.rotation),
            read_csr(asked.csr, subject="west").public_key(),
            issuer.certificate,
            issuer.key,
            now=self.now,
            serial=self.mesh.serial(),
        )
        pending = self.kept.pending
        key = issuer.key  # nobody else has the key of the cluster; tests only show the certificate
        assert pending is not None
        self.signed[asked.rotation] = Authority(certificate=made, key=key)
        return asked.rotation

    def certified(self) -> int:
        """The rotation of the last request, signed once."""
        rotation = self.sent[-1].rotation
        return rotation if rotation in self.signed else self.sign()

    # --- the agent

    def agent(self, post: Post | None = None) -> Agent:
        """A process that has just started. `post`: what sends for it."""
        settings = Settings(
            terms=TERMS, broker=Secret("redis://x"), api=Api(), listen=None, istio_namespace=ISTIO, istiod_port=15012,
            look=10, adopt=self.adopt,
        )  # fmt: skip
        connection = cast("Connection", self.api)
        stores = Stores(connection, istio_namespace=ISTIO, ask=self._ask)
        key = partial(key_of_secret, connection, namespace=AGENT_NAMESPACE, name=OWN_SECRET)
        return Agent(settings, stores, key, post or self._post, clock=lambda: self.now)

    def run(self, agent: Agent, seconds: float = 300, every: float = 10) -> None:
        """Turns of an agent while time passes."""
        for _ in range(int(seconds / every)):
            agent.turn()
            self.tick(every)
        agent.turn()

    def tick(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        for istiod in self.istiods:
            istiod.look(self.now)
        self._publish()

    @contextmanager
    def dying(self, number: int, *, done: bool):
        """Inside, the process dies at this write, before or after it takes effect."""

        def fault(at: int, after: bool) -> None:
            if (at, after) == (first + number, done):
                raise Died

        first = len(self.api.writes)
        self.api.fault = fault
        try:
            yield
        except Died:
            pass
        finally:
            self.api.fault = lambda _number, _done: None

    # --- what there is

    @property
    def cacerts(self) -> Content | None:
        return Content(self.api.data(secret(CACERTS))) if secret(CACERTS) in self.api.objects else None

    @property
    def standing(self) -> Standing:
        assert self.cacerts is not None
        return Standing(content=self.cacerts, mesh="acme", cluster="west")

    @property
    def kept(self) -> Kept:
        return read_kept(self.api.data(OWN))

    @property
    def signing_key(self) -> str:
        """The public half of what it signs its requests with."""
        return key_of_secret(cast("Connection", self.api), namespace=AGENT_NAMESPACE, name=OWN_SECRET).public

    @property
    def status(self) -> ObservedAgent:
        return msgspec.json.decode(self.api.objects[STATUS]["data"]["status"], type=ObservedAgent)

    @property
    def signs(self) -> list[str]:
        """The certificate that each istiod signs with."""
        return [istiod.says().issuer for istiod in self.istiods]

    def certificate(self, rotation: int) -> str:
        return fingerprint(self.signed[rotation].certificate)

    # --- inside

    def _post(self, args: tuple[str, str, str]) -> None:
        if self.broker_away:
            raise Transient("BrokerAway", "the broker didn't take it", subject="west")
        cluster, packed, signature = parse_arguments(args)
        verify([self.signing_key], SIGN_REQUEST_PURPOSE, "acme", cluster, packed, signature)
        self.sent.append(unpack(packed))

    def _ask(self, pod: Pod, _published: object) -> Shown:
        istiod = next(istiod for istiod in self.istiods if istiod.name == pod.metadata.name)
        return Shown(issuer=istiod.says(), own_root=istiod.own_root)

    def _list_pods(self) -> None:
        pods = [
            {"metadata": {"name": istiod.name, "namespace": ISTIO}, "status": {"podIP": "10.0.0.1"}}
            for istiod in self.istiods
        ]
        self.api.objects[f"/api/v1/namespaces/{ISTIO}/pods"] = {"metadata": {}, "items": pods}

    def replicas(self, *names: str) -> None:
        """Istiod has these, all with what is mounted now."""
        self.istiods = [Istiod(name=name, content=self.cacerts) for name in names]
        self._list_pods()

    def _changed(self, path: str, _obj: dict[str, Any]) -> None:
        if path == secret(CACERTS) and self.cacerts is not None:
            for istiod in self.istiods:
                istiod.history.append((self.now, self.cacerts))

    def _publish(self) -> None:
        """As the leader does with what it has taken."""
        taken = self.istiods[0].content if self.istiods else None
        if taken is not None and not self.istiods[0].away:
            path = config_map(ROOTS_CONFIG)
            data = {"root-cert.pem": taken.cacerts.roots}
            if (self.api.objects.get(path) or {}).get("data") != data:
                self.api.put(path, data)
