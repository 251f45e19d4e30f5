"""HTTP as connectors speak it: verified TLS, bounded waits, and no way from a public server to a private one.

The address that was checked is the one that is connected to, so a name that is answered differently the second time
leads nowhere. Importing this costs 0.1 s: import it where a server is asked.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Self

import httpx2

from headwater.base.http import NoAnswerError, refuse_scheme, same_origin, why

__all__ = ["Client", "NoAnswerError", "answering", "is_link_local", "is_public"]

_REDIRECTS = 5
_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Client:
    """Connections to servers, kept open until `close`; usable from several threads. Proxies come from the process
    environment.

    A private address may be asked where it is named; a public server can't send on to one. Nobody is sent to a
    link-local address, where clouds keep their machines' secrets. Credentials go to the origin they are given for,
    and to no place it sends us to.
    """

    def __init__(self, *, connect_seconds: float = 10.0, idle_seconds: float = 60.0) -> None:
        """`idle_seconds` bounds each wait for more of an answer, not the whole of it."""
        timeout = httpx2.Timeout(idle_seconds, connect=connect_seconds)
        self._client = httpx2.Client(timeout=timeout, headers={"user-agent": "headwater"})

    @contextlib.contextmanager
    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        credentials: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Iterator[httpx2.Response]:
        """The answer of whatever status, its body not read yet; `credentials` are headers. Raises NoAnswerError, also
        when the answer breaks off while the block reads it."""
        with answering():
            place = httpx2.URL(url)
            with self._followed(method, place, {**(headers or {})}, {**(credentials or {})}, content) as found:
                yield found

    @contextlib.contextmanager
    def _followed(
        self,
        method: str,
        place: httpx2.URL,
        headers: dict[str, str],
        credentials: dict[str, str],
        content: bytes | None,
    ) -> Iterator[httpx2.Response]:
        refuse_scheme(place)
        is_from_outside = False
        for _ in range(_REDIRECTS + 1):
            pinned, is_outside = _pinned(place, is_from_outside=is_from_outside)
            is_from_outside = is_from_outside or is_outside
            asked = {**headers, **credentials, "host": place.netloc.decode()}
            with self._client.stream(
                method, pinned, headers=asked, content=content, extensions={"sni_hostname": place.host}
            ) as response:
                to = response.headers.get("location") if response.is_redirect else None
                if to is None:
                    yield response
                    return
                status = response.status_code
            target = place.join(to)
            refuse_scheme(target)
            if place.scheme == "https" and target.scheme != "https":
                raise NoAnswerError("it sends on from https to http")
            if not same_origin(str(place), str(target)):
                credentials = {}
            if status == 303 and method != "HEAD":
                method, content = "GET", None
            place = target
        raise NoAnswerError(f"it sends on more than {_REDIRECTS} times")

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Raises NoAnswerError for what the library raises in the block: for those who read an answer later."""
    try:
        yield
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as error:
        raise NoAnswerError(why(error)) from error


def is_public(address: str) -> bool:
    """Whether an IP address can be anybody's on the internet."""
    ip = _plain(address)
    return ip.is_global and not ip.is_multicast


def is_link_local(address: str) -> bool:
    """Whether an IP address is one where clouds keep their machines' secrets."""
    return _plain(address).is_link_local


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 address stands for, where it does."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped
        if ip in _NAT64:
            return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if ip.sixtofour is not None:
            return ip.sixtofour
    return ip


def _pinned(place: httpx2.URL, *, is_from_outside: bool) -> tuple[httpx2.URL, bool]:
    """The address with an IP for its host, and whether that is a public one. Behind a proxy names are the proxy's to
    resolve, so the host stays what it is."""
    is_proxied = place.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(place.host)
    if is_proxied and not _is_address(place.host):
        return place, True
    try:
        found = socket.getaddrinfo(place.host, place.port or _PORTS[place.scheme], type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NoAnswerError(f"`{place.host}` has no address") from error
    every = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if any(map(is_link_local, every)):
        raise NoAnswerError(f"`{place.host}` is a link-local address, which is never asked")
    is_outside = all(map(is_public, every))
    if is_from_outside and not is_outside:
        raise NoAnswerError(f"a public server sends on to `{place.host}`, which is a private address")
    return place.copy_with(host=_reachable(every, place)), is_outside


def _reachable(addresses: list[str], place: httpx2.URL) -> str:
    """The first address that takes a connection, where there are several: a host may have an IPv6 address that this
    machine has no way to."""
    if len(addresses) > 1:
        for one in addresses:
            with contextlib.suppress(OSError), socket.create_connection((one, place.port or _PORTS[place.scheme]), 3):
                return one
    return addresses[0]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
