"""The ceremony of a root as a person holds it: keys are made or opened here, and the public side is proposed.

Knows where keys lie. What is made of them is said by `workers.ceremony`; no key gets into the proposal or a message.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from syncer.protocol.certificates import fingerprint, read_certificate, write_certificates
from syncer.protocol.errors import Rejected
from syncer.protocol.names import is_label
from syncer.protocol.revocation import AuthorityKey
from workers.ceremony import Holder, Made, Wish, init_root, revoke
from workers.cli.ca.orders import TRUST, Order, Orders
from workers.cli.edit import with_value
from workers.documents import paths
from workers.documents.trust import Root, duration_of
from workers.documents.writing import write
from workers.pki.crl import Revoked
from workers.signers import SIGNERS, Place
from workers.signers.key_file import check_key_file, read_key_file, write_key_file
from workers.signers.pkcs11 import make_key
from workers.signers.place import read_secret

_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Where keys lie, and go. `own`: the new root's; `online`: that of its online intermediate, if it shall have one;
    `present`: the wanted root's, to cross-certify the two.
    """

    own: Place
    online: Place | None = None
    present: Place | None = None
    key_type: str = "P-384"


def new_root(
    name: str, keys: Keys, *, who: str, lifetime: str, online_lifetime: str, issuers: Path
) -> Callable[[Orders], Order]:
    """What proposes a new root. Its key is written when everything else is known to be well.

    Raises (when called):
        Rejected, HumanNeeded, Transient: as `workers.ceremony` and `workers.signers` do.
    """

    def order(orders: Orders) -> Order:
        _check(name, keys, issuers)
        mesh = orders.tree.mesh
        roots = orders.tree.facts.pki.roots
        key = _new_key(keys.own, keys.key_type)
        online = _new_key(keys.online, keys.key_type) if keys.online else None
        wish = Wish(
            mesh=mesh.metadata.name,
            name=name,
            who=who,
            lifetime=duration_of(lifetime),
            online=online,
            online_lifetime=duration_of(online_lifetime),
        )
        with _present(orders, keys.present) as present:
            made = init_root(
                wish,
                key,
                now=datetime.now(UTC).replace(microsecond=0),
                serial=x509.random_serial_number,
                known=roots.values(),
                present=present,
            )
        proposed = _proposal(orders, made, keys, issuers)
        _keep(keys.own, key)
        if keys.online and online is not None:
            _keep(keys.online, online)
        issuers.write_text(write_certificates(made.issuers))
        return proposed

    return order


def signed_list(name: str, place: Place) -> Callable[[Orders], Order]:
    """What proposes the next CRL of a root: it names what people ordered to be revoked.

    Raises (when called):
        Rejected, HumanNeeded, Transient: no such root, or its key can't sign.
    """

    def order(orders: Orders) -> Order:
        orders.root(name)
        document = orders.tree.facts.pki.roots[name]
        entries = [entry for entry in orders.trust().revoked if entry.issuer == name]
        taken = [Revoked(serial=int(entry.serial, 16), reason=entry.reason) for entry in entries]
        with _opened(place, document) as key:
            after = revoke(document, key, taken, now=datetime.now(UTC).replace(microsecond=0))
        said = ", ".join(entry.serial for entry in entries) or "nothing"
        sentences = (f"The CRL of {name} names {said}.", "Clusters get it where spec.trust.crls is on.")
        changes = {paths.root_path(name): write(after)}
        return orders.order(f"crl-{name}", f"Sign the CRL of root {name}", sentences, changes)

    return order


def _check(name: str, keys: Keys, issuers: Path) -> None:
    if not is_label(name):
        raise Rejected("BadName", f"{name!r} isn't a DNS label", remedy="Take lower-case letters, digits and hyphens.")
    for place in (keys.own, keys.online):
        if place is not None and place.key is not None:
            check_key_file(place.key)
            read_secret(place.passphrase, what="passphrase", setting="--passphrase-file")
    check_key_file(issuers)


def _new_key(place: Place, key_type: str) -> AuthorityKey:
    return make_key(place, key_type) if place.key is None else ec.generate_private_key(_CURVES[key_type])


def _keep(place: Place, key: AuthorityKey) -> None:
    """A key in a token is there already."""
    if place.key is not None:
        write_key_file(key, place.key, read_secret(place.passphrase, what="passphrase", setting="--passphrase-file"))


@contextmanager
def _present(orders: Orders, place: Place | None) -> Iterator[tuple[Holder, ...]]:
    """The root that is wanted now, with its key."""
    if place is None:
        yield ()
        return
    name = orders.trust().root
    orders.root(name)
    root = orders.tree.facts.pki.roots[name]
    with _opened(place, root) as key:
        yield (Holder(root=root, key=key),)


@contextmanager
def _opened(place: Place, root: Root) -> Iterator[AuthorityKey]:
    """The key of a root that is on main."""
    if place.key is not None:
        yield read_key_file(place.key, place.passphrase)
        return
    with tempfile.TemporaryDirectory(prefix="peermesh-") as folder:
        certificate = Path(folder) / "root.pem"  # public: a token's key is found by it
        certificate.write_text(root.spec.certificate)
        yield SIGNERS["pkcs11"](replace(place, issuers=certificate)).key


def _proposal(orders: Orders, made: Made, keys: Keys, issuers: Path) -> Order:
    name = made.root.metadata.name
    changes: dict[str, bytes | None] = {
        paths.root_path(root.metadata.name): write(root) for root in (made.root, *made.others)
    }
    certificate = read_certificate(made.root.spec.certificate, subject=name)
    sentences = [f"Root {name}, {fingerprint(certificate)}, until {certificate.not_valid_after_utc:%Y-%m-%d}."]
    assert made.root.spec.record is not None
    sentences += [f"Record: {line}" for line in made.root.spec.record.text.splitlines()[1:]]
    sentences += [
        f"Root {other.metadata.name} and it vouch for each other, as long as both last." for other in made.others
    ]
    if orders.tree.mesh.spec.trust is None:
        text = orders.files.read(paths.MESH).decode()
        changes[paths.MESH] = with_value(text, TRUST, {"root": name}).encode()
        sentences.append("It is the first one, so it is the root that the mesh wants (spec.trust.root).")
        hint = "`peermesh ca manage CLUSTER` for each cluster."
    else:
        sentences.append("Nobody trusts it yet, and nothing is signed under it.")
        hint = f"Once it is on main: peermesh ca rollover start {name}"
    hints = (f"The signer of {name}: {_signer(keys, issuers)}", hint, _SAFE if keys.own.key else "")
    return orders.order(f"root-{name}", f"Make root {name}", sentences, changes, tuple(filter(None, hints)))


_SAFE: Final = "Put a copy of the key file and its passphrase away, each in another place: nobody can make it again."


def _signer(keys: Keys, issuers: Path) -> str:
    """The environment of `peermesh signer`."""
    place = keys.online or keys.own
    settings: Mapping[str, object] = {"ISSUERS_FILE": issuers} | (
        {"KEY_FILE": place.key, "PASSPHRASE_FILE": place.passphrase}
        if place.key
        else {"MODULE": place.module, "TOKEN": place.token, "KEY_LABEL": place.label, "PIN_FILE": place.pin}
    )
    kind = "" if place.key else "PEERMESH_SIGNER=pkcs11 "
    told = {name: value.absolute() if isinstance(value, Path) else value for name, value in settings.items()}
    return kind + " ".join(f"PEERMESH_SIGNER_{name}={value}" for name, value in told.items())
