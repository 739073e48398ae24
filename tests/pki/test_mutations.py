"""Rules that are taken away one by one: the model or a history notices each.

A mutation that nobody notices is a rule that no test holds. Each says who notices it: the model, within so many random
histories, or one of the tables by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest
from msgspec import structs

from tests.histories.test_histories import HISTORIES, told
from tests.pki.model import Broken
from tests.pki.test_model import run
from workers.pki import certificates, gates, orders, requests, rollover, state, wanted

WITHIN: Final = 150
"""Random histories in which the model must notice."""
MODEL: Final = "the model"


@dataclass(frozen=True)
class Mutation:
    """`patches`: module, name there, and what stands in its place."""

    name: str
    noticed_by: str
    patches: tuple[tuple[Any, str, Any], ...]


def _open(*_: object, **__: object) -> str:
    return ""


def _nothing(*_: object, **__: object) -> None:
    return None


def _last_namespace(shows: Callable[..., str]) -> Callable[..., str]:
    def mutated(member: state.Member, root: str) -> str:
        return shows(replace(member, sight=replace(member.sight, shown=member.sight.shown[-1:])), root)

    return mutated


def _first_istiod(issues_off: Callable[..., str]) -> Callable[..., str]:
    def mutated(member: state.Member, root: str) -> str:
        return issues_off(replace(member, sight=replace(member.sight, istiods=member.sight.istiods[:1])), root)

    return mutated


def _uncompromised(signing_root: Callable[..., str]) -> Callable[..., str]:
    def mutated(pki: Any, trust: Any, cluster: str) -> str:
        return signing_root(pki, structs.replace(trust, compromised=()), cluster)

    return mutated


def _without_soak(member: state.Member, gate: str, root: str, why: str, situation: state.State) -> str:
    del member, gate, root, situation
    return why


def _everybody(situation: state.State) -> tuple[state.Member, ...]:
    return situation.members


def _who_is_heard(situation: state.State) -> tuple[state.Member, ...]:
    """As if silence were an exclusion."""
    return tuple(member for member in situation.members if member.counts and not member.sight.blind)


def _all_that_is_used(situation: state.State, member: state.Member) -> frozenset[str]:
    del member
    return frozenset({situation.trust.root}) | {root for other in situation.counted for root in other.uses}


def _as_if_not_approved(unwanted: Callable[..., Any]) -> Callable[..., Any]:
    def mutated(member: state.Member, request: Any) -> Any:
        return unwanted(replace(member, wanted=replace(member.wanted, approved=False)), request)

    return mutated


def _any_reason(self: wanted.Wanted, reason: str) -> bool:
    del self, reason
    return True


MUTATIONS: Final = (
    Mutation("nobody is asked whether it trusts", MODEL, ((gates, "trusted", _open), (gates, "taken", _open))),
    Mutation("a namespace is ignored", MODEL, ((gates, "shows", _last_namespace(gates.shows)),)),
    Mutation("proxies aren't asked", MODEL, ((gates, "_proxies_trust", _open),)),
    Mutation("proxies that don't follow live aren't waited for", MODEL, ((gates, "aged", _open),)),
    Mutation("distrust before leaves are gone", MODEL, ((gates, "freed", _open),)),
    Mutation("leaves aren't looked at", "nobody distrusts a while a leaf is under it",
             ((gates, "_leaves_off", _open),)),
    Mutation("an issuer that isn't known is fine", MODEL, ((gates, "UNKNOWN", "nobody"),)),
    Mutation(
        "a replica of istiod is ignored",
        "nobody distrusts a while one replica of istiod signs under it",
        ((gates, "issues_off", _first_istiod(gates.issues_off)),),
    ),
    Mutation("nothing soaks", "a gate soaks anew when it was closed for a moment", ((gates, "soaked", _without_soak),)),
    Mutation(
        "silence is fine",
        "a silent cluster opens no gate, whatever it said before",
        ((state, "_blind", _open),),
    ),
    Mutation(
        "silence is exclusion",
        "a silent cluster opens no gate, whatever it said before",
        ((state.State, "counted", property(_who_is_heard)),),
    ),
    Mutation(
        "the excluded are waited for",
        "cluster unreachable during the second step, excluded, comes back",
        ((state.State, "counted", property(_everybody)),),
    ),
    Mutation(
        "old roots are trusted again for who comes back",
        "an excluded cluster that missed everything catches up alone: nobody trusts a again for it",
        ((rollover, "required", _all_that_is_used),),
    ),
    Mutation("the canary isn't waited for", "the canary takes every step first", ((gates, "taken", _open),)),
    Mutation(
        "a certificate under a new root is handed out at any time",
        "a cluster falls silent after its certificate was signed: it is handed out only when all trust its root",
        ((rollover, "may_sign", _open),),
    ),
    Mutation(
        "the lever is forgotten",
        "an intermediate is compromised: all leaves are renewed with the next one",
        ((certificates, "_lever", lambda *_: 0),),
    ),
    Mutation("any rotation may be asked for", MODEL, ((requests, "_unwanted", _nothing),)),
    Mutation("any reason will do", "an intermediate is compromised: all leaves are renewed with the next one",
             ((wanted.Wanted, "fits", _any_reason),)),
    Mutation("an approved request may be exchanged", MODEL,
             ((requests, "_repeated", _nothing), (requests, "_unwanted", _as_if_not_approved(requests._unwanted)))),
    Mutation("the certificate's key isn't compared", MODEL, ((certificates, "_answers", _nothing),)),
    Mutation("a key may be used twice", "a key is used once", ((requests, "_unfit", _nothing),)),
    Mutation("compromised roots sign on", MODEL, ((wanted, "signing_root", _uncompromised(wanted.signing_root)),)),
    Mutation(
        "what isn't wanted any more is handed out",
        "taken back before the first intermediate under b is handed out",
        ((certificates, "_unwanted", _nothing),),
    ),
    Mutation(
        "orders are followed as they are", "the wanted root is compromised", ((orders, "_goal", lambda *_: iter(())),)
    ),
)  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_rule_that_is_taken_away_is_missed(mutation, monkeypatch):
    for where, name, instead in mutation.patches:
        monkeypatch.setattr(where, name, instead)
    notice = _by_model if mutation.noticed_by == MODEL else _by_history
    assert notice(mutation.noticed_by) is not None


def test_nobody_misses_a_rule_while_all_are_there():
    assert _by_model(MODEL, 40) is None


def _by_model(_: str, within: int = WITHIN) -> str | None:
    for seed in range(within):
        try:
            run(seed, crossed=False)
        except Broken as broken:
            return str(broken).partition("\n")[0]
    return None


def _by_history(name: str) -> str | None:
    (history,) = [history for history in HISTORIES if history.name == name]
    try:
        expected, said = told(history)
    except ValueError as nobody_proposed_it:
        return str(nobody_proposed_it)
    return None if expected == said else "it is told otherwise"
