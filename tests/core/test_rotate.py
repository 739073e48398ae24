"""Rotate: what is due asks for a flush, what is proposed already doesn't, and the numbers for alarms."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import msgspec
import pytest

from syncer.protocol import observation, request
from syncer.protocol.certificates import fingerprint
from syncer.protocol.signature import OBSERVATION, SigningKey
from syncer.protocol.trust import ObservedAgent, ObservedBundle, ObservedIssuer, ObservedProxy, ObservedTrust
from tests import meshes
from tests.cli import trusted
from tests.cli.trusted import NOW, STEADY, key, root
from tests.simulator.inbox import MemoryInbox
from workers.documents import paths
from workers.documents.kinds import Cluster
from workers.documents.trust import Agent, ClusterTrust, Intermediates, MeshTrust, PkiDocument
from workers.documents.writing import write
from workers.figures import TrustFigures
from workers.outside import Branch, CommitId, Kept, Remote
from workers.pki.due import dates
from workers.pki.step import next_step
from workers.rotate import Rotation, Turn, seen_in
from workers.tree import Facts, FilesInMemory, Pki, Tree
from workers.trust import certificate_of

SYNCERS = {name: SigningKey.from_seed(name.ljust(32).encode()) for name in ("west", "east")}
AGENTS = {name: SigningKey.from_seed(f"{name}-agent".ljust(32).encode()) for name in ("west", "east")}
YOUNG, OLD = timedelta(days=9), timedelta(days=60)


def tree(orders: MeshTrust | None = None, *, west: timedelta = YOUNG, **pki: object) -> Tree:
    """Two clusters that are where people want them; `west`: since when its intermediate is valid."""
    mesh = meshes.mesh()
    spec = msgspec.structs.replace(mesh.spec, trust=orders or MeshTrust(root="a"))
    clusters = {name: _cluster(name) for name in SYNCERS}
    documents = Pki(
        roots={"a": trusted.root_document("a")},
        intermediates={"west": trusted.intermediate("west", began=west), "east": trusted.intermediate("east")},
        trust=trusted.steps(west=STEADY, east=STEADY),
    )
    return Tree(
        mesh=msgspec.structs.replace(mesh, metadata=msgspec.structs.replace(mesh.metadata, name="shop"), spec=spec),
        clusters=clusters,
        facts=Facts(pki=replace(documents, **pki)),  # type: ignore[arg-type]
    )


def _cluster(name: str) -> Cluster:
    cluster = meshes.cluster(name, trust_domain=f"{name}.shop.example", keys=(SYNCERS[name].public,))
    trust = ClusterTrust(agent=Agent(public_keys=(AGENTS[name].public,)))
    return msgspec.structs.replace(cluster, spec=msgspec.structs.replace(cluster.spec, trust=trust))


def observed(there: Tree, name: str, **changed: object) -> ObservedTrust:
    """A cluster that trusts and signs as the tree has it."""
    certificate = certificate_of(there.facts.pki.intermediates[name])
    assert certificate is not None
    signer = fingerprint(certificate)
    roots = (fingerprint(root("a")),)
    found = ObservedTrust(
        bundles=(ObservedBundle(roots=roots, namespaces=3, example="shop"),),
        issuers=(ObservedIssuer(pod="istiod-0", issuer=signer),),
        proxies=(
            ObservedProxy(namespace="shop", pod="cart", issuer=signer, trusts=("CN=a,O=shop",), live=True, seen=NOW),
        ),
        sampled_at=NOW,
        agent=ObservedAgent(rotation=there.facts.pki.intermediates[name].spec.rotation, roots=roots),
        istio="1.31.0",
        self_signed=False,
    )
    return msgspec.structs.replace(found, **changed)


class World:
    """An inbox in which clusters said things, and the rotation of one worker."""

    def __init__(self, there: Tree) -> None:
        self.tree = there
        self.inbox = MemoryInbox()
        self.rotation = Rotation(self.inbox)
        self.number = 0
        for name in SYNCERS:
            self.see(name)

    def see(self, name: str, **changed: object) -> None:
        self.number += 1
        said = observation.Observation(
            mesh="shop",
            cluster=name,
            sequence=self.number,
            observed_at=NOW,
            sources=(),
            offers=(),
            trust=observed(self.tree, name, **changed),
        )
        packed = observation.pack(said)
        self.inbox.keep(name, self._kept(SYNCERS[name], OBSERVATION, name, packed), content="")
        self.inbox.clear(self.inbox.marked())

    def ask(self, name: str, rotation: int, *, with_key: str = "next", signer: SigningKey | None = None) -> None:
        self.number += 1
        csr = request.make_csr(key(with_key), mesh="shop", cluster=name, rotation=rotation)
        said = request.SignRequest(
            mesh="shop",
            cluster=name,
            sequence=self.number,
            requested_at=NOW,
            rotation=rotation,
            reason="renewal",
            csr=csr,
        )
        kept = self._kept(signer or AGENTS[name], request.SIGN_REQUEST_PURPOSE, name, request.pack(said))
        self.inbox.keep_request(name, kept, content=csr)
        self.inbox.clear(self.inbox.marked())

    def _kept(self, signer: SigningKey, purpose: str, name: str, packed: bytes) -> Kept:
        return Kept(sequence=self.number, packed=packed, signature=signer.sign(purpose, "shop", name, packed))

    def turn(self, *branches: Branch, now: datetime = NOW) -> Turn:
        return self.rotation.turn(remote(*branches), self.tree, now)

    def proposal(self) -> Branch:
        """The branch that a flush makes of the next step."""
        [step] = next_step(self.tree, seen_in(self.inbox, self.tree), NOW).steps
        return branch(step.branch, *(document for document in step.facts.values() if document))


def branch(name: str, *documents: PkiDocument) -> Branch:
    files = FilesInMemory({paths.path_of(document): write(document) for document in documents})
    head = CommitId("1" * 40)
    return Branch(name=name, head=head, time=NOW, change={}, foreign=False, merges=True, files=files)


def remote(*branches: Branch) -> Remote:
    return Remote(
        main=CommitId("0" * 40),
        main_time=NOW,
        files=FilesInMemory({}),
        branches={one.name: one for one in branches},
        rejected=frozenset(),
        taken_back=frozenset(),
        paused=None,
        refs={},
    )


def test_where_nothing_is_due_nothing_is_asked_for():
    world = World(tree())
    assert () == world.turn().reasons
    assert {} == world.inbox.marked()


def test_a_mesh_that_ordered_nothing_of_trust_is_left_alone():
    there = tree()
    mesh = msgspec.structs.replace(there.mesh, spec=msgspec.structs.replace(there.mesh.spec, trust=None))
    world = World(replace(there, mesh=mesh))
    assert Turn() == world.turn()


def test_a_request_for_what_is_due_asks_for_a_flush():
    world = World(tree(west=OLD))
    world.ask("west", 8)
    assert ("peermesh/trust/request-west",) == world.turn().reasons
    assert ["main"] == list(world.inbox.marked())


def test_an_open_proposal_that_still_fits_is_left_alone_and_one_that_does_not_is_made_again():
    world = World(tree(west=OLD))
    world.ask("west", 8)
    proposal = world.proposal()
    assert "peermesh/trust/request-west" not in world.turn(proposal).reasons
    world.ask("west", 8, with_key="another")
    assert ("peermesh/trust/request-west",) == world.turn(proposal).reasons


def test_doubled_and_late_turns_come_to_the_same():
    world = World(tree(west=OLD))
    world.ask("west", 8)
    once = world.turn()
    assert once == world.turn()
    assert once.reasons == world.turn(now=NOW + timedelta(minutes=14)).reasons


def test_while_a_cluster_is_on_its_way_the_gates_are_looked_at_at_every_turn():
    world = World(tree(MeshTrust(root="b"), roots={name: trusted.root_document(name) for name in "ab"}))
    assert world.turn().reasons
    assert ["main"] == list(world.inbox.marked())


def test_what_no_key_on_main_signed_is_not_seen():
    world = World(tree(west=OLD))
    world.ask("west", 8, signer=AGENTS["east"])
    assert {} == seen_in(world.inbox, world.tree).requests
    world.see("west")
    assert {"west", "east"} == seen_in(world.inbox, world.tree).observed.keys()


def test_the_dates_are_those_of_the_certificates_on_main():
    there = tree(west=OLD)
    figures = World(there).turn().figures
    assert {name: dates(there, name) for name in ("west", "east")} == figures.dates
    assert {"a": root("a").not_valid_after_utc} == figures.roots
    assert {} == figures.crls


TROUBLES: dict[str, tuple[dict[str, object], int, tuple[str, ...]]] = {
    "nothing": ({}, 0, ()),
    "the agent waits": ({"agent": ObservedAgent(rotation=7, trouble="it waits")}, 1, ()),
    "the agent put the previous state back": ({"agent": ObservedAgent(rotation=7, restored=True)}, 2, ()),
    "another rotation is installed": ({"agent": ObservedAgent(rotation=6)}, 0, ("west",)),
    "another bundle": ({"bundles": (ObservedBundle(roots=("sha256:0",), example="shop"),)}, 0, ("west",)),
    "another signer": ({"issuers": (ObservedIssuer(pod="istiod-0", issuer="sha256:0"),)}, 0, ("west",)),
    "a signer that isn't known": ({"issuers": (ObservedIssuer(pod="istiod-0", error="no answer"),)}, 0, ()),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_was_observed_otherwise_than_main_has_it_is_a_number(trouble):
    changed, level, unmet = TROUBLES[trouble]
    world = World(tree())
    world.see("west", **changed)
    figures = world.turn().figures
    assert {"west": level, "east": 0} == figures.agents
    assert dict.fromkeys(unmet, NOW) == figures.unmet


def test_since_when_is_remembered_as_long_as_it_is_so():
    world = World(tree())
    world.see("west", agent=ObservedAgent(rotation=6))
    later = NOW + timedelta(minutes=5)
    world.turn()
    assert {"west": NOW} == world.turn(now=later).figures.unmet
    world.see("west")
    assert {} == world.turn(now=later).figures.unmet
    world.see("west", agent=ObservedAgent(rotation=6))
    assert {"west": later} == world.turn(now=later).figures.unmet


def test_an_approved_request_waits_for_the_signer_since_it_was_first_seen():
    world = World(tree(west=OLD))
    world.ask("west", 8)
    [step] = next_step(world.tree, seen_in(world.inbox, world.tree), NOW).steps
    world.tree = replace(world.tree, facts=world.tree.facts.with_changes(step.facts))
    world.turn()
    assert {"west": NOW} == world.turn(now=NOW + timedelta(minutes=5)).figures.unsigned


def test_a_refused_request_is_counted_under_its_rule_and_a_wait_is_not():
    world = World(tree())
    world.ask("west", 8)
    assert {("west", "NotDue"): NOW} == world.turn().figures.refused
    world.ask("west", 7, with_key="another")
    assert {("west", "Replayed"): NOW} == world.turn().figures.refused


def test_an_excluded_cluster_raises_no_alarm_about_what_is_observed_there():
    world = World(tree(MeshTrust(root="a", exclude=("west",))))
    world.see("west", agent=ObservedAgent(rotation=6, restored=True))
    figures = world.turn().figures
    assert ({}, {"east": 0}) == (figures.unmet, figures.agents)
    assert "west" in figures.dates


def test_a_renewal_point_that_people_change_moves_the_dates():
    soon = MeshTrust(root="a", intermediates=Intermediates(renew_at=0.3))
    assert World(tree(soon)).turn().figures.dates["west"].renews < World(tree()).turn().figures.dates["west"].renews
    assert TrustFigures() == Turn().figures
