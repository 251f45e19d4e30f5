"""HTTP as the client of an API needs it: any method and body, kept connections, and answers that are bounded.

Whom a caller talks to is decided here. It follows a server's redirects to the host that it was made for, and to hosts
that it was told to trust, no further; from a host with a public address it never goes to a private one, whatever name
or redirect leads there. Credentials go to the origin that they are for. Unlike `http`, which looks at addresses before
each call, this looks once a connection: it is for thousands of short calls to one server. Importing it costs 0.3 s.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import urllib.request
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

import httpcore2
from msgspec import Struct

from headwater.base import clock
from headwater.connect.http import is_link_local, is_public

_REDIRECTS = 5
_CHUNK = 1 << 16
_PORTS = {"http": 80, "https": 443}
_HARMLESS = ("accept", "content-type", "user-agent")

Sign = Callable[[str, str, bytes], Mapping[str, str]]


class Reply(Struct, frozen=True, kw_only=True):
    """`headers` have lower-case names; of a name that came twice the values are joined. `body` is unpacked. `url` is
    the address that answered."""

    url: str
    status: int
    headers: dict[str, str]
    body: bytes


class CallFailedError(Exception):
    """There is no answer that can be used. `is_final`: nor will there be one for the same call. Its text says why, in
    a few words without an address."""

    def __init__(self, text: str, *, is_final: bool = False) -> None:
        super().__init__(text)
        self.is_final = is_final


class Caller:
    """Kept connections to the server of one API. May be used by several threads. Proxies come from the process
    environment."""

    def __init__(
        self,
        origin: str,
        *,
        trusted: Iterable[str] = (),
        ca_file: Path | None = None,
        seconds: float = 60.0,
        most_bytes: int = 256 << 20,
        connections: int = 8,
    ) -> None:
        """`origin` is an address on the API's server, `trusted` names further hosts. `seconds` bounds each wait for
        the server, and ten times as long a whole call. Raises OSError for a `ca_file` without certificates."""
        self._home = origin_of(origin)
        self._trusted = frozenset({self._home[1], *(host.lower() for host in trusted)})
        self._seconds = seconds
        self._most_bytes = most_bytes
        # The system's certificates take 50 ms to load; a connection that turns out to need them loads them.
        context = ssl.create_default_context(cafile=ca_file) if ca_file else None
        if context is None and self._home[0] == "https":
            context = httpcore2.default_ssl_context()
        self._guard = _Guard(self._home[1])
        self._direct = httpcore2.ConnectionPool(
            context, max_connections=connections, keepalive_expiry=30.0, network_backend=self._guard
        )
        self._proxied = {
            scheme: httpcore2.ConnectionPool(
                context, proxy=_proxy(address), max_connections=connections, keepalive_expiry=30.0
            )
            for scheme, address in urllib.request.getproxies().items()
            if scheme in _PORTS and urlsplit(address).scheme in _PORTS
        }

    def call(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"", sign: Sign | None = None
    ) -> Reply:
        """The answer, whatever its status, after redirects. `sign` gives the headers with credentials for a call; it is
        asked for calls to the origin only. Raises CallFailedError."""
        deadline = clock.monotonic() + 10 * self._seconds
        for _ in range(_REDIRECTS + 1):
            self._check(url)
            is_home = origin_of(url) == self._home
            # Any other header may be a secret too.
            given = headers if is_home else {name: headers[name] for name in _HARMLESS if name in headers}
            credentials = sign(method, url, body) if sign is not None and is_home else {}
            reply = self._once(method, url, {**given, **credentials}, body, deadline)
            to = reply.headers.get("location") if reply.status in (301, 302, 303, 307, 308) else None
            if to is None:
                return reply
            target = urljoin(url, to)
            if reply.status == 303 or (reply.status in (301, 302) and method == "POST"):
                method, body = "GET", b""
            url = target
        raise CallFailedError(f"it sends on more than {_REDIRECTS} times", is_final=True)

    def close(self) -> None:
        """Also ends what other threads are waiting for."""
        for pool in (self._direct, *self._proxied.values()):
            pool.close()

    def _check(self, url: str) -> None:
        scheme, host, _ = origin_of(url)
        if scheme not in _PORTS or not host:
            raise CallFailedError(f"`{scheme or 'no scheme'}` is neither http nor https", is_final=True)
        if scheme == "http" and self._home[0] == "https":
            raise CallFailedError("it sends on from https to http", is_final=True)
        if host not in self._trusted:
            raise CallFailedError(f"it sends on to another host, `{host}`", is_final=True)

    def _once(self, method: str, url: str, headers: Mapping[str, str], body: bytes, deadline: float) -> Reply:
        parts = urlsplit(url)
        pool = self._direct
        if parts.scheme in self._proxied and not urllib.request.proxy_bypass(parts.netloc):
            self._guard.check_literal(parts.hostname or "")
            pool = self._proxied[parts.scheme]
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), self._seconds)
        wire = [("host", parts.netloc.rpartition("@")[2]), ("accept-encoding", "gzip"), *headers.items()]
        try:
            raw = [(name.encode("ascii"), value.encode("latin-1")) for name, value in wire]
        except UnicodeEncodeError:
            raise CallFailedError("a header holds a letter that HTTP has no form for", is_final=True) from None
        if body or method not in ("GET", "HEAD"):
            raw.append((b"content-length", str(len(body)).encode()))
        try:
            with pool.stream(
                method, _wire_url(parts), headers=raw, content=body or None, extensions={"timeout": timeout}
            ) as response:
                found = _headers(response.headers)
                content = _read(response.iter_stream(), found, self._most_bytes, deadline)
                return Reply(url=url, status=response.status, headers=found, body=content)
        except (httpcore2.TimeoutException, TimeoutError) as error:
            raise CallFailedError("it takes too long") from error
        except _PrivateError as error:
            raise CallFailedError(str(error), is_final=True) from error
        except (httpcore2.LocalProtocolError, httpcore2.UnsupportedProtocol, ValueError) as error:
            # Its words may show a header, and so a secret.
            raise CallFailedError("its address or a header holds what HTTP does not allow", is_final=True) from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.ProxyError, OSError, RuntimeError) as error:
            raise _no_answer(error) from error


class _PrivateError(Exception):
    pass


class _Guard(httpcore2.NetworkBackend):
    """Connects to addresses that it has looked at: who answers is who was checked. The first address of the API's own
    host says whether it is public."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._is_public: bool | None = None
        self._backend = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except OSError as error:
            raise httpcore2.ConnectError(f"no address is known of `{host}`") from error
        if self._is_public is None and host == self._home:
            self._is_public = is_public(found[0])
        trouble: Exception | None = None
        for address in dict.fromkeys(found):
            self._refuse(host, address)
            try:
                return self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore2.ConnectError as error:
                trouble = error
        assert trouble is not None
        raise trouble

    def check_literal(self, host: str) -> None:
        """For calls through a proxy, which looks names up itself: an address that is written as one."""
        try:
            address = str(ipaddress.ip_address(host))
        except ValueError:
            if self._is_public is None and host == self._home:
                self._is_public = True
            return
        if self._is_public is None and host == self._home:
            self._is_public = is_public(address)
        self._refuse(host, address)

    def _refuse(self, host: str, address: str) -> None:
        if is_link_local(address):
            raise _PrivateError(f"`{host}` is a link-local address, which is never asked")
        if self._is_public is not False and not is_public(address):
            raise _PrivateError(f"`{host}` has a private address now, that of the API is public")


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port. Of what is no address the parts are empty."""
    try:
        parts = urlsplit(url)
        return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return "", "", None


def _wire_url(parts: SplitResult) -> httpcore2.URL:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if any(letter <= " " or letter > "~" for letter in target):
        raise CallFailedError("its address holds a space or a letter that is not written as %XX", is_final=True)
    return httpcore2.URL(
        scheme=parts.scheme.encode(),
        host=(parts.hostname or "").encode("idna"),
        port=parts.port,
        target=target.encode(),
    )


def _proxy(address: str) -> httpcore2.Proxy:
    parts = urlsplit(address)
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return httpcore2.Proxy(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", auth=login)


def basic(user: str, password: str) -> str:
    """The value of an `Authorization` header."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _read(chunks: Iterable[bytes], headers: Mapping[str, str], most: int, deadline: float) -> bytes:
    packed = headers.get("content-encoding", "").strip().lower()
    if packed not in ("", "identity", "gzip", "deflate"):
        raise CallFailedError(f"its answer is packed as `{packed}`, which was not asked for", is_final=True)
    unpack = zlib.decompressobj(wbits=47) if packed in ("gzip", "deflate") else None
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        try:
            # At most one byte more than is allowed: a small answer must not unpack to all there is of memory.
            part = chunk if unpack is None else unpack.decompress(chunk, most - size + 1)
        except zlib.error as error:
            raise CallFailedError(f"its answer can't be unpacked: {error}") from error
        parts.append(part)
        size += len(part)
        if size > most:
            raise CallFailedError(f"its answer has more than {most:,} bytes", is_final=True)
        if clock.monotonic() > deadline:
            raise CallFailedError("its answer takes too long")
    if unpack is not None and parts and not unpack.eof:
        raise CallFailedError("its packed answer is cut off")
    return b"".join(parts)


def _no_answer(error: Exception) -> CallFailedError:
    while (inner := error.__cause__ or error.__context__) is not None and isinstance(inner, Exception):
        error = inner
    if isinstance(error, ssl.SSLCertVerificationError):
        return CallFailedError(f"its certificate is not trusted: {error.verify_message}", is_final=True)
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return CallFailedError((text or type(error).__name__).splitlines()[0].lower())
