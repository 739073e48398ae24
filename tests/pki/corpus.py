"""Good and bad `cacerts`, each with the rule of ours that it breaks and with the engines that refuse it.

Knows how certificates can be wrong; knows no engine. What an engine says of a case is held against `refused_by` where
the engine runs: openssl in `tests/pki`, Go's crypto/x509 and Envoy in `tests/e2e`. An engine refuses a case if it
refuses it in any role: istiod when it reads the files or starts with them, the others the leaf of a server or client.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID

from syncer.protocol.cacerts import Cacerts
from syncer.protocol.certificates import Certificate, write_certificates
from syncer.protocol.revocation import Revoked
from tests.pki.authority import DAY, Authority, key_pem, private_key
from tests.pki.case import ALL, ENVOY, GO, ISTIOD, OPENSSL, PEERS, TOLERATED, TRUST_DOMAIN, Case, case
from tests.pki.drafts import Draft, in_version_1, uri, with_compressed_key, with_serial, with_sha1

_UNKNOWN: Final = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")


class Corpus:
    """The cases at one time: engines with a clock of their own take `now` from it.

    With `constrained` false intermediates have no name constraint, for an engine that knows none; then the rule
    `NameConstraint` is broken by all of them, and the others still are by those they are named for.
    """

    def __init__(self, now: datetime, *, constrained: bool = True) -> None:
        self.now = now
        self.only = uri(TRUST_DOMAIN) if constrained else ()
        self.a = self.root("a")
        self.b = self.root("b")
        self.online = self.issuer("online", below=1)
        self.signer = self.intermediate()

    def root(self, name: str, **wrong: Any) -> Authority:
        wrong = {"key": private_key(f"corpus {name}"), "below": None, "end": 3650 * DAY} | wrong
        return Draft(name=name, **wrong).issue(self.now)

    def issuer(self, name: str, by: Authority | None = None, **wrong: Any) -> Authority:
        """A CA between a root and intermediates."""
        wrong = {"key": private_key(f"corpus {name}"), "end": 365 * DAY} | wrong
        return Draft(name=name, **wrong).issue(self.now, by or self.a)

    def intermediate(self, by: Authority | None = None, signer: Any = None, **wrong: Any) -> Authority:
        return Draft(**{"name": "west-1", "permitted": self.only} | wrong).issue(self.now, by or self.a, signer)

    def cross(self, below: int = 1, **wrong: Any) -> Certificate:
        """Root b, signed by root a."""
        return self.issuer("b", self.a, below=below, **wrong).certificate

    def case(self, name: str, signer: Authority | None = None, *roots: Authority, **fields: Any) -> Case:
        """By default the good signer under root a."""
        signer = signer or self.signer
        return case(name, signer, now=self.now, **{"cacerts": signer.cacerts(*(roots or (self.a,)))} | fields)

    def cases(self) -> tuple[Case, ...]:
        """All of them; names are unique."""
        return (
            *self.good(),
            *self.signers(),
            *self.identifiers(),
            *self.usages(),
            *self.constraints(),
            *self.chains(),
            *self.issuers(),
            *self.roots(),
            *self.bundles(),
            *self.beside(),
            *self.texts(),
            *self.lists(),
        )

    def good(self) -> Iterator[Case]:
        yield self.case("an intermediate under a root")
        yield self.case("P-384", self.intermediate(key=private_key("corpus", "P-384")))
        for kind in ("P-384", "P-521", "RSA-2048", "RSA-4096"):
            root = self.root("a", key=private_key("corpus a", kind))
            yield self.case(f"under a root with {kind}", self.intermediate(root), root)
        yield self.case("a bundle of two roots", None, self.a, self.b)
        yield self.case("the other order of the bundle", None, self.b, self.a)
        pulled = replace(self.signer.cacerts(self.a), roots=self.a.pem + "\n\n")
        yield self.case("a bundle with the lever pulled twice", cacerts=pulled)
        yield self.case("an online intermediate of an offline root", self.intermediate(self.online))
        crossed = replace(self.intermediate(self.b), above=(self.cross(),))
        yield self.case("cross-signed, where the old root is trusted", crossed, self.a)
        yield self.case("cross-signed, where the new root is trusted", crossed, self.b)
        yield self.case("cross-signed, where both are trusted", crossed, self.a, self.b)
        online = self.issuer("online b", self.b, below=1)
        below = replace(self.intermediate(online), above=(online.certificate, self.cross(2)))
        yield self.case("cross-signed above an online intermediate", below, self.a)
        old = self.root("a", begin=-9 * DAY, end=-DAY)
        yield self.case("an expired root beside the one in use", self.intermediate(self.b), old, self.b)
        gone = replace(self.intermediate(self.b), above=(self.cross(begin=-9 * DAY, end=-DAY),))
        yield self.case("an expired cross certificate that nobody needs", gone, self.b)

    def signers(self) -> Iterator[Case]:
        made = self.intermediate
        yield self.case("CA:FALSE", made(ca=False), rule="NotAnAuthority", refused_by=ALL)
        yield self.case("expired", made(begin=-9 * DAY, end=-DAY), rule="Expired", refused_by=ALL)
        yield self.case("not yet valid", made(begin=DAY), rule="NotYetValid", refused_by=ALL)
        edwards = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
        yield self.case("Ed25519", made(key=edwards), rule="KeyType")
        short = private_key("corpus", "RSA-1024")
        yield self.case("RSA 1024", made(key=short), rule="WeakKey")
        yield self.case("RSA 2048", made(key=private_key("corpus", "RSA-2048")), rule="KeyType")
        yield self.case("P-224", made(key=private_key("corpus", "P-224")), rule="WeakKey")
        yield self.case("P-521", made(key=private_key("corpus", "P-521")), rule="KeyType")
        other = private_key("another")
        yield self.case("the key of another certificate", key=other, rule="WrongKey", refused_by=ALL)
        forged = made(signer=other)
        yield self.case("signed by another key in the root's name", forged, rule="NoPath", refused_by=ALL)
        yield self.case("no path length", made(below=None), rule="PathLength")
        yield self.case("path length 1", made(below=1), rule="PathLength")
        yield self.case("basic constraints that aren't critical", made(basic_critical=False), rule="BasicConstraints")
        yield self.case("no subject", made(name=""), rule="NoSubject", refused_by=frozenset({OPENSSL}))
        long = replace(self.signer, certificate=with_serial(self.signer.certificate, self.a.key, 21))
        yield self.case("a serial number of 21 octets", long, rule="SerialNumber")
        yield self.case("Ed448", made(key=ed448.Ed448PrivateKey.generate()), rule="KeyType",
                        refused_by=ALL - {OPENSSL})  # fmt: skip
        yield self.case("it outlives its root", made(end=4000 * DAY), rule="OutlivesIssuer")
        yield self.case("an unknown extension", made(extra=((_UNKNOWN, False),)), rule="UnknownExtension")
        critical = made(extra=((_UNKNOWN, True),))
        yield self.case("an unknown critical extension", critical, rule="UnknownExtension", refused_by=ALL)
        sha1 = replace(self.signer, certificate=with_sha1(self.signer.certificate, self.a.key))
        yield self.case("signed with SHA-1", sha1, rule="WeakSignature NoPath", refused_by=frozenset({ISTIOD, GO}))

    def identifiers(self) -> Iterator[Case]:
        made, rule, root = self.intermediate, "KeyIdentifier", self.a.certificate
        strict = frozenset({OPENSSL, ENVOY})
        serial = ([x509.DirectoryName(root.subject)], root.serial_number)
        own = x509.SubjectKeyIdentifier.from_public_key(root.public_key()).digest
        for name, identifier, refused in (
            ("it names another issuer's key", x509.AuthorityKeyIdentifier(bytes(20), None, None), strict),
            ("it names its issuer's serial number, too", x509.AuthorityKeyIdentifier(own, *serial), TOLERATED),
            ("it names its issuer's serial number alone", x509.AuthorityKeyIdentifier(None, *serial), TOLERATED),
            ("it names another serial number", x509.AuthorityKeyIdentifier(own, serial[0], 9), strict),
        ):
            yield self.case(name, made(authority=identifier), rule=rule, refused_by=refused)
        yield self.case("no key identifier of its own", made(own_identifier=False), rule=rule)
        yield self.case("no key identifier of its issuer", made(issuer_identifier=False), rule=rule)

    def usages(self) -> Iterator[Case]:
        made = self.intermediate
        yield self.case("key usage that isn't critical", made(usage_critical=False), rule="KeyUsage")
        yield self.case("it may not sign certificates", made(sign=False), rule="KeyUsage", refused_by=PEERS)
        yield self.case("no key usage", made(usage=False), rule="KeyUsage")
        yield self.case("it may not sign lists", made(lists=False), rule="KeyUsage")
        server, client = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
        rule = "ExtendedKeyUsage"
        yield self.case("for servers and clients", made(extended=(server, client)), rule=rule)
        yield self.case("for servers", made(extended=(server,)), rule=rule, refused_by=PEERS)
        yield self.case("for clients", made(extended=(client,)), rule=rule, refused_by=ALL)
        anything = (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)
        yield self.case("for any purpose", made(extended=anything), rule=rule, refused_by=frozenset({OPENSSL, ENVOY}))

    def constraints(self) -> Iterator[Case]:
        def made(*names: str, **wrong: Any) -> Authority:
            return self.intermediate(**{"permitted": uri(*names)} | wrong)

        rule, own = "NameConstraint", TRUST_DOMAIN
        yield self.case("no constraint", made(), rule=rule)
        yield self.case("a constraint that isn't critical", made(own, constraint_critical=False), rule=rule)
        yield self.case("a constraint in upper case", made(own.upper()), rule=rule)
        yield self.case("another trust domain, too", made(own, "east.acme.example"), rule=rule)
        yield self.case("what is below it, too", made(own, f".{own}"), rule=rule)
        yield self.case("what is below it alone", made(f".{own}"), rule=rule, refused_by=PEERS)
        yield self.case("a constraint with a scheme", made(f"spiffe://{own}"), rule=rule, refused_by=PEERS)
        yield self.case("a constraint with a path", made(f"{own}/ns"), rule=rule, refused_by=PEERS)
        yield self.case("another trust domain", made("east.acme.example"), rule=rule, refused_by=PEERS)
        excluded = made(excluded=uri(own), permitted=())
        yield self.case("its own trust domain excluded", excluded, rule=rule, refused_by=PEERS)
        yield self.case("an exclusion, too", made(own, excluded=uri("east.acme.example")), rule=rule)
        names = made(permitted=(*uri(own), x509.DNSName("acme.example")))
        yield self.case("DNS names, too", names, rule=rule, refused_by=frozenset({GO}))  # istiod's own has another
        under = "west_1.acme.example"
        yield self.case("a trust domain with an underscore", made(under), rule="TrustDomain", trust_domain=under,
                        refused_by=frozenset({ENVOY}))  # fmt: skip
        yield self.case("a trust domain that is an address", made("192.0.2.7"), rule="TrustDomain NameConstraint",
                        trust_domain="192.0.2.7", refused_by=frozenset({ISTIOD, GO, ENVOY}))  # fmt: skip
        above = made("acme.example")
        yield self.case("a trust domain below the constrained one", above, rule=rule,
                        refused_by=frozenset({OPENSSL, ENVOY}))  # fmt: skip

    def chains(self) -> Iterator[Case]:
        under = self.intermediate(self.online)

        def chain(*certificates: Certificate, signer: Authority = under) -> Cacerts:
            return replace(signer.cacerts(self.a), chain=write_certificates(certificates))

        yield self.case("a chain without the intermediate", under, cacerts=chain(self.online.certificate),
                        rule="ChainWithoutIntermediate", refused_by=PEERS)  # fmt: skip
        previous = chain(self.intermediate(name="west-0", key=private_key("west-0")).certificate, signer=self.signer)
        yield self.case("a chain with the previous intermediate", cacerts=previous, rule="ChainWithoutIntermediate",
                        refused_by=PEERS)  # fmt: skip
        turned = chain(self.online.certificate, under.certificate)
        yield self.case("a chain in the wrong order", under, cacerts=turned, rule="ChainOrder")
        yield self.case("a chain with the root", cacerts=chain(self.signer.certificate, self.a.certificate,
                        signer=self.signer), rule="RootInChain")  # fmt: skip
        yield self.case("a chain without the online intermediate", under, cacerts=chain(under.certificate),
                        rule="NoPath", refused_by=ALL)  # fmt: skip
        lower = self.intermediate(self.signer, name="lower", key=private_key("lower"))
        more = chain(lower.certificate, self.signer.certificate, signer=self.signer)
        yield self.case("a chain that begins below the intermediate", cacerts=more, rule="ChainOrder PathLength")
        stranger = chain(self.signer.certificate, self.cross(), signer=self.signer)
        yield self.case("a chain with a stranger at its end", cacerts=stranger, rule="ChainOrder")

    def issuers(self) -> Iterator[Case]:
        for name, wrong, rule, refused in (
            ("an online intermediate with path length 0", {"below": 0}, "PathLength", PEERS),
            ("an online intermediate that is no CA", {"ca": False}, "NotAnAuthority", ALL),
            ("an online intermediate that may not sign", {"sign": False}, "KeyUsage", ALL),
            ("an expired online intermediate", {"begin": -9 * DAY, "end": -DAY}, "Expired OutlivesIssuer", ALL),
            ("an online intermediate with RSA 1024", {"key": private_key("online", "RSA-1024")}, "WeakKey", TOLERATED),
            ("an online intermediate for servers", {"extended": (ExtendedKeyUsageOID.SERVER_AUTH,)},
             "ExtendedKeyUsage", PEERS),
            ("an online intermediate of another trust domain", {"permitted": uri("east.acme.example")},
             "NameConstraint", PEERS),
            ("an online intermediate for one DNS name", {"permitted": (x509.DNSName("acme.example"),)},
             "NameConstraint", frozenset({GO})),
        ):  # fmt: skip
            issuer = self.issuer("online", **{"below": 1} | wrong)
            yield self.case(name, self.intermediate(issuer), rule=rule, refused_by=refused)
        online = self.issuer("online b", self.b, below=1)
        long = replace(self.intermediate(online), above=(online.certificate, self.cross(1)))
        yield self.case("a cross certificate too short for an online intermediate", long, rule="PathLength",
                        refused_by=PEERS)  # fmt: skip
        old = replace(self.intermediate(self.b), above=(self.cross(begin=-9 * DAY, end=-DAY),))
        yield self.case(
            "an expired cross certificate that is needed", old, rule="Expired OutlivesIssuer", refused_by=ALL
        )

    def roots(self) -> Iterator[Case]:
        blind = frozenset({GO, OPENSSL})  # of a root Envoy looks at its dates, key and name constraints alone
        for name, wrong, rule, refused in (
            ("an expired root", {"begin": -9 * DAY, "end": -DAY}, "Expired OutlivesIssuer", ALL),
            ("a root that isn't valid yet", {"begin": DAY}, "NotYetValid", ALL),
            ("a root with path length 0", {"below": 0}, "PathLength", blind),
            ("a root that is no CA", {"ca": False}, "NotAnAuthority", blind | {ISTIOD}),
            ("a root that may not sign", {"sign": False}, "KeyUsage", ALL),
            ("a root without key usage", {"usage": False}, "", TOLERATED),
            ("a root with basic constraints that aren't critical", {"basic_critical": False}, "", TOLERATED),
            ("a root without key identifiers", {"own_identifier": False}, "", TOLERATED),
            ("a root with RSA 1024", {"key": private_key("corpus a", "RSA-1024")}, "WeakKey", TOLERATED),
            ("a root with Ed25519", {"key": ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))}, "", TOLERATED),
            ("a root for servers and clients", {"extended": (ExtendedKeyUsageOID.SERVER_AUTH,
             ExtendedKeyUsageOID.CLIENT_AUTH)}, "", TOLERATED),
            ("a root for servers", {"extended": (ExtendedKeyUsageOID.SERVER_AUTH,)}, "ExtendedKeyUsage", blind),
            ("a root of the domain above", {"permitted": uri(".acme.example")}, "", TOLERATED),
            ("a root of another trust domain", {"permitted": uri("east.acme.example")}, "NameConstraint", PEERS),
            ("a root that excludes the trust domain", {"excluded": uri(TRUST_DOMAIN)}, "NameConstraint", PEERS),
            ("a root with an unknown critical extension", {"extra": ((_UNKNOWN, True),)}, "UnknownExtension",
             blind | {ISTIOD}),
        ):  # fmt: skip
            root = self.root("a", **wrong)
            yield self.case(name, self.intermediate(root), root, rule=rule,
                            refused_by=refused)  # fmt: skip
        old = replace(self.a, certificate=in_version_1(self.a.certificate, self.a.key))
        yield self.case("a root of version 1", None, old, rule="Version NotAnAuthority")
        short = self.root("a", below=0)
        online = self.issuer("online", short, below=1)
        yield self.case("a root with path length 0 above an online intermediate", self.intermediate(online), short,
                        rule="PathLength", refused_by=blind | {ISTIOD})  # fmt: skip

    def bundles(self) -> Iterator[Case]:
        under = self.intermediate(self.online)
        yield self.case("a bundle without the root", None, self.b, rule="NoPath", refused_by=ALL)
        twin = self.root("a", key=private_key("twin"))
        yield self.case("another root of the same name", None, twin, rule="NoPath", refused_by=ALL)
        yield self.case("two roots of one name", None, self.a, twin, rule="SameSubject")
        yield self.case("an intermediate as root", under, self.online, rule="NotARoot",
                        refused_by=frozenset({OPENSSL}))  # fmt: skip
        yield self.case("an intermediate beside its root", under, self.a, self.online, rule="NotARoot")
        own = Draft(name="west-1", permitted=self.only).issue(self.now)  # a chain without issuers
        yield self.case("a self-signed intermediate", own, own, rule="RootSigns KeyIdentifier")

    def beside(self) -> Iterator[Case]:
        """A root that nobody needs, beside the one in use: istiod starts with no bundle that Go can't parse."""
        mappings = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.33"), b"\x05\x00")
        spaced = x509.SubjectAlternativeName(uri("spiffe://a b"))
        plain = self.b
        short = replace(plain, certificate=with_compressed_key(plain.certificate, plain.key))
        for name, root, rule in (
            ("a constraint on an address", self.root("b", permitted=uri("192.0.2.1")), "NameConstraint"),
            ("a constraint with a space", self.root("b", permitted=uri("acme example")), "NameConstraint"),
            ("a constraint with an empty label", self.root("b", permitted=uri("acme..example")), "NameConstraint"),
            ("a URI with a space", self.root("b", extra=((spaced, False),)), "AlternativeName"),
            ("malformed policy mappings", self.root("b", extra=((mappings, False),)), "UnknownExtension"),
            ("a compressed key", short, "KeyType"),
        ):
            yield self.case(f"beside a root with {name}", None, self.a, root, rule=rule, refused_by=frozenset({ISTIOD}))
        timed = self.root("b", string=_ASN1Type.UTCTime)
        yield self.case("beside a root with a name in UTCTime", None, self.a, timed, rule="Spelling",
                        refused_by=frozenset({ISTIOD}), not_asked=frozenset({ENVOY, OPENSSL}))  # fmt: skip

    def texts(self) -> Iterator[Case]:
        good = self.signer.cacerts(self.a)
        files = frozenset({ENVOY, OPENSSL})  # they load texts in ways of their own
        rule = "NotCertificates"
        secret = key_pem(self.signer.key)
        cut = good.roots.replace(good.roots.splitlines()[3] + "\n", "")
        for name, changed, refused in (
            ("an empty bundle", {"roots": ""}, ALL),
            ("an empty chain", {"chain": ""}, PEERS),
            ("no intermediate", {"certificate": ""}, frozenset({ISTIOD})),
            ("two intermediates", {"certificate": good.certificate + self.online.pem}, TOLERATED),
            ("a root twice", {"roots": good.roots * 2}, TOLERATED),
            ("a root with a line missing", {"roots": good.roots + cut}, frozenset({ISTIOD})),
            ("a private key in the bundle", {"roots": good.roots + secret}, frozenset({ISTIOD})),
            ("a private key in the chain", {"chain": secret + good.chain}, TOLERATED),
            ("a comment in the bundle", {"roots": "the root\n" + good.roots}, TOLERATED),
        ):
            yield self.case(name, cacerts=replace(good, **changed), rule=rule, refused_by=refused - files,
                            not_asked=files)  # fmt: skip

    def lists(self) -> Iterator[Case]:
        made, a, now = self.signer, self.a, self.now
        under = self.intermediate(self.online)

        def case(
            name: str, *crls: str, signer: Authority = made, rule: str = "", refused_by: frozenset[str] = TOLERATED
        ) -> Case:
            cacerts = signer.cacerts(a, crl="".join(crls))
            return self.case(name, signer, cacerts=cacerts, rule=rule, refused_by=refused_by)

        root, own = a.crl(now=now), made.crl(now=now)
        checkers = frozenset({OPENSSL, ENVOY})
        yield case("lists of all CAs", root, own)
        yield case(
            "lists of all CAs with an online one", root, self.online.crl(now=now), under.crl(now=now), signer=under
        )
        yield case("no list of the root", own, rule="CrlMissing", refused_by=checkers)
        yield case("no list of the intermediate", root, rule="CrlMissing", refused_by=checkers | {ISTIOD})
        yield case("no list of the online intermediate", root, under.crl(now=now), signer=under, rule="CrlMissing",
                   refused_by=checkers | {ISTIOD})  # fmt: skip
        late = a.crl(now=now - 9 * DAY, lasts=DAY)
        yield case("an expired list", late, own, rule="CrlExpired", refused_by=checkers)
        yield case("a list that isn't valid yet", a.crl(now=now + DAY), own, rule="CrlNotYetValid", refused_by=checkers)
        taken = a.crl(Revoked(made.certificate.serial_number, "keyCompromise"), now=now)
        yield case("the intermediate revoked", taken, own, rule="Revoked", refused_by=checkers)
        other = Draft(name="west-1", key=private_key("another")).issue(now).crl(now=now)
        yield case(
            "a list by another key in its name", root, other, rule="CrlSignature", refused_by=checkers | {ISTIOD}
        )
        itself = a.crl(Revoked(a.certificate.serial_number), now=now)
        yield case("a root that takes itself back", itself, own, rule="Revoked", refused_by=checkers)
        mute = self.root("a", lists=False)
        yield self.case("a root that may not sign lists", cacerts=made.cacerts(mute, crl=mute.crl(now=now) + own),
                        rule="KeyUsage", refused_by=checkers)  # fmt: skip
        newer = a.crl(now=now, number=2)
        yield case("two lists of one CA", root, newer, own, rule="CrlTwice")
