"""HTTP for small answers: bounded in bytes and seconds, over verified TLS. `http_calls` is for APIs.

Importing it costs 0.1 s: import it where a server is asked.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import httpx2
from msgspec import Struct

from headwater.base import clock

_REDIRECTS = 5
_TRIES = 3
_BUSY = frozenset({429, 500, 502, 503, 504})
_PAUSE = 0.2  # seconds before the second try, twice as long before the third


class Answer(Struct, frozen=True, kw_only=True):
    """`body` is decoded; it is empty for every status but 200. `url` is the address that answered."""

    url: str
    status: int
    etag: str | None
    body: bytes = b""


class NoAnswerError(Exception):
    """A server gave no answer that can be used. Its text says why, in a few words without an address."""


class Client:
    """Connections to servers, kept open until `close`. Proxies come from the process environment.

    Credentials go to the origin they are given for, and to no place it sends us to.
    """

    def __init__(self, *, ca_file: Path | None = None, seconds: float = 30.0) -> None:
        """`ca_file` replaces the certificates of the system. `seconds` bounds a `get` with all its tries. Raises
        OSError when there are no certificates in the file."""
        verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca_file) if ca_file else True
        self._seconds = seconds
        self._client = httpx2.Client(
            verify=verify, timeout=httpx2.Timeout(10.0, connect=5.0), headers={"accept-encoding": "gzip"}
        )

    def get(
        self, url: str, *, limit: int, headers: Mapping[str, str], credentials: Mapping[str, str] | None = None
    ) -> Answer:
        """The answer, of at most `limit` bytes, tried three times while the server is busy. Raises NoAnswerError."""
        deadline = clock.monotonic() + self._seconds
        for attempt in range(1, _TRIES + 1):
            last = attempt == _TRIES
            try:
                answer = self._follow(url, limit, headers, credentials or {}, deadline)
            except (httpx2.ReadError, httpx2.RemoteProtocolError) as error:
                if last:
                    raise NoAnswerError(why(error)) from error
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
                raise NoAnswerError(why(error)) from error
            else:
                if last or answer.status not in _BUSY:
                    return answer
            time.sleep(_PAUSE * attempt)
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _follow(
        self, url: str, limit: int, headers: Mapping[str, str], credentials: Mapping[str, str], deadline: float
    ) -> Answer:
        place = httpx2.URL(url)
        refuse_scheme(place)
        for _ in range(_REDIRECTS + 1):
            with self._client.stream("GET", place, headers={**headers, **credentials}) as response:
                to = response.headers.get("location") if response.is_redirect else None
                if to is None:
                    body = _read(response, limit, deadline) if response.status_code == 200 else b""
                    etag = response.headers.get("etag")
                    return Answer(url=str(place), status=response.status_code, etag=etag, body=body)
            target = place.join(to)
            refuse_scheme(target)
            if place.scheme == "https" and target.scheme != "https":
                raise NoAnswerError("it sends on from https to http")
            if not same_origin(str(place), str(target)):
                credentials = {}
            place = target
        raise NoAnswerError(f"it sends on more than {_REDIRECTS} times")


def same_origin(one: str, other: str) -> bool:
    """Whether two addresses have the same scheme, host and port."""
    first, second = httpx2.URL(one), httpx2.URL(other)
    return _origin(first) == _origin(second)


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def refuse_scheme(url: httpx2.URL) -> None:
    """Raises NoAnswerError for what is no address of a web server."""
    if url.scheme not in ("http", "https") or not url.host:
        raise NoAnswerError(f"`{url.scheme or 'no scheme'}` is neither http nor https")


def _read(response: httpx2.Response, limit: int, deadline: float) -> bytes:
    parts = bytearray()
    for part in response.iter_bytes(65_536):
        parts += part
        if len(parts) > limit:
            raise NoAnswerError(f"its answer has more than {limit:,} bytes")
        if clock.monotonic() > deadline:
            raise NoAnswerError("its answer takes too long")
    return bytes(parts)


def why(error: Exception) -> str:
    """The innermost reason: libraries wrap it several times."""
    if isinstance(error, httpx2.TimeoutException):
        return "it takes too long"
    while (inner := error.__cause__ or error.__context__) is not None and isinstance(inner, Exception):
        error = inner
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text or type(error).__name__).splitlines()[0].lower()
