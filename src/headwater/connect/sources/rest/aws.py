"""Signatures of AWS, version 4, of calls whose body is at hand."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from msgspec import Struct

_ALGORITHM = "AWS4-HMAC-SHA256"


class Keys(Struct, frozen=True, kw_only=True):
    access: str
    secret: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return "Keys(…)"


def signed(
    keys: Keys,
    *,
    region: str,
    service: str,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    at: datetime,
) -> dict[str, str]:
    """The headers that make the call one of the keys' owner; `headers` are those that are signed with it. `at` is UTC.

    The path is written twice with %XX, as every service but S3 wants it.
    """
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    parts = urlsplit(url)
    ours = {"x-amz-date": stamp}
    if service == "s3":
        ours["x-amz-content-sha256"] = hashlib.sha256(body).hexdigest()
    if keys.session_token:
        ours["x-amz-security-token"] = keys.session_token
    all_headers = {"host": parts.netloc.rpartition("@")[2], **{k.lower(): v for k, v in headers.items()}, **ours}
    names = ";".join(sorted(all_headers))
    pairs = sorted((_coded(name), _coded(value)) for name, value in parse_qsl(parts.query, keep_blank_values=True))
    asked = "\n".join(
        [
            method,
            _path(parts.path, service),
            "&".join(f"{name}={value}" for name, value in pairs),
            *(f"{name}:{' '.join(all_headers[name].split())}" for name in sorted(all_headers)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = "\n".join([_ALGORITHM, stamp, scope, hashlib.sha256(asked.encode()).hexdigest()])
    key = f"AWS4{keys.secret}".encode()
    for piece in scope.split("/"):
        key = hmac.digest(key, piece.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return {
        **ours,
        "authorization": f"{_ALGORITHM} Credential={keys.access}/{scope}, SignedHeaders={names}, Signature={signature}",
    }


def _path(path: str, service: str) -> str:
    once = path or "/"
    return quote(unquote(once), safe="/~") if service == "s3" else quote(once, safe="/~")


def _coded(text: str) -> str:
    return quote(text, safe="-_.~")
