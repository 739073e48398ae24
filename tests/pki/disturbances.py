"""What may happen in a tick of the model: clusters fall silent, Redis is lost, people change their minds, thieves try.

Each is a function of the world that may do nothing. None breaks what people could not have broken.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tests.pki import mesh_of_slips as slips
from tests.pki.cluster_model import Istiod
from tests.pki.model import LIFE, ROOTS, Disturbance, World
from workers.documents.trust import Order


def _fall_silent(world: World) -> None:
    cluster = world.clusters[world.chance.choice(sorted(world.clusters))]
    if not any(other.silent for other in world.clusters.values()):
        cluster.silent, cluster.cut_off = True, world.chance.random() < 0.5
        world.told.append(f"{world.now:%H:%M} {cluster.name} falls silent, cut off: {cluster.cut_off}")


def _get_stuck(world: World) -> None:
    """Nothing from Git arrives there; its syncer says so."""
    world.clusters[world.chance.choice(sorted(world.clusters))].cut_off = True


def _come_back(world: World) -> None:
    for cluster in world.clusters.values():
        cluster.silent = cluster.cut_off = False


def _lose_redis(world: World) -> None:
    world.since, world.signed = {}, {}
    world.observed.clear()
    for cluster in world.clusters.values():
        if world.chance.random() < 0.5:
            cluster.asking = None
    world.told.append(f"{world.now:%H:%M} Redis is lost")


def _change_mind(world: World) -> None:
    roots = [name for name in ROOTS if name not in world.orders.compromised]
    world.order(root=world.chance.choice(roots))


def _toggle_pause(world: World) -> None:
    world.order(paused=not world.orders.paused)


def _exclude(world: World) -> None:
    silent = [cluster.name for cluster in world.clusters.values() if cluster.silent]
    if silent and not world.orders.exclude:
        world.order(exclude=tuple(silent))


def _include(world: World) -> None:
    if world.orders.exclude and not any(world.clusters[name].silent for name in world.orders.exclude):
        world.order(exclude=())


def _rotate(world: World) -> None:
    name = world.chance.choice(sorted(world.clusters))
    pki = world.main.facts.pki
    numbers = [known[name].spec.rotation for known in (pki.intermediates, pki.requests) if name in known]
    if numbers:
        order = Order(rotation=max(numbers) + 1, reason=world.chance.choice(["ordered", "compromised"]))
        world.order(rotate={**world.orders.rotate, name: order})


def _compromise(world: World) -> None:
    if not world.orders.compromised:
        left = [name for name in ROOTS if name != world.orders.root]
        world.order(compromised=(world.orders.root,), root=world.chance.choice(left))
        # Nothing soaks from now on, so nothing may lag unseen.
        for cluster in world.clusters.values():
            for istiod in cluster.istiods:
                if not istiod.shows:
                    istiod.lag = 0
                    istiod.take(cluster.secret, multiroot=cluster.multiroot)


def _join(world: World) -> None:
    if "north" not in world.clusters:
        world.join("north")


def _refuse_roots(world: World) -> None:
    """Somebody runs an istiod without ISTIO_MULTIROOT_MESH, or mends that."""
    cluster = world.clusters[world.chance.choice(sorted(world.clusters))]
    cluster.multiroot = not cluster.multiroot


def _restart(world: World) -> None:
    """Pods come and go; those of istiod stay: one that restarts with files it refused is another fault."""
    cluster = world.clusters[world.chance.choice(sorted(world.clusters))]
    workload = world.chance.choice(cluster.workloads or [None])
    if workload is not None and _is_prompt(cluster.istiods[workload.of], world):
        cluster.restart(workload)


def _is_prompt(istiod: Istiod, world: World) -> bool:
    """What lags behind longer than people let a gate soak has no new pods."""
    return istiod.shows or istiod.lag <= world.lag


def _hand_in_nonsense(world: World) -> None:
    """Somebody who can write to Redis hands in a certificate for a key of his own."""
    name = world.chance.choice(sorted(world.clusters))
    pki = world.main.facts.pki
    standing, request = pki.intermediates.get(name), pki.requests.get(name)
    number = max([one.spec.rotation for one in (standing, request) if one is not None], default=0)
    number += world.chance.choice([0, 1])
    under = world.chance.choice(ROOTS)
    world.signed[name] = slips.intermediate(name, max(number, 1), under, key="key of a stranger", life=LIFE)


def _ask_nonsense(world: World) -> None:
    """An agent's key is stolen: whoever has it asks for another rotation, or with another key."""
    cluster = world.clusters[world.chance.choice(sorted(world.clusters))]
    if (asking := cluster.asking) is not None:
        number = asking.rotation + world.chance.choice([-1, 0, 1, 5])
        cluster.asking = replace(asking, rotation=max(1, number), csr=f"stolen {world.chance.random()}")


DISTURBANCES: Final[tuple[Disturbance, ...]] = (
    (0.02, _fall_silent),
    (0.03, _get_stuck),
    (0.05, _come_back),
    (0.01, _lose_redis),
    (0.015, _change_mind),
    (0.01, _toggle_pause),
    (0.05, _exclude),
    (0.1, _include),
    (0.01, _rotate),
    (0.002, _compromise),
    (0.005, _join),
    (0.004, _refuse_roots),
    (0.1, _restart),
    (0.03, _hand_in_nonsense),
    (0.03, _ask_nonsense),
)
