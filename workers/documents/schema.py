"""The formats, said twice more: as JSON Schema for editors and CI, and as `docs/formats.md` for people.

Knows the types of `kinds` by what they say of themselves; what no type can say stands in `_NOTES`. Adds no rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, get_args

import msgspec

from workers.documents.examples import EXAMPLES
from workers.documents.kinds import KINDS
from workers.documents.shape import bare_type, expected, is_struct, metas

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, dict[str, Any]]:
    """A self-contained JSON Schema (2020-12) by kind."""
    return {name: _schema(name, kind) for name, kind in KINDS.items()}


def _schema(name: str, kind: type[Any]) -> dict[str, Any]:
    schema = _strict(msgspec.json.schema(kind))
    definition = schema["$defs"][name]
    definition["required"] = ["apiVersion", "kind", *definition["required"]]
    return {"$schema": _DIALECT, "title": f"peermesh {name}", **schema}


def _strict(node: Any) -> Any:
    """What msgspec says, without null, which documents don't have, and without unknown keys anywhere."""
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    strict = {key: _strict(value) for key, value in node.items() if not (key == "default" and value is None)}
    if "anyOf" in strict:
        arms = [arm for arm in strict.pop("anyOf") if arm != {"type": "null"}]
        strict |= arms[0]
    if "properties" in strict:
        strict["additionalProperties"] = False
    return strict


# --- docs/formats.md


class _Row(NamedTuple):
    field: str
    value: str
    default: str
    meaning: str


def formats_markdown() -> str:
    """The whole of `docs/formats.md`."""
    return "\n".join([_INTRODUCTION, *(line for name in KINDS for line in _section(name)), _AGREEMENT])


def _section(name: str) -> Iterator[str]:
    path, who = _PLACES[name]
    yield f"## {name}\n"
    yield f"`{path}`, written by {who}.\n{_sentences(KINDS[name])}\n"
    yield f"```yaml\n{EXAMPLES[name]}```\n"
    yield "| field | value | default | meaning |\n|---|---|---|---|"
    for row in _rows(KINDS[name], ""):
        if row.field not in {"apiVersion", "kind"}:
            yield f"| `{row.field}` | {row.value} | {row.default} | {row.meaning} |".replace("  ", " ")
    yield ""
    if name in _NOTES:
        yield f"{_NOTES[name]}\n"


def _rows(kind: type[msgspec.Struct], prefix: str) -> Iterator[_Row]:
    for field in msgspec.structs.fields(kind):
        name = f"{prefix}{field.encode_name}"
        inner, below = bare_type(field.type), f"{name}."
        if get_args(inner) and is_struct(get_args(inner)[0]):
            inner, below = get_args(inner)[0], f"{name}[]."
        meaning = next((meta.description for meta in metas(field.type) if meta.description), None)
        if meaning is None and is_struct(inner):
            meaning = _sentences(inner).replace("\n", " ")
        value = ("a list" if below.endswith("[].") else "a map") if is_struct(inner) else expected(field.type)
        yield _Row(name, value, _default(field), meaning or "")
        if is_struct(inner):
            yield from _rows(inner, below)


def _sentences(kind: type[Any]) -> str:
    """What a type says of itself, a sentence a line."""
    return " ".join((kind.__doc__ or "").split()).replace(". ", ".\n")


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if value is None or is_struct(type(value)):
        return ""
    return f"`{msgspec.json.encode(value).decode()}`"


_PLACES: Final[Mapping[str, tuple[str, str]]] = {
    "Mesh": ("mesh/mesh.yaml", "people"),
    "Cluster": ("mesh/clusters/<name>.yaml", "people"),
    "ClusterFacts": ("facts/clusters/<name>.yaml", "the robot"),
    "Export": ("facts/exports/<namespace>/<cluster>/<name>.yaml", "the robot"),
    "Host": ("facts/hosts/<namespace>/<name>.yaml", "the robot"),
    "Root": ("pki/roots/<name>.yaml", "the robot, once `peermesh ca` proposed it"),
    "CertificateRequest": ("pki/requests/<cluster>.yaml", "the robot"),
    "Intermediate": ("pki/intermediates/<cluster>.yaml", "the robot"),
    "SealingCertificate": ("pki/sealing/<cluster>.yaml", "the robot, once `peermesh ca` proposed it"),
    "Trust": ("pki/trust.yaml", "the robot"),
}

_INTRODUCTION: Final = """\
<!-- Written anew by `make golden`; a test compares. -->
# Formats

What may stand in `mesh/` (people write it), and in `facts/` and `pki/` (the robot writes them).
What the robot renders into `clusters/` are objects of Istio, and in `ca/` what brings a cluster its certificate.

Each file is one document of `apiVersion: peermesh.io/v1alpha1`.
Its path says its kind and its names, and the document says the same.
Files that don't end in `.yaml`, `.yml` or `.json` are ignored.

**Reading is strict.**
An unknown key, a key that stands twice, a key without a value, a value of another type, text that isn't UTF-8,
a second document, a tag, an anchor, an alias or a merge key is refused, with file, line and what to do.
Numbers are decimal, and only `true` and `false` are booleans:
what readers of YAML disagree on (`yes`, `012`, `1:30`, `2026-01-31`) is text.
A problem in `mesh/` stops all planning, because nothing may be planned on half a mesh;
a problem in `facts/` stops the namespace or the cluster that it belongs to.
A problem in `pki/`, or an order in `spec.trust` that names what isn't there, stops everything of trust:
no file of `clusters/<cluster>/ca/` changes or goes, and exports go on.

**Writing has one form.**
Fields stand in the order of the tables below, maps are sorted by key, defaults are left out.
Block style, no folding, `\\n` at the end of a line, other characters than ASCII escaped.
Text (keys too) stands plain if it matches `[A-Za-z][A-Za-z0-9._/-]*(:[A-Za-z0-9._/-]+)*`
and is none of `y n yes no on off true false null` in any case; all other text stands in double quotes.
PEM, and the record of a ceremony, are the only texts with line breaks.
The robot's files must have that form to the byte;
people's may be written in any way that YAML allows, with comments.

`workers.documents.schema.json_schema()` gives a JSON Schema for each kind.
"""

_NOTES: Final[Mapping[str, str]] = {
    "Mesh": """\
- `spec.hosts.template` ends in a domain, outside of `cluster.local`; no host can get longer than 253 characters.
- `spec.hosts.virtualIPs` overlap neither each other
  nor 240.240.0.0/16 (Istio's), loopback, link-local, multicast or 0.0.0.0/8.
- `spec.hosts.additional`: a pattern stands once, and overlaps neither the template's domain nor `cluster.local`.
- `spec.trust.root` isn't compromised; `distrustFirst` goes with `compromised`.""",
    "Cluster": """\
- A cluster can't be called `main`.
- `spec.gateway.selector` isn't empty; IPv6 addresses are refused.
- `spec.trust.sealing` goes with `delivery: sealed-secrets`.""",
    "Export": """\
`ports` are sorted by number; `serviceAccounts`, `consumers` and `hosts` are sorted; nothing stands twice.""",
    "Root": """\
- PEM holds certificates (in `crl` revocation lists) and nothing else: no text around them, no key, none twice.
- It is signed by its own key, and is what istiod and Envoy accept as a root; `issuers` stand below it.
- A cross certificate has its subject and its key; each list in `crl` is signed by the root or one of `issuers`.""",
    "CertificateRequest": """\
- `csr` asks for nothing but a signature under its key; that key is `keyFingerprint`, and made the list in `crl`.
- Its subject is `CN=<cluster>-<rotation>, O=<mesh>`.""",
    "Intermediate": """\
- Each certificate of `chain` has issued the one before it, `certificate` the first; the list in `crl` is its own.""",
    "SealingCertificate": """\
Its key is RSA.""",
    "Trust": """\
- `bundle` is sorted.""",
}

_AGREEMENT: Final = """\
## What holds between documents

- Networks, trust domains and public keys are distinct, and no trust domain is below another one:
  a certificate's name constraint on a domain also covers what is below it.
- A cluster that facts name has its Cluster file.
- Each exported service has a Host, with an address for its name and for each further name that it may claim,
  and with all its exporters as providers.
- Each address is inside `spec.hosts.virtualIPs` and belongs to one host name; each host name has one address.
- What `spec.trust` and `pki/` name exists: roots in `pki/roots/`, clusters in `mesh/clusters/`.
  Before the first root stands there, `spec.trust.root` may be any name.
- No two roots have one subject; a cross certificate is signed by the root that it names.
- A request is of a cluster with `spec.trust`, and no key of an agent is another agent's or a syncer's.
- The certificate in `pki/sealing/` is the one that the cluster's `spec.trust.sealing` pins.
"""
