"""What Envoy makes of certificates: one Envoy, and for each case a handshake in which it is the server, one as client.

Knows Envoy's configuration as istiod writes it, as far as certificates go; knows nothing of what is right. The chain on
the wire is what a workload of Istio sends: leaf, `cert-chain.pem`, the whole bundle.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import pathlib
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from syncer.protocol.certificates import write_certificates
from tests.border.processes import wait_until
from tests.pki.authority import key_pem
from tests.pki.case import Case

_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_PATIENCE = 60.0


def verdicts(envoy: pathlib.Path, cases: Sequence[Case], folder: pathlib.Path) -> dict[str, frozenset[str]]:
    """Which roles of Envoy (`server`, `client`) refuse the leaf of each case, by the name of the case."""
    for number, case in enumerate(cases):
        _write(folder / f"{number}", case)
    return asyncio.run(_verdicts(envoy, cases, folder))


async def _verdicts(envoy: pathlib.Path, cases: Sequence[Case], folder: pathlib.Path) -> dict[str, frozenset[str]]:
    async with contextlib.AsyncExitStack() as stack:
        contexts = [None, *(_context(folder / f"{number}", server=True) for number in range(len(cases)))]
        upstreams = [await stack.enter_async_context(await _upstream(context)) for context in contexts]
        ports = [upstream.sockets[0].getsockname()[1] for upstream in upstreams]
        with _running(envoy, _configuration(cases, ports, folder), folder) as listeners:
            refused = {}
            for number, case in enumerate(cases):
                server = await _answers(listeners[f"server-{number}"], _context(folder / f"{number}", server=False))
                client = await _answers(listeners[f"client-{number}"], None)
                roles = (("server", server), ("client", client))
                refused[case.name] = frozenset(role for role, accepts in roles if not accepts)
            return refused


def _write(folder: pathlib.Path, case: Case) -> None:
    folder.mkdir()
    wire = write_certificates([case.leaf]) + case.cacerts.chain + case.cacerts.roots
    for name, text in (("chain", wire), ("key", key_pem(case.leaf_key)), ("roots", case.cacerts.roots),
                       ("crl", case.cacerts.crl)):  # fmt: skip
        (folder / f"{name}.pem").write_text(text)


def _context(folder: pathlib.Path, *, server: bool) -> ssl.SSLContext:
    """That of the other side: it shows the leaf of the case and accepts whatever Envoy shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # else it refuses to show short keys
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    return context


async def _upstream(context: ssl.SSLContext | None) -> asyncio.Server:
    """Says `ok` and waits for the other side to go."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):  # cancelled: the last case has been asked
            writer.write(b"ok")
            await reader.read()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)


async def _answers(port: int, context: ssl.SSLContext | None) -> bool:
    """Whether a connection ends in an answer: with TLS 1.3 a client hears only then that it was refused."""
    try:
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            try:
                return await reader.read(2) == b"ok"
            finally:
                writer.close()
    except (ssl.SSLError, ConnectionError):
        return False


@contextlib.contextmanager
def _running(envoy: pathlib.Path, configuration: Mapping[str, Any], folder: pathlib.Path) -> Iterator[dict[str, int]]:
    """Envoy with this configuration: the ports of its listeners by name."""
    file, admin, log = folder / "envoy.json", folder / "admin", folder / "envoy.log"
    file.write_text(json.dumps(configuration))
    command = [str(envoy), "-c", str(file), "--admin-address-path", str(admin), "--concurrency", "1",
               "--use-dynamic-base-id", "--log-path", str(log), "-l", "warning"]  # fmt: skip
    with subprocess.Popen(command) as process:
        try:
            wait_until(lambda: admin.exists() and _ready(admin.read_text()), what="Envoy")
            yield _ports(admin.read_text())
        finally:
            process.terminate()


def _ready(admin: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{admin}/ready", timeout=_PATIENCE) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _ports(admin: str) -> dict[str, int]:
    with urllib.request.urlopen(f"http://{admin}/listeners?format=json", timeout=_PATIENCE) as answer:
        listeners = json.load(answer)["listener_statuses"]
    return {one["name"]: one["local_address"]["socket_address"]["port_value"] for one in listeners}


def _configuration(cases: Sequence[Case], upstreams: Sequence[int], folder: pathlib.Path) -> dict[str, Any]:
    """`upstreams`: the port of the one without TLS, then one of each case."""
    listeners, clusters = [], [_cluster("plain", upstreams[0], None)]
    for number, (case, port) in enumerate(zip(cases, upstreams[1:], strict=True)):
        validation = {"trusted_ca": {"filename": str(folder / f"{number}" / "roots.pem")}}
        if case.cacerts.crl:
            validation["crl"] = {"filename": str(folder / f"{number}" / "crl.pem")}
        shown = {"certificate_chain": {"filename": str(folder / "0" / "chain.pem")},
                 "private_key": {"filename": str(folder / "0" / "key.pem")}}  # fmt: skip
        server = {"require_client_certificate": True,
                  "common_tls_context": {"tls_certificates": [shown], "validation_context": validation}}  # fmt: skip
        client = {"common_tls_context": {"validation_context": validation}}
        listeners += [_listener(f"server-{number}", "plain", _socket("Downstream", server)),
                      _listener(f"client-{number}", f"{number}", None)]  # fmt: skip
        clusters.append(_cluster(f"{number}", port, _socket("Upstream", client)))
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    return {"admin": {"address": address}, "static_resources": {"listeners": listeners, "clusters": clusters}}


def _socket(side: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    typed = {"@type": f"{_TLS}.{side}TlsContext", **fields}
    return {"name": "envoy.transport_sockets.tls", "typed_config": typed}


def _listener(name: str, leads_to: str, socket: Mapping[str, Any] | None) -> dict[str, Any]:
    kind = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
    proxy = {"@type": kind, "stat_prefix": name, "cluster": leads_to}
    filters = [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]
    chain = {"filters": filters} | ({"transport_socket": socket} if socket else {})
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    return {"name": name, "address": address, "filter_chains": [chain]}


def _cluster(name: str, port: int, socket: Mapping[str, Any] | None) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    assignment = {"cluster_name": name, "endpoints": endpoints}
    cluster = {"name": name, "type": "STATIC", "load_assignment": assignment}
    return cluster | ({"transport_socket": socket} if socket else {})
