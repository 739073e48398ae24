"""What must hold inside one of people's documents beyond the shape of its type.

Knows one document. Knows no paths, no lines, no YAML and no other document (`agreement`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network
from typing import Final

from syncer.protocol.names import is_label, is_subdomain
from syncer.protocol.signature import parse_public_key
from workers.documents.fact_rules import fact_faults, repeated
from workers.documents.grammar import is_ipv4
from workers.documents.kinds import RENDERINGS, Cluster, Document, Forge, GatewaySettings, Hosts, Mesh
from workers.documents.shape import Fault, Where, dotted, shown
from workers.documents.trust_rules import cluster_trust_faults, mesh_trust_faults

_RESERVED: Final = (
    (IPv4Network("240.240.0.0/16"), "Istio's own"),
    (IPv4Network("0.0.0.0/8"), "this host"),
    (IPv4Network("127.0.0.0/8"), "loopback"),
    (IPv4Network("169.254.0.0/16"), "link-local"),
    (IPv4Network("224.0.0.0/4"), "multicast"),
    (IPv4Network("255.255.255.255/32"), "broadcast"),
)
_KUBERNETES: Final = "cluster.local"
_LONGEST_HOST: Final = 253
_LONGEST_LABEL: Final = 63
_FEWEST_ADDRESSES: Final = 4
"""Of a range; the first and the last are never given."""

_LABEL_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_REGION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_FORGE_URL = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/?")
_USERINFO = re.compile(r"(?<=//)[^/]*@")
_FORGE_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9._-]+")
_NAMESPACES = re.compile(r"[a-z0-9*?-]{1,63}")
_PORT = re.compile(r"[1-9][0-9]{0,4}")


def rule_faults(document: Document) -> Iterator[Fault]:
    """All faults of one document whose shape is right."""
    match document:
        case Mesh():
            yield from _mesh(document)
        case Cluster():
            yield from _cluster(document)
        case _:
            yield from fact_faults(document)


def _wrong(where: Where, value: object, why: str, remedy: str) -> Fault:
    return Fault(where, f"{dotted(where)} is {shown(value)}{', ' if why else ''}{why}", remedy)


# --- Mesh


def _mesh(mesh: Mesh) -> Iterator[Fault]:
    if mesh.spec.rendering not in RENDERINGS:
        known = " or ".join(map(str, RENDERINGS))
        why = f"but this program knows {known}"
        yield _wrong(("spec", "rendering"), mesh.spec.rendering, why, f"Write {known}, or upgrade peermesh.")
    yield from _template(mesh.spec.hosts.template)
    yield from _virtual_ips(mesh.spec.hosts.virtual_ips)
    yield from _additional(mesh.spec.hosts)
    yield from _forge(mesh.spec.approval.forge)
    yield from mesh_trust_faults(mesh.spec.trust) if mesh.spec.trust else ()


def _template(template: str) -> Iterator[Fault]:
    labels = template.split(".")
    rest = [label for label in labels if label not in {"{service}", "{namespace}"}]
    longest = sum(len(label) + 1 for label in rest) + 2 * _LONGEST_LABEL + 1
    not_labels = [label for label in rest if not is_label(label)]
    missing = [name for name in ("{service}", "{namespace}") if labels.count(name) != 1]
    if missing:
        why = f"which doesn't have {missing[0]} once as a whole label"
    elif not_labels:
        why = f"where {shown(not_labels[0])} isn't a DNS label"
    elif labels[-1] not in rest:
        why = "which doesn't end in a domain"
    elif _within(".".join(rest), _KUBERNETES):
        why = f"which is in {_KUBERNETES}, Kubernetes' own domain"
    elif longest > _LONGEST_HOST:
        why = f"which can give hosts of {longest} characters, more than the {_LONGEST_HOST} of DNS"
    else:
        return
    remedy = 'Write something like "{service}.{namespace}.mesh.example.com".'
    yield _wrong(("spec", "hosts", "template"), template, why, remedy)


def _virtual_ips(ranges: tuple[str, ...]) -> Iterator[Fault]:
    taken: list[tuple[IPv4Network, str]] = list(_RESERVED)
    for i, text in enumerate(ranges):
        where: Where = ("spec", "hosts", "virtualIPs", i)
        remedy = "Write a free IPv4 range like 240.8.0.0/13."
        try:
            network = IPv4Network(text)
        except ValueError as error:
            yield _wrong(where, text, f"but {error}", remedy)
            continue
        if str(network) != text or network.num_addresses < _FEWEST_ADDRESSES:
            yield _wrong(where, text, "which isn't a range with room for hosts", remedy)
        for other, whose in taken:
            if network.overlaps(other):
                yield _wrong(where, text, f"which overlaps {other} ({whose})", remedy)
        taken.append((network, "also a range of this list"))


def _additional(hosts: Hosts) -> Iterator[Fault]:
    """An additional name may be none that the template gives, nor one that Kubernetes gives."""
    domain = hosts.template.rpartition("}.")[2]
    for i, entry in enumerate(hosts.additional):
        where: Where = ("spec", "hosts", "additional", i, "pattern")
        bare = entry.pattern.removeprefix("*.")
        if not is_subdomain(bare):
            yield _wrong(where, entry.pattern, "which isn't a host name", "Write a name, or *. and a domain.")
        for whose in (domain, _KUBERNETES):
            if _within(bare, whose) or (bare != entry.pattern and _within(whose, bare)):
                why = f"which overlaps {whose}, where names are given otherwise"
                yield _wrong(where, entry.pattern, why, "Write a name or a domain outside of it.")
    patterns = tuple(entry.pattern for entry in hosts.additional)
    for i in repeated(patterns):
        where = ("spec", "hosts", "additional", i, "pattern")
        yield _wrong(where, patterns[i], "which stands twice", "Give each pattern to one namespace.")


_FORGE_FIELDS: Final = (
    ("url", _FORGE_URL, "which isn't the address of a forge", "Write it without credentials: https://git.example.com."),
    ("repository", _FORGE_REPOSITORY, "which isn't owner/name", "Write owner and name: platform/mesh."),
)


def _forge(forge: Forge) -> Iterator[Fault]:
    for name, pattern, why, remedy in _FORGE_FIELDS:
        where: Where = ("spec", "approval", "forge", name)
        value: str = getattr(forge, name)
        if forge.type == "git" and value:
            yield _wrong(where, value, "but forge git has no pull requests", "Take it out, or write type: gitea.")
        elif forge.type != "git" and not value:
            yield Fault(where, f"{dotted(where)} is missing, and forge {forge.type} needs it", remedy)
        elif forge.type != "git" and not pattern.fullmatch(value):
            yield _wrong(where, _USERINFO.sub("***@", value), why, remedy)


def _within(name: str, domain: str) -> bool:
    return name == domain or name.endswith(f".{domain}")


# --- Cluster


def _cluster(cluster: Cluster) -> Iterator[Fault]:
    spec = cluster.spec
    if cluster.name == "main":
        yield _wrong(("metadata", "name"), "main", "which is the branch's name", "Take another name.")
    yield from _labels(cluster.metadata.labels, ("metadata", "labels"))
    if is_ipv4(spec.trust_domain):
        why = "an IP address, which no name constraint can hold"
        remedy = "Write a domain name, and the same into istiod's trustDomain."
        yield _wrong(("spec", "trustDomain"), spec.trust_domain, why, remedy)
    segments = spec.locality.split("/") if spec.locality else []
    if len(segments) > 3 or not all(map(_REGION.fullmatch, segments)):
        remedy = "Write region, region/zone or region/zone/subzone."
        yield _wrong(("spec", "locality"), spec.locality, "", remedy)
    yield from _gateway(spec.gateway)
    yield from _public_keys(spec.syncer.public_keys)
    yield from cluster_trust_faults(spec.trust) if spec.trust else ()
    for i, pattern in enumerate(spec.may_export or ()):
        if not _NAMESPACES.fullmatch(pattern):
            why = "which no namespace can be called"
            yield _wrong(("spec", "mayExport", i), pattern, why, "Write a name, or a pattern with * and ?.")


def _gateway(gateway: GatewaySettings) -> Iterator[Fault]:
    where: Where = ("spec", "gateway", "selector")
    if not gateway.selector:
        what = f"{dotted(where)} is empty, which would select every pod"
        yield Fault(where, what, "Write the labels of the gateway's pods, like istio: eastwestgateway.")
    yield from _labels(gateway.selector, where)
    for i, address in enumerate(gateway.addresses):
        if why := _address_fault(address):
            remedy = "Write host or host:port, where host is an IPv4 address or a host name."
            yield _wrong(("spec", "gateway", "addresses", i), address, why, remedy)
    for i in repeated(gateway.addresses):
        where = ("spec", "gateway", "addresses", i)
        yield _wrong(where, gateway.addresses[i], "which stands twice", "Keep one of the two.")


def _address_fault(text: str) -> str | None:
    host, colon, port = text.partition(":")
    if "[" in text or text.count(":") > 1:
        return "an IPv6 address, which peermesh can't render"
    if "/" in text or not is_subdomain(host) or (host.rpartition(".")[2].isdecimal() and not is_ipv4(host)):
        return "which isn't an address"
    if colon and not (_PORT.fullmatch(port) and int(port) <= 65535):
        return "whose port isn't a number from 1 to 65535"
    return None


def _public_keys(keys: tuple[str, ...]) -> Iterator[Fault]:
    where: Where = ("spec", "syncer", "publicKeys")
    remedy = "Copy the key that the syncer logs at its start."
    for i, key in enumerate(keys):
        try:
            parse_public_key(key)
        except ValueError as error:
            yield _wrong((*where, i), key, f"but {error}", remedy)
    for i in repeated(keys):
        yield _wrong((*where, i), keys[i], "which stands twice", "Keep one of the two.")


def _labels(labels: Mapping[str, str], where: Where) -> Iterator[Fault]:
    for key, value in labels.items():
        prefix, slash, name = key.rpartition("/")
        if not _LABEL_NAME.fullmatch(name) or (slash and not is_subdomain(prefix)):
            what = f"{dotted(where)} has {shown(key)}, which isn't a label's key"
            yield Fault((*where, key), what, "Write one that Kubernetes allows, like env or acme.example/tier.")
        elif value and not _LABEL_NAME.fullmatch(value):
            why = "which isn't a label's value"
            yield _wrong((*where, key), value, why, "Write one that Kubernetes allows, like prod.")
