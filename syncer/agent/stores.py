"""The agent's cluster: everything that it reads in a turn, and the three objects that it writes.

Knows paths of the API and raw objects. Decides nothing. What it writes it has read before: the API server refuses an
update of what somebody else changed meanwhile.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec

from syncer.agent.content import Content, Standing
from syncer.agent.kept import ENTRIES, Kept, entries_of, read_kept
from syncer.agent.names import (
    AGENT_NAMESPACE,
    CACERTS,
    COMMITTED,
    CRLS_CONFIG,
    ISTIOD_LABELS,
    OWN_SECRET,
    SELF_SIGNED,
    STATUS_KEY,
    STATUS_NAME,
)
from syncer.agent.sight import Shown, Sight
from syncer.cluster.connection import Connection, NotFound
from syncer.cluster.objects import ROOTS_CONFIG, Pod
from syncer.cluster.wire import Page
from syncer.protocol.cacerts import CRL, ROOTS
from syncer.protocol.certificates import Certificate, read_foreign_certificates
from syncer.protocol.errors import HumanNeeded, Rejected, Transient
from syncer.protocol.trust import ObservedAgent

Raw = dict[str, Any]
Ask = Callable[[Pod, Iterable[Certificate]], Shown]
"""What a replica of istiod shows; given the roots that are published."""
_MOST_ISTIODS: Final = 100
_AT_ONCE: Final = 16
"""Replicas that don't answer mustn't make a turn last minutes."""
_pods: Final = msgspec.json.Decoder(Page[Pod])


class Stores:
    """Reads, and writes what was read last. Every method raises as `Connection.call`."""

    def __init__(self, connection: Connection, *, istio_namespace: str, ask: Ask) -> None:
        self._connection = connection
        self._istio = istio_namespace
        self._ask = ask
        self._own: Raw = {}
        self._cacerts: Raw | None = None

    def kept(self) -> Kept:
        """What the agent has kept.

        Raises:
            HumanNeeded: it can't be read, or its Secret isn't there.
        """
        self._own = self._delivered(_secret(AGENT_NAMESPACE, OWN_SECRET))
        return read_kept(_decoded(self._own))

    def standing(self, mesh: str, cluster: str) -> Standing | None:
        """What stands in `cacerts`; None: there is none."""
        self._cacerts = self._get(_secret(self._istio, CACERTS))
        if self._cacerts is None:
            return None
        return Standing(content=Content(_decoded(self._cacerts)), mesh=mesh, cluster=cluster)

    def committed(self) -> Mapping[str, str] | None:
        """The entries of the ConfigMap that Git says; None: there is none."""
        return self._entries(AGENT_NAMESPACE, COMMITTED)

    def self_signed(self) -> Content | None:
        """Root and key that istiod made itself; None: it didn't.

        Raises:
            HumanNeeded: also if the right to read them, which agents don't have otherwise, isn't given.
        """
        try:
            raw = self._get(_secret(self._istio, SELF_SIGNED))
        except HumanNeeded as error:
            if error.reason != "Forbidden":
                raise
            what = "PEERMESH_ADOPT_SELF_SIGNED is yes, and it may not be read"
            remedy = "Give the agent the right to get it, as docs/trust.md says under Adoption."
            raise HumanNeeded("NoRight", what, subject=f"Secret {self._istio}/{SELF_SIGNED}", remedy=remedy) from error
        return Content(_decoded(raw)) if raw is not None else None

    def sight(self) -> Sight:
        """What istiod shows: each replica, and what their leader publishes."""
        query = {"labelSelector": ISTIOD_LABELS, "limit": str(_MOST_ISTIODS)}
        answer = self._connection.call("GET", f"/api/v1/namespaces/{self._istio}/pods", query=query)
        try:
            pods = _pods.decode(answer).items or ()
        except msgspec.MsgspecError as error:
            raise Transient("BadAnswer", f"a list of pods that can't be read: {error}", subject=self._istio) from error
        published = self._entries(self._istio, ROOTS_CONFIG) or {}
        revoked = self._entries(self._istio, CRLS_CONFIG) or {}
        reachable = [pod for pod in sorted(pods, key=lambda pod: pod.metadata.name) if pod.status.pod_ip]
        roots = _published(published.get(ROOTS, ""))
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="istiod") as pool:
            shown = tuple(pool.map(lambda pod: self._ask(pod, roots), reachable))
        return Sight(
            istiods=tuple(one.issuer for one in shown),
            own_root=tuple(one.issuer.pod for one in shown if one.own_root),
            roots=published.get(ROOTS),
            crl=revoked.get(CRL),
        )

    def keep(self, kept: Kept) -> None:
        """Write what shall be kept; entries of others in that Secret stay."""
        others = {name: value for name, value in _data(self._own).items() if name not in ENTRIES}
        put = {**self._own, "data": {**others, **_encoded(entries_of(kept))}}
        path = _secret(AGENT_NAMESPACE, OWN_SECRET)
        self._own = _object(self._connection.call("PUT", path, body=put), path)

    def install(self, content: Content) -> None:
        """Replace the data of `cacerts` in one update; make it where there was none. It is never deleted."""
        data = _encoded(content.data)
        if self._cacerts is None:
            metadata = {
                "name": CACERTS,
                "namespace": self._istio,
                "labels": {"app.kubernetes.io/managed-by": OWN_SECRET},
            }
            body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}
            self._connection.call("POST", f"/api/v1/namespaces/{self._istio}/secrets", body=body)
        else:
            self._connection.call("PUT", _secret(self._istio, CACERTS), body={**self._cacerts, "data": data})

    def tell(self, agent: ObservedAgent) -> None:
        """Say how things stand, if that is news."""
        path = f"/api/v1/namespaces/{AGENT_NAMESPACE}/configmaps/{STATUS_NAME}"
        raw = self._delivered(path)
        said = msgspec.json.encode(agent, order="deterministic").decode()
        if (raw.get("data") or {}).get(STATUS_KEY) != said:
            self._connection.call("PUT", path, body={**raw, "data": {STATUS_KEY: said}})

    def _entries(self, namespace: str, name: str) -> Mapping[str, str] | None:
        raw = self._get(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
        return None if raw is None else dict(raw.get("data") or {})

    def _delivered(self, path: str) -> Raw:
        raw = self._get(path)
        if raw is None:
            kind, name = path.rsplit("/", 2)[-2:]
            remedy = "Apply delivery/clusters/<cluster>/, which has an empty one."
            raise HumanNeeded("NoAgentObject", "it isn't there", subject=f"{kind} {name}", remedy=remedy)
        return raw

    def _get(self, path: str) -> Raw | None:
        try:
            return _object(self._connection.call("GET", path), path)
        except NotFound:
            return None


def _published(text: str) -> tuple[Certificate, ...]:
    try:
        return read_foreign_certificates(text, subject=ROOTS_CONFIG)
    except Rejected:
        return ()


def _object(answer: bytes, path: str) -> Raw:
    """What a proxy in between may say in place of an API server is no object. It isn't quoted."""
    try:
        return msgspec.json.decode(answer, type=Raw)
    except (msgspec.DecodeError, UnicodeError):
        raise Transient("BadAnswer", "an answer that isn't an object in JSON", subject=path) from None


def _secret(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets/{name}"


def _data(raw: Raw) -> Mapping[str, str]:
    return raw.get("data") or {}


def _decoded(raw: Raw) -> dict[str, bytes]:
    return {name: base64.b64decode(value) for name, value in _data(raw).items()}


def _encoded(data: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(value).decode() for name, value in sorted(data.items())}
