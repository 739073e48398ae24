"""Whether a tree may take the place of another one as far as trust goes: what was signed answers what was approved.

Bytes decide, not authors, so a certificate that somebody put on a branch passes only if the request for it stood on
main before. Knows the documents of both trees and certificates; knows no clock: dates are the signer's and the
agent's.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from syncer.protocol.cacerts import Cacerts, cacerts_faults
from syncer.protocol.cacerts_rules import TIMELY
from syncer.protocol.certificates import key_fingerprint, name_text, read_certificate, read_certificates
from syncer.protocol.request import subject_of
from syncer.protocol.revocation import SKEW
from workers.ceremony import record_fault
from workers.documents import paths
from workers.documents.reading import Invalid, line_of, read
from workers.documents.shape import Where
from workers.documents.trust import (
    CertificateRequest,
    CertificateRequestSpec,
    Intermediate,
    IntermediateSpec,
    PkiDocument,
    duration_of,
)
from workers.pki.lists import former_crls
from workers.tree import Files, Pki, Problem, Tree, compared

_SIGNER: Final = "The signer signs what stands on main, and `flush` proposes it: close this and look who made it."


def trust_problems(tree: Tree, files: Files, base: Files | None) -> Iterator[Problem]:
    """What is wrong with `pki/`; with `base`, the tree that it shall replace, also with how it differs from that."""
    for name, root in tree.facts.pki.roots.items():
        if fault := record_fault(root):
            remedy = "Take the root out, or bring the record of its ceremony."
            yield _problem(files, paths.root_path(name), ("spec", "record"), fault, remedy)
    for name in tree.facts.pki.intermediates:
        path = paths.intermediate_path(name)
        if base is None or base.blob(path) != files.blob(path):  # lint has looked at what is rendered of the others
            yield from _refused(tree, files, name)
    if base is None or dict(base.under(paths.PKI)) == dict(files.under(paths.PKI)):
        return
    before = _read(base)
    change = files.since(base, "")
    changed = (compared(base, files, "") if change is None else change).keys()
    yield from _roots(tree, files, before)
    yield from _parted(tree, files, before)
    for name in tree.clusters.keys() | before.requests.keys():
        yield from _request(tree, files, before, name)
    for name in sorted(before.intermediates.keys() | tree.facts.pki.intermediates.keys()):
        yield from _intermediate(tree, files, before, name, changed)


def _problem(files: Files, path: str, where: Where, what: str, remedy: str) -> Problem:
    line = line_of(files.read(path), where) if where and files.blob(path) is not None else 0
    return Problem(path=path, line=line, what=what, remedy=remedy)


def _read(files: Files) -> Pki:
    """The documents of `pki/`, those that can be read."""
    found: dict[str, PkiDocument | None] = {}
    for path, _ in files.under(paths.PKI):
        try:
            document = read(path, files.read(path))
        except Invalid:
            continue
        if isinstance(document, PkiDocument):
            found[path] = document
    return Pki().with_changes(found)


def _refused(tree: Tree, files: Files, name: str) -> Iterator[Problem]:
    """What istiod or Envoy would refuse, at a moment at which the certificate is valid."""
    spec, roots, cluster = tree.facts.pki.intermediates[name].spec, tree.facts.pki.roots, tree.clusters.get(name)
    if spec.root not in roots or cluster is None:
        return
    path = paths.intermediate_path(name)
    cacerts = Cacerts(
        certificate=spec.certificate,
        chain=spec.certificate + spec.chain,
        roots=roots[spec.root].spec.certificate,
    )
    begins = read_certificate(spec.certificate, subject=path).not_valid_before_utc
    for fault in cacerts_faults(cacerts, trust_domain=cluster.spec.trust_domain, now=begins):
        if fault.rule not in TIMELY:
            yield _problem(files, path, ("spec", "certificate"), f"{fault.what} ({fault.certificate})", fault.remedy)


def _roots(tree: Tree, files: Files, before: Pki) -> Iterator[Problem]:
    for name, root in tree.facts.pki.roots.items():
        old = before.roots.get(name)
        if old is not None and old.spec.certificate != root.spec.certificate:
            what = "the certificate of a root was exchanged: clusters trust the one that stood here"
            remedy = "Give the new one a name of its own, and order the rollover to it."
            yield _problem(files, paths.root_path(name), ("spec", "certificate"), what, remedy)


def _parted(tree: Tree, files: Files, before: Pki) -> Iterator[Problem]:
    """Clusters whose workloads had a root in common, and would have none, whatever was observed of them."""
    trust, pki = tree.mesh.spec.trust, tree.facts.pki
    if trust is None or trust.distrust_first:
        return
    counted = [name for name in tree.clusters if name not in trust.exclude]
    had, have = _accepted(before), _accepted(pki)
    for name, other in itertools.permutations((name for name in counted if name in had and name in have), 2):
        was, now = set(before.steps[other].bundle), set(pki.steps[other].bundle)
        if had[name] & was and not have[name] & now:
            what = (
                f"workloads of {name} and {other} would share no root: {name} signs under"
                f" {pki.intermediates[name].spec.root}, and {other} trusts {', '.join(sorted(now))} alone"
            )
            moved = before.steps[other] != pki.steps[other]
            path, where = (
                (paths.TRUST, ("spec", "clusters", other))
                if moved
                else (paths.intermediate_path(name), ("spec", "root"))
            )
            remedy = "Let the robot take the steps: everybody trusts a root before anybody signs under it."
            yield _problem(files, path, where, what, remedy)


def _accepted(pki: Pki) -> Mapping[str, set[str]]:
    """By cluster that signs with ours: the roots by which its leaves are accepted, cross certificates included."""
    subjects = {
        read_certificate(root.spec.certificate, subject=name).subject.public_bytes(): name
        for name, root in pki.roots.items()
    }
    found: dict[str, set[str]] = {}
    for name in pki.intermediates.keys() & pki.steps.keys():
        spec = pki.intermediates[name].spec
        chain = read_certificates(spec.chain, subject=name) if spec.chain else ()
        by_chain = (subjects.get(above.issuer.public_bytes()) for above in chain)
        found[name] = {spec.root, *(root for root in by_chain if root is not None)}
    return found


def _request(tree: Tree, files: Files, before: Pki, name: str) -> Iterator[Problem]:
    """What was approved stays as it was approved: it may have been signed already."""
    old, new, path = before.requests.get(name), tree.facts.pki.requests.get(name), paths.request_path(name)
    if new is None or new == old:
        return
    standing = before.intermediates.get(name)
    has = max(old.spec.rotation if old else 0, standing.spec.rotation if standing else 0)
    if new.spec.rotation > has:
        return
    if old is not None and new.spec.rotation == old.spec.rotation:
        what = f"the request for rotation {has} says something else than what was approved"
    else:
        what = f"a request for rotation {new.spec.rotation}, and rotation {has} was asked for already"
    remedy = f"`git checkout main -- {path}` brings it back; another key is another rotation."
    yield _problem(files, path, ("spec", "rotation"), what, remedy)


def _intermediate(tree: Tree, files: Files, before: Pki, name: str, changed: Collection[str]) -> Iterator[Problem]:
    old, new = before.intermediates.get(name), tree.facts.pki.intermediates.get(name)
    path, cluster = paths.intermediate_path(name), tree.clusters.get(name)
    if new is None:
        if cluster is not None and cluster.spec.trust is not None:
            what = "an intermediate was removed, and its cluster signs with it"
            yield _problem(files, path, (), what, f"`git checkout main -- {path}` brings it back")
        return
    if new == old or (old is not None and _signed_part(old.spec) == _signed_part(new.spec)):
        return
    asked, request = before.requests.get(name), tree.facts.pki.requests.get(name)
    if asked is None or asked.spec.rotation != new.spec.rotation:
        what = f"rotation {new.spec.rotation} was signed, and no request for it was approved"
        yield _problem(files, path, ("spec", "rotation"), what, _SIGNER)
    else:
        yield from (
            _problem(files, path, where, what, _SIGNER)
            for where, what in _answers(tree, name, new, asked, request, old)
        )
    for other in _beside(path, changed):
        what = f"changes together with the certificate of {name}, which goes alone"
        yield _problem(files, other, (), what, "Propose it on a branch of its own.")


def _signed_part(spec: IntermediateSpec) -> tuple[object, ...]:
    """All but what may change without a signature: a cross certificate that goes, a line break that comes."""
    return spec.rotation, spec.root, spec.certificate, spec.crl, spec.former_crls, spec.sealed


def _beside(path: str, changed: Iterable[str]) -> Iterator[str]:
    for other in sorted(changed):
        match other.split("/"):
            case ["clusters", _, "ca", *_]:
                continue  # what follows; with CRLs in every cluster
        if other != path:
            yield other


def _answers(
    tree: Tree,
    name: str,
    new: Intermediate,
    asked: CertificateRequest,
    request: CertificateRequest | None,
    old: Intermediate | None,
) -> Iterator[tuple[Where, str]]:
    """Where a certificate isn't what was approved."""
    spec, rotation = new.spec, new.spec.rotation
    if request != asked:
        yield ("spec", "rotation"), f"the request for rotation {rotation} changes along with its certificate"
    if old is not None and rotation <= old.spec.rotation:
        yield ("spec", "rotation"), f"rotation {rotation} comes after rotation {old.spec.rotation}"
    if spec.root != asked.spec.root:
        yield ("spec", "root"), f"it stands under root {spec.root}, and {asked.spec.root} was approved"
    if spec.former_crls != former_crls(old.spec if old is not None else None):
        yield ("spec", "formerCrls"), "they aren't the CRLs of the intermediates before it"
    yield from _certifies(tree, name, spec, asked.spec)


def _certifies(
    tree: Tree, name: str, spec: IntermediateSpec, asked: CertificateRequestSpec
) -> Iterator[tuple[Where, str]]:
    where: Where = ("spec", "certificate")
    certificate = read_certificate(spec.certificate, subject=name)
    subject = subject_of(mesh=tree.mesh.metadata.name, cluster=name, rotation=spec.rotation)
    if certificate.subject != subject:
        yield where, f"it is for {name_text(certificate.subject)}, and {name_text(subject)} was asked for"
    if asked.csr and key_fingerprint(certificate.public_key()) != asked.key_fingerprint:
        found = key_fingerprint(certificate.public_key())
        yield where, f"its key is {found}, and {asked.key_fingerprint} was approved"
    if bool(spec.sealed) == bool(asked.csr):
        yield ("spec", "sealed"), "a key is sealed in it" if spec.sealed else "no key is sealed in it"
    if asked.csr and spec.crl != asked.crl:
        yield ("spec", "crl"), "its CRL isn't the one that the request brought"
    trust = tree.mesh.spec.trust
    lives = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    if trust is not None and lives > duration_of(trust.intermediates.lifetime) + SKEW:
        yield where, f"it lives for {lives.days} days, longer than `spec.trust.intermediates.lifetime` in {paths.MESH}"
