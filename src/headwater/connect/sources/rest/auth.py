"""Credentials of calls: what a call carries that says who asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from headwater.base import clock
from headwater.base.errors import InputError, RunFailedError
from headwater.connect.http_calls import Caller, CallFailedError, Reply, basic
from headwater.connect.sources.rest import aws, spec
from headwater.connect.sources.rest.expressions import ExpressionError, filled

# A token is renewed so many seconds before it ends.
_EARLY = 60.0
_NO_END = 3600.0


class Token(Struct, frozen=True):
    access_token: str
    expires_in: float | str | None = None
    refresh_token: str | None = None
    token_type: str = "Bearer"  # noqa: S105 - a kind of token


class Auth:
    """`parameters` go into every address. `on_secret` hears each token that a server gave out, before it is used."""

    def __init__(self, given: spec.Auth, names: Mapping[str, Any], on_secret: Callable[[str], None]) -> None:
        try:
            self._given = _with_values(given, names)
        except ExpressionError as error:
            raise InputError(
                "credentials-missing", f"what `auth` needs is not set: {error}", hint="headwater config set EXTRACTOR"
            ) from error
        self._on_secret = on_secret
        self._lock = threading.Lock()
        self._token: str | None = None
        self._until = 0.0
        self._refresh_token = self._given.refresh_token if isinstance(self._given, spec.OAuth2) else None

    @property
    def parameters(self) -> dict[str, str]:
        given = self._given
        return {given.name: given.value} if isinstance(given, spec.ApiKey) and given.into == "query" else {}

    @property
    def renews(self) -> bool:
        """Whether `renew` may help when a server refuses a token."""
        return isinstance(self._given, spec.OAuth2)

    def headers(self, method: str, url: str, body: bytes, *, post: Callable[..., Reply]) -> dict[str, str]:
        """Those of one call. `post` sends a call without credentials, to get a token."""
        match self._given:
            case spec.Basic(username=username, password=password):
                return {"authorization": basic(username, password)}
            case spec.Bearer(token=token):
                return {"authorization": f"Bearer {token}"}
            case spec.ApiKey(value=value, name=name, into="header"):
                return {name: value}
            case spec.OAuth2() as given:
                return {"authorization": f"Bearer {self._current(given, post)}"}
            case spec.Aws() as given:
                keys = aws.Keys(access=given.access_key, secret=given.secret_key, session_token=given.session_token)
                return aws.signed(
                    keys,
                    region=given.region,
                    service=given.service,
                    method=method,
                    url=url,
                    headers={},
                    body=body,
                    at=clock.now(),
                )
        return {}

    def renew(self, used: str | None) -> None:
        """The server refused the header that was used: the next call asks for another token."""
        with self._lock:
            if self._token is not None and used == f"Bearer {self._token}":
                self._token = None

    def _current(self, given: spec.OAuth2, post: Callable[..., Reply]) -> str:
        with self._lock:
            if self._token is None or clock.monotonic() >= self._until:
                found = self._fetched(given, post)
                self._on_secret(found.access_token)
                if found.refresh_token:
                    self._on_secret(found.refresh_token)
                    # Some servers give each refresh token once.
                    self._refresh_token = found.refresh_token
                lasts = float(found.expires_in) if found.expires_in is not None else _NO_END
                self._token, self._until = found.access_token, clock.monotonic() + max(1.0, lasts - _EARLY)
            return self._token

    def _fetched(self, given: spec.OAuth2, post: Callable[..., Reply]) -> Token:
        form = {"grant_type": "refresh_token" if self._refresh_token else "client_credentials"}
        if self._refresh_token:
            form["refresh_token"] = self._refresh_token
        if given.scope:
            form["scope"] = given.scope
        form |= {name: str(value) for name, value in given.parameters.items()}
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        if given.client_in == "header":
            headers["authorization"] = basic(given.client_id, given.client_secret)
        else:
            form |= {"client_id": given.client_id, "client_secret": given.client_secret}
        reply = post(given.token_url, headers=headers, body=urlencode(form).encode())
        try:
            if reply.status == 200:
                return msgspec.json.decode(reply.body, type=Token)
        except (msgspec.MsgspecError, ValueError):
            pass
        raise RunFailedError(
            "no-token",
            f"the server of the tokens gave none: status {reply.status}",
            why=said(reply),
            hint="check the client id, the secret and the scope in `auth`",
        )


def token_caller(given: spec.Auth, names: Mapping[str, Any], **options: Any) -> Caller | None:
    """Who asks for tokens, None where none are needed: their server is another one than the API's."""
    if not isinstance(given, spec.OAuth2):
        return None
    return Caller(str(filled(given.token_url, names)), **options)


def post(caller: Caller | None, url: str, *, headers: Mapping[str, str], body: bytes) -> Reply:
    """Ask for a token. Raises RunFailedError (`no-token`)."""
    assert caller is not None
    try:
        return caller.call("POST", url, headers=headers, body=body)
    except CallFailedError as error:
        raise RunFailedError("no-token", f"the server of the tokens does not answer: {error}") from error


def said(reply: Reply) -> str | None:
    """What a server says of its error, where it says so in one of the usual ways; at most 300 characters."""
    try:
        found = msgspec.json.decode(reply.body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        if not reply.headers.get("content-type", "").startswith("text/plain"):
            return None
        found = reply.body[:1000].decode(errors="replace")
    for _ in range(3):
        if isinstance(found, list):
            found = found[0] if found else None
        if isinstance(found, dict):
            names = ("error_description", "message", "detail", "title", "error", "errors", "reason")
            found = next((found[name] for name in names if found.get(name)), None)
    return " ".join(found.split())[:300] or None if isinstance(found, str) else None


def _with_values(given: spec.Auth, names: Mapping[str, Any]) -> spec.Auth:
    values: dict[str, Any] = {}
    for name in given.__struct_fields__:
        value = filled(getattr(given, name), names)
        if value is None and getattr(given, name) is not None:
            raise ExpressionError(f"`{getattr(given, name)}` has no value")
        values[name] = value if value is None or isinstance(value, dict) else str(value)
    return type(given)(**values)
