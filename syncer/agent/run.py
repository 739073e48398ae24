"""A running agent: looks, decides, does one thing, and looks again, until there is nothing to do.

Only wires: what is done is `decide`'s. What goes wrong is said and tried again at the next turn; nothing ends the agent
but being told to.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from msgspec.structs import replace as replaced

from syncer.agent import metrics
from syncer.agent.asking import new_pending, request_of, signed_request
from syncer.agent.committed import Committed, read_committed
from syncer.agent.decide import Action, Install, Keep, MakeKey, Send, Sent, View, decide
from syncer.agent.istiod import asked
from syncer.agent.kept import Kept, Pending
from syncer.agent.names import AGENT_NAMESPACE, COMMITTED, OWN_SECRET
from syncer.agent.settings import Settings
from syncer.agent.stores import Stores
from syncer.cluster.connection import Conflict, Connection
from syncer.health import TURN_SECONDS, Health, serving
from syncer.keys import key_of_secret
from syncer.protocol.errors import PeermeshError, Rejected
from syncer.protocol.message import SIGN_REQUEST
from syncer.protocol.signature import SigningKey
from syncer.protocol.trust import ObservedAgent
from syncer.publish import pause, send

log = logging.getLogger("peermesh.agent")

_STEPS: Final = 12
"""Actions in one turn, at most: no way has half as many, but another agent may be in the way of each."""

Clock = Callable[[], datetime]
Post = Callable[[tuple[str, str, str]], None]
"""Sends the arguments of a request. Raises as `syncer.publish.send`."""


def run(settings: Settings, *, stop: threading.Event) -> None:
    """Follow what is committed until `stop` is set.

    Raises:
        HumanNeeded: it can't start (API server, address).
    """
    connection = Connection(kubeconfig=settings.api.kubeconfig, context=settings.api.context)
    health = Health()
    ask = partial(asked, istio_namespace=settings.istio_namespace, port=settings.istiod_port)
    stores = Stores(connection, istio_namespace=settings.istio_namespace, ask=ask)
    key = partial(key_of_secret, connection, namespace=AGENT_NAMESPACE, name=OWN_SECRET)
    agent = Agent(settings, stores, key, lambda args: send(settings.broker, args, task=SIGN_REQUEST))
    with serving(settings.listen, health, metrics.REGISTRY):
        log.info(
            "CA agent of mesh %s, cluster %s, at %s", settings.terms.mesh, settings.terms.cluster, connection.server
        )
        while not stop.is_set():
            health.turn()
            agent.turn()
            health.waiting = agent.waiting
            _wait(stop, settings.look, health)
    log.info("CA agent of cluster %s stopped", settings.terms.cluster)


def _wait(stop: threading.Event, seconds: float, health: Health) -> None:
    while seconds > 0 and not stop.wait(min(seconds, TURN_SECONDS)):
        health.turn()
        seconds -= TURN_SECONDS


class Agent:
    """One agent. `waiting`: why it hasn't looked at everything yet; empty: it has."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        signing_key: Callable[[], SigningKey],
        post: Post,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> None:
        self._terms = settings.terms
        self._adopt = settings.adopt
        self._stores = stores
        self._signing_key = signing_key
        self._post = post
        self._clock = clock
        self._key: SigningKey | None = None
        self._agent = ObservedAgent()
        self._sent: Sent | None = None
        self._tries = 0
        self._said = ""
        self.waiting = "it hasn't looked yet"

    def turn(self) -> None:
        """Do what can be done now; what can't is said, and tried again at the next turn."""
        try:
            trouble = self._worked()
            self.waiting = ""
            metrics.LAST_TURN.set_to_current_time()
        except PeermeshError as error:
            trouble = str(error)
            self.waiting = self.waiting and trouble
        metrics.TROUBLED.set(bool(trouble))
        try:
            self._stores.tell(replaced(self._agent, trouble=trouble))
        except Conflict:
            pass  # another agent told; the next turn looks again
        except PeermeshError as error:
            trouble = trouble or str(error)
        self._say(trouble)

    def _worked(self) -> str:
        """Look and act until there is nothing to do; what is in the way."""
        if self._key is None:
            self._key = self._signing_key()
            log.info(
                "signs with %s: `peermesh ca manage %s --agent-key KEY` lets the mesh trust it",
                self._key.public,
                self._terms.cluster,
            )
        trouble = ""
        for _ in range(_STEPS):
            view, now = self._view(), self._clock()
            decision = decide(view, self._terms, now)
            self._agent, trouble = decision.agent, decision.agent.trouble
            _measure(view, decision.agent)
            if decision.action is None:
                break
            try:
                self._act(decision.action, view, self._key, now)
            except Conflict:
                continue  # somebody else wrote, perhaps another agent: look again
        return trouble

    def _view(self) -> View:
        """Its own Secret comes first: whatever another agent writes after that makes a write of ours fail."""
        kept = self._stores.kept()
        standing = self._stores.standing(self._terms.mesh, self._terms.cluster)
        committed, unreadable = self._committed()
        return View(
            committed=committed,
            standing=standing,
            kept=kept,
            sight=self._stores.sight(),
            unreadable=unreadable,
            self_signed=self._stores.self_signed() if self._adopt and standing is None else None,
            sent=self._sent,
        )

    def _committed(self) -> tuple[Committed | None, str]:
        data = self._stores.committed()
        if data is None:
            return None, f"ConfigMap {AGENT_NAMESPACE}/{COMMITTED} isn't there. Flux or Argo CD applies it from Git."
        try:
            return read_committed(data), ""
        except Rejected as error:
            return None, str(error)

    def _act(self, action: Action, view: View, key: SigningKey, now: datetime) -> None:
        match action:
            case MakeKey(kept=kept, rotation=rotation, key_type=key_type):
                self._stores.keep(replace(kept, pending=self._pending(rotation, key_type, now)))
                log.info("made the key of rotation %d", rotation)
            case Install(content=content):
                self._stores.install(content)
                metrics.INSTALLED.inc()
                log.info("wrote cacerts")
            case Send(kept=kept, reason=reason):
                self._stores.keep(kept)
                self._send(kept, reason, view.standing.content.key if view.standing else b"", key, now)
            case Keep(kept=kept, restored=restored):
                self._stores.keep(kept)
                metrics.RESTORED.inc(restored)

    def _pending(self, rotation: int, key_type: str, now: datetime) -> Pending:
        terms = self._terms
        return new_pending(mesh=terms.mesh, cluster=terms.cluster, rotation=rotation, key_type=key_type, now=now)

    def _send(self, kept: Kept, reason: str, current: bytes, key: SigningKey, now: datetime) -> None:
        """Push the request; if the broker doesn't take it, the next try is due after a pause."""
        assert kept.pending is not None, "only a pending key is asked for (syncer.agent.decide)"
        terms, rotation = self._terms, kept.pending.rotation
        request = request_of(
            kept.pending,
            mesh=terms.mesh,
            cluster=terms.cluster,
            sequence=kept.sequence,
            reason=reason,
            now=now,
            current=current,
        )
        try:
            self._post(signed_request(request, key))
        except PeermeshError as error:
            metrics.FAILURES.labels(error.reason).inc()
            self._tries += 1
            self._sent = Sent(
                rotation=rotation, at=now - terms.heartbeat + timedelta(seconds=pause(self._tries)), failed=str(error)
            )
        else:
            metrics.REQUESTS.inc()
            self._tries = 0
            self._sent = Sent(rotation=rotation, at=now)
            log.info("asked for the certificate of rotation %d (%s)", rotation, reason)

    def _say(self, trouble: str) -> None:
        """What is in the way, once."""
        if trouble and trouble != self._said:
            log.warning("%s", trouble)
        elif self._said and not trouble:
            log.info("nothing is in the way any more")
        self._said = trouble


def _measure(view: View, agent: ObservedAgent) -> None:
    signer = view.standing.signer if view.standing else None
    metrics.END.set(signer.not_valid_after_utc.timestamp() if signer else 0)
    metrics.ROTATION.set(agent.rotation)
    metrics.WANTED.set(agent.wanted)
    metrics.PENDING.set(agent.pending)
