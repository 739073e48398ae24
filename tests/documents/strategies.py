"""Random documents: valid ones, as the types and rules allow them."""

from __future__ import annotations

from hypothesis import strategies as st

from syncer.protocol.observation import Foreign, GatewayAddress
from syncer.protocol.offer import Port
from syncer.protocol.signature import SigningKey
from workers.documents.grammar import PROTOCOLS, is_ip
from workers.documents.kinds import (
    AdditionalHosts,
    Approval,
    Cluster,
    ClusterFacts,
    ClusterFactsSpec,
    ClusterSpec,
    Export,
    ExportName,
    ExportSpec,
    GatewayFacts,
    GatewaySettings,
    Guard,
    Host,
    HostNameAndNamespace,
    Hosts,
    HostSpec,
    Mesh,
    MeshSpec,
    NameAndLabels,
    SyncerSettings,
)
from workers.documents.strict import Name
from workers.documents.trust import (
    Agent,
    ClusterStep,
    ClusterTrust,
    Intermediates,
    MeshTrust,
    Order,
    Revoked,
    Trust,
    TrustSpec,
)

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True) | st.sampled_from(
    ["y", "no", "on", "null", "0", "012", "1e3", "0x1f", "2026-01-31", "1", "a" * 63]
)
DOMAINS = st.lists(LABELS, min_size=1, max_size=3).map(".".join)
LABEL_VALUES = st.sampled_from(["", "Yes", "true", "1.0", "1_000", "NULL", "a.b_c-d", "~"[:0]]) | LABELS
LABEL_MAPS = st.dictionaries(LABELS | st.builds("{}.example/{}".format, LABELS, LABELS), LABEL_VALUES, max_size=3)
PORT_NUMBERS = st.integers(1, 65535)
IPV4 = st.ip_addresses(v=4).map(str).filter(is_ip)


def _sorted(values: st.SearchStrategy[str], *, least: int = 0) -> st.SearchStrategy[tuple[str, ...]]:
    return st.sets(values, min_size=least, max_size=4).map(lambda some: tuple(sorted(some)))


_ADDITIONAL = st.lists(
    st.builds(
        AdditionalHosts, pattern=DOMAINS.map("*.{}.example".format) | DOMAINS.map("{}.test".format), namespace=LABELS
    ),
    unique_by=lambda entry: entry.pattern,
    max_size=3,
).map(tuple)

_SOME_LABELS = st.lists(LABELS, unique=True, max_size=3).map(tuple)
_DURATIONS = st.builds("{}{}".format, st.integers(1, 99_999), st.sampled_from("mhd"))
_MESH_TRUST = st.builds(
    MeshTrust,
    root=LABELS,
    paused=st.booleans(),
    canary=_SOME_LABELS,
    exclude=_SOME_LABELS,
    soak=_DURATIONS | st.integers(0, 99_999).map("{}s".format) | st.just("0m"),
    workload_lifetime=_DURATIONS,
    intermediates=st.builds(
        Intermediates, lifetime=_DURATIONS, key=st.sampled_from(["P-256", "P-384"]), renew_at=st.floats(0.1, 0.9)
    ),
    renewal_requests=st.sampled_from([None, "approved"]),
    rotate=st.dictionaries(
        LABELS,
        st.builds(Order, rotation=st.integers(1, 1 << 40), reason=st.sampled_from(["ordered", "compromised"])),
        max_size=2,
    ),
    crls=st.booleans(),
    revoked=st.lists(
        st.builds(Revoked, issuer=LABELS, serial=st.from_regex(r"[0-9a-f]{1,40}", fullmatch=True)),
        unique_by=lambda entry: (entry.issuer, entry.serial),
        max_size=2,
    ).map(tuple),
)

MESHES = st.builds(
    Mesh,
    metadata=st.builds(Name, name=LABELS),
    spec=st.builds(
        MeshSpec,
        hosts=st.builds(
            Hosts,
            template=LABELS.map("{{service}}.{{namespace}}.{}.internal".format),
            virtual_ips=st.sampled_from([("240.8.0.0/13",), ("240.64.0.0/10", "10.0.0.0/8")]),
            additional=_ADDITIONAL,
        ),
        approval=st.builds(Approval, automatic=st.sampled_from([(), ("address", "follow-up"), ("export",)])),
        trust=st.none() | _MESH_TRUST,
        guard=st.builds(Guard, at_most=st.integers(0, 1 << 40), share=st.floats(0, 1), from_=st.integers(1, 1 << 40)),
    ),
)

_KEYS = [SigningKey.from_seed(bytes([seed]) * 32).public for seed in range(3)]
_LOCALITIES = st.lists(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,8}[A-Za-z0-9])?", fullmatch=True), max_size=3)
_ADDRESSES = st.one_of(IPV4, DOMAINS.map("{}.example".format), st.builds("{}.example:{}".format, DOMAINS, PORT_NUMBERS))
_AGENTS = st.builds(Agent, public_keys=st.lists(st.sampled_from(_KEYS), unique=True, max_size=2).map(tuple))
_FINGERPRINTS = st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True)
_CLUSTER_TRUST = st.builds(ClusterTrust, agent=_AGENTS) | st.builds(
    ClusterTrust, delivery=st.just("sealed-secrets"), sealing=_FINGERPRINTS
)
CLUSTERS = st.builds(
    Cluster,
    metadata=st.builds(NameAndLabels, name=LABELS.filter(lambda name: name != "main"), labels=LABEL_MAPS),
    spec=st.builds(
        ClusterSpec,
        network=LABELS,
        trust_domain=DOMAINS.map("{}.example".format),
        locality=_LOCALITIES.map("/".join),
        gateway=st.builds(
            GatewaySettings,
            namespace=LABELS,
            selector=LABEL_MAPS.filter(bool),
            port=PORT_NUMBERS,
            addresses=st.lists(_ADDRESSES, unique=True, max_size=3).map(tuple),
        ),
        syncer=st.builds(
            SyncerSettings, public_keys=st.lists(st.sampled_from(_KEYS), unique=True, max_size=2).map(tuple)
        ),
        trust=st.none() | _CLUSTER_TRUST,
        may_export=st.none()
        | st.lists(LABELS | LABELS.map("{}-*".format), max_size=3).map(lambda some: tuple(s[:63] for s in some)),
    ),
)

_GATEWAY_ADDRESSES = st.builds(GatewayAddress, ip=IPV4, port=PORT_NUMBERS) | st.builds(
    GatewayAddress, host=DOMAINS, port=PORT_NUMBERS
)
CLUSTER_FACTS = st.builds(
    ClusterFacts,
    metadata=st.builds(Name, name=LABELS),
    spec=st.builds(
        ClusterFactsSpec,
        gateway=st.builds(
            GatewayFacts,
            addresses=st.lists(_GATEWAY_ADDRESSES, max_size=2).map(tuple),
            cluster_ip=st.none() | st.ip_addresses().map(str).filter(is_ip),
            cluster_port=PORT_NUMBERS,
            wildcard=st.booleans(),
        ),
        sources=_sorted(LABELS),
        foreign=st.lists(
            st.builds(
                Foreign, kind=st.sampled_from(["ServiceEntry", "Null"]), namespace=LABELS, name=DOMAINS, host=DOMAINS
            ),
            max_size=2,
        ).map(tuple),
    ),
)

_PORTS = st.lists(
    st.builds(
        Port,
        name=LABELS,
        number=PORT_NUMBERS,
        protocol=st.none() | st.sampled_from(sorted(PROTOCOLS)),
        target_port=PORT_NUMBERS,
    ),
    min_size=1,
    max_size=3,
    unique_by=(lambda port: port.number, lambda port: port.name),
).map(lambda ports: tuple(sorted(ports, key=lambda port: port.number)))
_CONSUMERS = LABELS | st.builds("{}={}".format, LABELS, LABELS)
EXPORTS = st.builds(
    Export,
    metadata=st.builds(ExportName, name=LABELS, namespace=LABELS, cluster=LABELS),
    spec=st.builds(
        ExportSpec,
        source=st.sampled_from(["label", "serviceexport"]),
        since=st.none() | st.just("2026-11-24T08:00:00Z"),
        headless=st.booleans(),
        ports=_PORTS,
        service_accounts=_sorted(DOMAINS, least=1),
        selector=LABEL_MAPS,
        consumers=st.none() | _sorted(_CONSUMERS),
        hosts=_sorted(DOMAINS),
    ),
)

HOSTS = st.builds(
    Host,
    metadata=st.builds(HostNameAndNamespace, name=LABELS, namespace=LABELS),
    spec=st.builds(
        HostSpec,
        addresses=st.dictionaries(DOMAINS, IPV4, max_size=3),
        providers=st.lists(LABELS, unique=True, max_size=3).map(tuple),
    ),
)

TRUSTS = st.builds(
    Trust,
    metadata=st.builds(Name, name=LABELS),
    spec=st.builds(
        TrustSpec,
        clusters=st.dictionaries(
            LABELS, st.builds(ClusterStep, bundle=_sorted(LABELS, least=1), signer=LABELS), max_size=3
        ),
    ),
)

DOCUMENTS = st.one_of(MESHES, CLUSTERS, CLUSTER_FACTS, EXPORTS, HOSTS, TRUSTS)
