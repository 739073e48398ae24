"""How certificates stand: the table, the timeline, and whether pairs accept each other."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from syncer.protocol.certificates import fingerprint
from syncer.protocol.observation import Observation, pack
from syncer.protocol.secret import Secret
from syncer.protocol.signature import OBSERVATION
from syncer.protocol.trust import ObservedAgent, ObservedBundle, ObservedIssuer, ObservedTrust
from tests.cli.calls import call, done, mesh_with_clusters, on_terminal
from tests.cli.trusted import (
    CLUSTERS,
    NOW,
    STEADY,
    Place,
    intermediate,
    managed,
    root,
    root_document,
    steps,
)
from tests.core.test_rotate import SYNCERS, branch, observed, remote, tree
from tests.servers.valkey import valkey
from workers.cli.ca.looking import lasts, waits
from workers.cli.ca.text import bar, show_pairs, show_trust
from workers.documents.trust import ClusterStep, MeshTrust
from workers.inbox import RedisInbox
from workers.outside import Kept
from workers.pki.due import Dates
from workers.pki.past import Past
from workers.pki.proposing import Lasting
from workers.pki.step import Next, Phase
from workers.trust import TrustStatus, certificate_of, pairs, trust_status

BOTH = ClusterStep(bundle=("a", "b"), signer="b")


def status_of(there, *, seen=None, phases=None, waiting=None) -> TrustStatus:
    return trust_status(there, NOW, observed=seen or {}, phases=phases or {}, waiting=waiting or {})


def shown(status: TrustStatus, capsys: pytest.CaptureFixture[str]) -> list[str]:
    show_trust(status, NOW)
    return capsys.readouterr().out.splitlines()


def test_the_table_has_a_line_for_each_cluster_and_says_what_it_waits_for(capsys):
    said = {"west": "for somebody to merge peermesh/trust/request-west.", "*": "for people"}
    lines = shown(status_of(tree(west=timedelta(days=50)), phases={"west": "due"}, waiting=said), capsys)
    assert lines[0] == "mesh shop"
    assert lines[1] == "wanted root a   trust 2/2 · sign 2/2 · trust it alone 2/2"
    assert lines[2] == "waits: for people"
    [west] = [line for line in lines if line.startswith("west ") and " a " in line]
    assert west.split()[1:3] == ["a", "7"]
    assert west.endswith("due")
    assert "  west waits: for somebody to merge peermesh/trust/request-west." in lines


def test_the_timeline_marks_where_each_one_is():
    dates = Dates(
        begins=NOW,
        renews=NOW + timedelta(days=45),
        late=NOW + timedelta(days=60),
        last_call=NOW + timedelta(days=88),
        ends=NOW + timedelta(days=90),
    )

    def column(at):
        return (at - NOW).days // 2

    assert "├────────│────────────R───────!──────────────┤" == bar(dates, NOW + timedelta(days=18), column).plain
    assert "│─────────────────────R───────!──────────────┤" == bar(dates, NOW, column).plain
    styles = [bar(dates, NOW + timedelta(days=day), column).spans[0].style for day in (1, 61, 89)]
    assert ["green", "yellow", "bold red"] == styles


def test_a_narrow_and_a_wide_mesh_have_bars_that_fit_into_a_hundred_columns(capsys):
    for line in shown(status_of(tree()), capsys):
        assert len(line) <= 100


def test_what_people_ordered_is_said(capsys):
    trust = MeshTrust(root="b", paused=True, exclude=("east",), compromised=("a",), distrust_first=True)
    text = "\n".join(shown(status_of(tree(trust)), capsys))
    for what in (
        "wanted root b   trust 0/1",
        "a rollover is paused",
        "excluded, nobody waits for it: east",
        "compromised roots: a",
        "distrust comes first",
    ):
        assert what in text


def test_what_was_observed_otherwise_is_told_below(capsys):
    there = tree()
    seen = observed(
        there,
        "west",
        agent=ObservedAgent(rotation=6, restored=True, trouble="istiod didn't take it"),
        issuers=(ObservedIssuer(pod="istiod-1", issuer="sha256:0"), ObservedIssuer(pod="istiod-2", error="no answer")),
    )
    text = "\n".join(shown(status_of(there, seen={"west": seen}), capsys))
    for what in (
        "west: istiod-1 signs with another intermediate than main has",
        "west: its agent has installed rotation 6, main has 7",
        "west: its agent put the previous state back: istiod didn't take it",
        "west: what istiod-2 signs with isn't known: no answer",
    ):
        assert f"  {what}" in text


def test_an_istiod_that_signs_with_the_intermediate_before_is_told_by_that_name(capsys):
    there, before = tree(), intermediate("west", rotation=6)
    certificate = certificate_of(before)
    assert certificate is not None
    issuers = (ObservedIssuer(pod="istiod-1", issuer=fingerprint(certificate)),)
    seen = {"west": observed(there, "west", issuers=issuers)}
    status = trust_status(there, NOW, observed=seen, phases={}, waiting={}, past=Past(earlier={"west": (before,)}))
    assert "  west: istiod-1 still signs with intermediate 6 under root a; main has 7" in shown(status, capsys)


def test_since_when_something_is_so_is_told_as_a_time_and_as_a_span(capsys):
    lately, long_ago = NOW - timedelta(minutes=12), NOW - timedelta(days=3)
    lasting = {
        "west": (Lasting(what="its last step is on main", since=long_ago), Lasting(what="seen", since=lately)),
        "*": (Lasting(what="peermesh/trust/rollover waits for people", since=lately),),
    }
    lines = shown(trust_status(tree(), NOW, observed={}, phases={}, waiting={}, lasting=lasting), capsys)
    assert f"since: {lately:%H:%M} UTC (12 min) peermesh/trust/rollover waits for people" in lines
    both = f"{long_ago:%Y-%m-%d} (3 d) its last step is on main · {lately:%H:%M} UTC (12 min) seen"
    assert f"  west since: {both}" in lines


def test_since_when_is_known_from_main_its_branches_and_what_is_seen():
    said, step, gate = (NOW - timedelta(minutes=minutes) for minutes in (1, 5, 3))
    opened = replace(branch("peermesh/trust/certificate-west"), time=said)
    found = Next(
        phases={
            "west": Phase(name="trusts a+b", lasting=(Lasting(what="seen to trust root b", since=gate),)),
            "east": Phase(name="steady", renews=step),
        }
    )
    past = Past(moved={"west": step, "east": step})
    assert {
        "west": (
            Lasting(what="its last step is on main", since=step),
            Lasting(what="seen to trust root b", since=gate),
            Lasting(what="peermesh/trust/certificate-west waits for people", since=said),
        ),
        "east": (),
    } == lasts(remote(opened), tree(), found, past, NOW)


def test_who_is_late_with_its_renewal_is_told_since_when():
    was, will_be = NOW - timedelta(days=1), NOW + timedelta(days=1)
    phases = {"west": Phase(name="due", renews=was), "east": Phase(name="due", renews=will_be)}
    found = lasts(remote(), tree(), Next(phases=phases), Past(), NOW)
    assert {"west": (Lasting(what="it is to be renewed", since=was),), "east": ()} == found


def test_clusters_that_nobody_manages_are_named(capsys):
    there = tree()
    spec = msgspec.structs.replace(there.clusters["east"].spec, trust=None)
    clusters = {**there.clusters, "east": msgspec.structs.replace(there.clusters["east"], spec=spec)}
    lines = shown(status_of(replace(there, clusters=clusters)), capsys)
    assert "Left alone: east. `peermesh ca manage CLUSTER` proposes to look after one." in lines


def test_without_redis_what_was_not_observed_is_no_reason():
    found = Next(waiting={"west": "nothing was heard of its trust yet"})
    open_ones = remote(branch("peermesh/trust/request-west"), branch("peermesh/trust/rollover"))
    branches = {
        "*": "for somebody to merge peermesh/trust/rollover.",
        "west": "for somebody to merge peermesh/trust/request-west.",
    }
    assert branches == waits(open_ones, tree(), found, asked=False)
    asked = waits(open_ones, tree(), found, asked=True)
    assert "for somebody to merge peermesh/trust/request-west. nothing was heard of its trust yet" == asked["west"]


# --- pairs


def test_under_one_root_all_accept_each_other():
    assert {"west at east main ", "east at west main "} == verdicts(tree())


def verdicts(there, seen=None) -> set[str]:
    return {f"{one.shower} at {one.verifier} {one.source} {one.why[:40]}" for one in pairs(there, NOW, seen or {})}


def test_who_signs_under_a_root_that_another_one_does_not_trust_is_refused_there_alone():
    there = tree(
        intermediates={"west": intermediate("west", "b"), "east": intermediate("east")},
        roots={name: root_document(name) for name in "ab"},
        trust=steps(west=BOTH, east=STEADY),
    )
    found = {(one.shower, one.verifier): one.why for one in pairs(there, NOW, {})}
    assert "" == found["east", "west"]
    assert "no root of the bundle has issued it" in found["west", "east"]


def test_a_bundle_that_was_observed_is_held_against_what_main_says_of_the_others():
    there = tree(
        intermediates={"west": intermediate("west", "b"), "east": intermediate("east")},
        roots={name: root_document(name) for name in "ab"},
        trust=steps(west=BOTH, east=BOTH),
    )
    bundle = ObservedBundle(roots=(fingerprint(root("a")),), namespaces=1, example="shop")
    seen = {"east": observed(there, "east", bundles=(bundle,))}
    found = {(one.shower, one.source): one.why for one in pairs(there, NOW, seen) if one.verifier == "east"}
    assert "" == found["west", "main"]
    assert "no root of the bundle has issued it" in found["west", "observed"]


def test_an_expired_intermediate_is_refused_everywhere():
    there = tree(west=timedelta(days=91))
    found = {(one.shower, one.verifier): one.why for one in pairs(there, NOW, {})}
    assert "" == found["east", "west"]
    assert found["west", "east"]


def test_verdicts_name_the_pairs_that_fail(capsys):
    there = tree(west=timedelta(days=91))
    show_pairs(pairs(there, NOW, {}), status_of(there))
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("west") and "east" in line and "refused: " in line for line in lines)
    assert lines[-1] == "1 of 2 fail: those calls break when the leaves are renewed, if not now."


def test_a_cluster_that_signs_with_something_else_is_named_as_not_verified(capsys):
    there = tree(intermediates={"west": intermediate("west")})
    show_pairs(pairs(there, NOW, {}), status_of(there))
    lines = capsys.readouterr().out.splitlines()
    assert "Not verified, for what they sign with isn't on main: east." in lines
    assert lines[-1] == "All 1 accept each other."


# --- as commands


@pytest.fixture
def place(tmp_path) -> Place:
    """Two clusters, of which one signs under a root that the other one doesn't trust."""
    place = Place(tmp_path)
    mesh_with_clusters(place.mesh, *CLUSTERS)
    managed(place.mesh, *CLUSTERS)
    place.git("init", "--quiet", "--bare", "--initial-branch=main", str(place.remote), at=".")
    place.put(root_document("a"), root_document("b"), steps(west=BOTH, east=STEADY))
    place.put(intermediate("west"), intermediate("east"), trust="  trust:\n    root: b\n")
    return place


def test_both_work_from_the_repository_alone(place):
    value = json.loads(done("ca", "status", "--repo", place.remote, "--output", "json"))
    assert ["east", "west"] == [cluster["name"] for cluster in value["clusters"]]
    assert ("b", {"done": 1, "of": 2}) == (value["orders"]["root"], value["progress"]["trust"])
    assert ["a", "b"] == value["clusters"][1]["bundle"]
    verified = json.loads(done("ca", "verify", "--repo", place.remote, "--output", "json"))
    assert [("east", "west", True), ("west", "east", True)] == [
        (pair["shower"], pair["verifier"], pair["ok"]) for pair in verified
    ]


def test_what_main_had_before_is_known_from_the_repository_alone(place):
    place.put(intermediate("west", "b", rotation=8))
    place.put(steps(west=BOTH, east=ClusterStep(bundle=("a", "b"), signer="a")))
    value = json.loads(done("ca", "status", "--repo", place.remote, "--output", "json"))
    (east, west) = value["clusters"]
    assert ["its last step is on main"] * 2 == [each["lasting"][0]["what"] for each in (east, west)]
    times = place.git("log", "--format=%cI", "main").splitlines()
    at = [datetime.fromisoformat(each["lasting"][0]["since"]) for each in (east, west)]
    assert [datetime.fromisoformat(time) for time in times[:2]] == at


def test_verify_ends_with_1_and_names_the_pair(place):
    place.put(intermediate("west", "b"))
    said = call("ca", "verify", "--repo", place.remote)
    assert (1, "") == (said.code, said.stderr)
    assert "west      east   main says   refused: " in said.stdout


def test_a_terminal_shows_colours_and_no_color_shows_none(place):
    assert "\x1b[" in on_terminal("ca", "status", "--repo", place.remote).stdout
    plain = on_terminal("ca", "status", "--repo", place.remote, NO_COLOR="1").stdout
    assert "\x1b[3" not in plain
    lines = [re.sub(r".*\r|\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in plain.splitlines()]
    assert max(map(len, lines)) <= 100


def test_with_redis_what_was_observed_is_told_and_believed_only_if_its_key_is_on_main(place):
    done("cluster", "trust", "west", SYNCERS["west"].public, "--repo", place.mesh)
    place.commit()
    agent = ObservedAgent(rotation=6, restored=True, trouble="istiod refused it")
    now = datetime.now(UTC)
    both = ObservedBundle(roots=tuple(sorted(fingerprint(root(name)) for name in "ab")), namespaces=1, example="shop")
    with valkey() as server:
        inbox = RedisInbox(Secret(server.redis_url))
        for name in CLUSTERS:
            said = Observation(
                mesh="shop",
                cluster=name,
                sequence=1,
                observed_at=now,
                sources=(),
                offers=(),
                trust=ObservedTrust(agent=agent, sampled_at=now, bundles=(both,)),
            )
            signature = SYNCERS[name].sign(OBSERVATION, "shop", name, pack(said))
            inbox.keep(name, Kept(sequence=1, packed=pack(said), signature=signature), content="")
        with server.client() as client:
            inbox.since(["trust/west/shows/b"], now - timedelta(minutes=7))
            inbox.close()
            before = {key: client.dump(key) for key in sorted(client.keys())}
            text = done("ca", "status", "--repo", place.remote, "--redis-url", server.url)
            assert before == {key: client.dump(key) for key in sorted(client.keys())}, "to ask changes nothing"
    assert "  west: its agent put the previous state back: istiod refused it\n" in text
    assert "  west waits: " in text
    assert "(7 min) its namespaces show root b" in text
    assert "east: its agent" not in text
