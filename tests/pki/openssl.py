"""What the openssl command makes of certificates: the third engine for chains with name constraints."""

from __future__ import annotations

import subprocess
from pathlib import Path

from syncer.protocol.certificates import write_certificates
from tests.pki.case import Case


def refusal(case: Case, folder: Path) -> str:
    """Why openssl refuses the leaf of this case as a server or client; empty if it accepts both."""
    texts = {"leaf": write_certificates([case.leaf]), "chain": case.cacerts.chain, "roots": case.cacerts.roots}
    for name, text in (texts | {"crl": case.cacerts.crl}).items():
        (folder / name).write_text(text)
    lists = ("-crl_check_all", "-CRLfile", "crl") if case.cacerts.crl else ()
    for purpose in ("sslserver", "sslclient"):
        done = subprocess.run(
            ["openssl", "verify", "-no-CApath", "-no-CAstore", "-CAfile", "roots", "-untrusted", "chain", *lists,
             "-purpose", purpose, "-attime", str(int(case.now.timestamp())), "leaf"],
            cwd=folder, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        if done.returncode:
            return " ".join(done.stderr.split())
    return ""
