"""One call of an API, before it is sent."""

from __future__ import annotations

from urllib.parse import urlsplit

from msgspec import Struct


class Call(Struct, frozen=True, kw_only=True):
    method: str
    url: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def place(self) -> str:
        """The call for people: no parameters, which may hold secrets."""
        parts = urlsplit(self.url)
        return f"{self.method} {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
