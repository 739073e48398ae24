"""The way to an API server: the official client's configuration and authentication, and answers as raw bytes.

Knows kubeconfig files, service accounts, and what the statuses of the API mean for a retry. Knows no kind of object.
A token, certificate or CA file that was changed is noticed: the client is made anew.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import urllib3
import yaml
from kubernetes import config
from kubernetes.client import ApiClient, Configuration
from kubernetes.config import ConfigException

from syncer.protocol.errors import HumanNeeded, PeermeshError, Rejected, Transient

TIMEOUT: Final = 30.0
"""Seconds for connecting and between two reads of an answer."""
_CONNECTIONS: Final = 32
"""Kept open at most: a watch needs one for itself, and a syncer has less than twenty."""
_UNUSABLE: Final = (
    *(ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError, AttributeError),
)  # what the official client raises for files that aren't as it expects


class NotFound(Rejected):
    """404: no such object, or no such API (which is plain text to those who may read it, 403 to others)."""


class Conflict(Rejected):
    """409: it exists already, or somebody else changed it since it was read."""


class Expired(Rejected):
    """410: this version or page is no longer kept; list again."""


class Connection:
    """An API server, as a kubeconfig context reaches it; with neither, as the service account of this pod does.

    Without `kubeconfig` a context is looked for where kubectl does: $KUBECONFIG, else ~/.kube/config. May be used by
    several threads.

    Raises:
        HumanNeeded: there is no such file, context or service account.
    """

    def __init__(self, *, kubeconfig: Path | None = None, context: str = "") -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._loading = threading.Lock()
        self._client = self._load()
        self._stamp = self._files()

    @property
    def server(self) -> str:
        """`https://…`"""
        return str(self._client.configuration.host)

    @property
    def client(self) -> ApiClient:
        """The official client, for what it does better than we would (leases)."""
        client = self._client
        return self._anew(client) if self._stamp != self._files() else client

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        timeout: float = TIMEOUT,
    ) -> bytes:
        """The body of the answer to one request; `body` is encoded as JSON.

        Raises:
            NotFound, Conflict, Expired: 404, 409, 410.
            HumanNeeded: 401, 403, and what the server finds wrong with the request.
            Transient: no answer, 429, 5xx.
        """
        with self.stream(
            method, path, query=query, body=body, content_type=content_type, read_timeout=timeout
        ) as answer:
            try:
                return bytes(answer.data)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise self.away(error) from error

    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        read_timeout: float = TIMEOUT,
    ) -> urllib3.BaseHTTPResponse:
        """The same, its body not read yet: for watches. Close it. Raises as `call`."""
        data = None if body is None else json.dumps(body).encode()
        target = path + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": "peermesh"}
        client = self.client
        answer = self._send(client, method, target, data, headers, read_timeout)
        if answer.status == 401:
            # The client remembers a token that was exchanged meanwhile, in a file or by a plug-in.
            answer.close()
            answer = self._send(self._anew(client), method, target, data, headers, read_timeout)
        if answer.status < 300:
            return answer
        with answer:
            raise self._refused(answer, f"{method} {path}")

    def away(self, error: Exception) -> PeermeshError:
        """What it means that no answer came, or not all of one."""
        cause = _tls_trouble(error)
        if cause is not None:
            what = f"its certificate can't be checked with the CA that we were given: {cause}"
            remedy = "Compare the server's certificate with the CA in the kubeconfig or the service account."
            return HumanNeeded("BadCertificate", what, subject=self.server, remedy=remedy)
        return Transient("ApiAway", f"the API server doesn't answer: {error}", subject=self.server)

    def _send(
        self,
        client: ApiClient,
        method: str,
        target: str,
        data: bytes | None,
        headers: Mapping[str, str],
        read_timeout: float,
    ) -> urllib3.BaseHTTPResponse:
        signed = dict(headers)
        try:
            client.update_params_for_auth(signed, [], ["BearerToken"], target, method, data)
        except _UNUSABLE as error:
            raise self._unusable(error) from error
        try:
            return client.rest_client.pool_manager.request(
                method,
                f"{client.configuration.host}{target}",
                body=data,
                headers=signed,
                timeout=urllib3.Timeout(connect=min(TIMEOUT, read_timeout), read=read_timeout),
                preload_content=False,
                retries=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self.away(error) from error

    def _anew(self, old: ApiClient) -> ApiClient:
        """A client made of the files as they are now; only one thread makes it, the others take that."""
        with self._loading:
            if self._client is old:
                self._client = self._load()
                self._stamp = self._files()
            return self._client

    def _load(self) -> ApiClient:
        configuration = Configuration()
        configuration.connection_pool_maxsize = _CONNECTIONS
        try:
            if self._kubeconfig is None and not self._context:
                config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
            else:
                file = None if self._kubeconfig is None else str(self._kubeconfig)
                config.load_kube_config(  # type: ignore[no-untyped-call]
                    config_file=file, context=self._context or None, client_configuration=configuration
                )
            return ApiClient(configuration)
        except _UNUSABLE as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> HumanNeeded:
        if self._kubeconfig is None and not self._context:
            where = "service account"
            remedy = "Outside a cluster name a kubeconfig file in PEERMESH_KUBECONFIG, inside mount a service account."
        else:
            where = f"{self._kubeconfig or 'kubeconfig'}{f', context {self._context}' if self._context else ''}"
            remedy = "`kubectl config get-contexts` shows which there are."
        # After the brace the official client prints whole users, with their tokens.
        what = f"can't be used: {str(error).partition('{')[0].strip() or type(error).__name__}"
        return HumanNeeded("NoKubernetes", what, subject=where, remedy=remedy)

    def _files(self) -> tuple[tuple[str, int], ...]:
        """What the client was made from, with time stamps. Mounted Secrets are symbolic links that are swapped."""
        configuration = self._client.configuration
        names = [configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file, self._kubeconfig]
        stamps = []
        for name in filter(None, names):
            try:
                stamps.append((str(name), Path(name).stat().st_mtime_ns))
            except OSError:
                stamps.append((str(name), 0))
        return tuple(stamps)

    def _refused(self, answer: urllib3.BaseHTTPResponse, request: str) -> PeermeshError:
        try:
            text = answer.read(65536).decode(errors="replace")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return self.away(error)
        return refusal(answer.status, text, request=request, server=self.server)


def refusal(status: int, text: str, *, request: str, server: str) -> PeermeshError:
    """What a status means, with what the API server says of it; `text`: its answer, a Status object or plain text."""
    try:
        said = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        said = " ".join(text.split())[:300]
    what = f"{request}: {status} {said}"
    error: PeermeshError
    match status:
        case 401:
            remedy = "Its token or certificate is wrong, or has ended."
            error = HumanNeeded("NoCredentials", what, subject=server, remedy=remedy)
        case 403:
            remedy = "delivery/clusters/<cluster>/ has exactly the rights that a syncer needs: apply it as it is."
            error = HumanNeeded("Forbidden", what, subject=server, remedy=remedy)
        case 404:
            error = NotFound("NotFound", what, subject=server)
        case 409:
            error = Conflict("Conflict", what, subject=server)
        case 410:
            error = Expired("Expired", what, subject=server)
        case 429 | 500 | 502 | 503 | 504:
            error = Transient("ApiAway", what, subject=server)
        case _:
            error = HumanNeeded("BadRequest", what, subject=server)
    return error


def _tls_trouble(error: BaseException | None) -> str | None:
    """Why a certificate wasn't believed, or a CA file couldn't be read, if that is what lies behind an error."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        if isinstance(error, ssl.SSLError) and error.library == "X509":
            return str(error)
        inner = getattr(error, "reason", None) or next(iter(error.args), None)
        error = inner if isinstance(inner, BaseException) else error.__cause__ or error.__context__
    return None
