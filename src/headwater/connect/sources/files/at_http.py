"""Files of web servers, one by each address: there is no listing. ETag or the time of change say whether a file is
still the same; a server that tells neither is asked for the whole file, and its content says it.

The share link of a Google sheet or of a workbook in SharePoint stands for the file that it can be downloaded as.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import tempfile
from contextlib import ExitStack
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO, cast
from urllib.parse import parse_qs, unquote, urlsplit

from headwater.base.errors import EnvironmentProblemError, HeadwaterError
from headwater.connect.http import Client, NoAnswerError, answering
from headwater.connect.sources.files.places import BrokenOffError, Found, is_another
from headwater.connect.sources.files.settings import Settings

_NO_HEAD = frozenset({400, 403, 405, 501})
_GONE = frozenset({404, 410})
_PLAIN = {"accept-encoding": "identity"}  # a packed file is to come as it is


def place(settings: Settings, _pattern: str) -> Web:
    """As in `places.PlaceModule`."""
    return Web(settings.http_headers, most_bytes=settings.max_unpacked_bytes)


class Web:
    """A `places.Place`. `headers` are credentials: they go to the server that an address names, no further."""

    def __init__(self, headers: dict[str, str], *, most_bytes: int) -> None:
        self._client = Client()
        self._headers = headers
        self._most_bytes = most_bytes

    def find(self, pattern: str) -> list[Found]:
        key = named(pattern)
        try:
            return self._found(pattern, key, "HEAD") or self._found(pattern, key, "GET") or []
        except NoAnswerError as error:
            raise _unreachable(key, error) from error

    def open(self, found: Found, *, seeks: bool = False) -> BinaryIO:
        body = _Body(self._client, found, self._headers, self._most_bytes)
        if not seeks:
            return cast("BinaryIO", io.BufferedReader(body, 1 << 20))
        whole = tempfile.TemporaryFile()  # noqa: SIM115 - the reader closes it
        with body:
            shutil.copyfileobj(body, whole, 1 << 20)
        whole.seek(0)
        return cast("BinaryIO", whole)

    def close(self) -> None:
        self._client.close()

    def _found(self, address: str, key: str, method: str) -> list[Found] | None:
        """None when the server does not answer to that method."""
        with self._client.stream(method, download(address), headers=_PLAIN, credentials=self._headers) as response:
            status = response.status_code
            if status in _GONE:
                return []
            if method == "HEAD" and status in _NO_HEAD:
                return None
            if status != 200:
                raise refused(key, status)
            tag, at = response.headers.get("etag", ""), response.headers.get("last-modified")
            size = int(response.headers.get("content-length", 0))
            mtime_ns = int(parsedate_to_datetime(at).timestamp()) * 1_000_000_000 if at else 0
            if not tag and not mtime_ns:
                if method == "HEAD":
                    return None
                content = hashlib.blake2b(digest_size=16)
                size = 0
                for chunk in response.iter_raw(1 << 20):
                    content.update(chunk)
                    size += len(chunk)
                tag = f"content {content.hexdigest()}"
            name = unquote(urlsplit(download(address)).path.rpartition("/")[2])
            return [Found(address=address, key=key, name=_title(address, name), size=size, mtime_ns=mtime_ns, tag=tag)]


class _Body(io.RawIOBase):
    """A file as it arrives."""

    def __init__(self, client: Client, found: Found, headers: dict[str, str], most_bytes: int) -> None:
        self._found = found
        self._left = most_bytes
        self._rest = b""
        self._stack = ExitStack()
        try:
            self._response = self._stack.enter_context(
                client.stream("GET", download(found.address), headers=_PLAIN, credentials=headers)
            )
        except NoAnswerError as error:
            raise _unreachable(found.key, error) from error
        tag = self._response.headers.get("etag", "")
        if self._response.status_code in _GONE or (tag and found.tag and tag != found.tag):
            self.close()
            raise is_another(found)
        if self._response.status_code != 200:
            self.close()
            raise refused(found.key, self._response.status_code)
        self._chunks = self._response.iter_raw(1 << 20)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._rest or self._next()
        data, self._rest = data[: len(buffer)], data[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._stack.close()
        super().close()

    def _next(self) -> bytes:
        try:
            with answering():
                data = next(self._chunks, b"")
        except NoAnswerError as error:
            raise _unreachable(self._found.key, error) from error
        self._left -= len(data)
        if self._left < 0:
            raise EnvironmentProblemError(
                "file-too-large",
                f"`{self._found.key}` is larger than `max_unpacked_bytes`",
                hint="raise `max_unpacked_bytes` if you trust the server",
            )
        return data


def download(address: str) -> str:
    """The address of the file itself, for the link to a sheet; any other address as it is."""
    parts = urlsplit(address)
    sheet = re.match(r"/spreadsheets/d/(e/)?([\w-]+)", parts.path)
    if parts.hostname == "docs.google.com" and sheet and not re.search(r"/(export|pub)$", parts.path):
        tab = (parse_qs(parts.fragment).get("gid") or parse_qs(parts.query).get("gid") or ["0"])[0]
        if sheet[1]:  # published to the web
            return f"https://docs.google.com/spreadsheets/d/e/{sheet[2]}/pub?output=csv&gid={tab}"
        return f"https://docs.google.com/spreadsheets/d/{sheet[2]}/export?format=csv&gid={tab}"
    if (parts.hostname or "").endswith(".sharepoint.com") and parts.path.startswith("/:x:/"):
        return f"{address}{'&' if parts.query else '?'}download=1"
    return parts._replace(fragment="").geturl()


def _title(address: str, name: str) -> str:
    """The name of a file, where its format shows."""
    target = download(address)
    if target != urlsplit(address)._replace(fragment="").geturl():
        return "sheet.csv" if "google" in target else "sheet.xlsx"
    return name


def named(address: str) -> str:
    """An address without what may be secret in it: user, password and query."""
    parts = urlsplit(address)
    secret = hashlib.blake2b(f"{parts.query}#{parts.fragment}".encode(), digest_size=4).hexdigest()
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return f"{shown}?{secret}" if parts.query or parts.fragment else shown


def refused(key: str, status: int) -> HeadwaterError:
    if status >= 500 or status == 429:
        return BrokenOffError("store-unreachable", f"`{key}` answers {status}", hint="run it again later")
    return EnvironmentProblemError(
        "store-refused",
        f"`{key}` answers {status}",
        hint="check the address and `http_headers`: headwater config list EXTRACTOR",
    )


def _unreachable(key: str, error: NoAnswerError) -> BrokenOffError:
    return BrokenOffError(
        "store-unreachable",
        f"`{key}` can't be read",
        why=str(error),
        hint="check network and address, then run it again",
    )
