"""Calls of an API that are made until they are answered: not faster than allowed, again after what passes by itself."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from headwater.base import clock
from headwater.base.errors import InputError, RunFailedError
from headwater.base.redact import Redactor
from headwater.base.text import duration
from headwater.connect.http_calls import Caller, CallFailedError, Reply
from headwater.connect.sources.rest import auth, spec
from headwater.connect.sources.rest.cache import Cache
from headwater.connect.sources.rest.call import Call
from headwater.connect.sources.rest.expressions import ExpressionError, filled_path

_FIRST_PAUSE = 1.0  # seconds; twice as long each time
_LONGEST_PAUSE = 60.0
_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}


class StoppedError(Exception):
    """Nobody waits for the answer any more."""


class Calls:
    """The calls of one source during one read. Safe to use by several threads."""

    def __init__(
        self,
        source: spec.Spec,
        names: Mapping[str, Any],
        *,
        root: Path,
        secrets: tuple[str, ...] = (),
        cache: Cache | None = None,
        on_line: Callable[[str], None] = lambda _text: None,
        jobs: int = 1,
    ) -> None:
        """For `jobs` streams at a time. Raises InputError for a `base_url` or credentials that are not complete."""
        try:
            self.base_url = filled_path(source.base_url, names).rstrip("/")
        except ExpressionError as error:
            raise InputError("bad-source", f"`base_url` is not complete: {error}") from error
        if "@" in urlsplit(self.base_url).netloc:
            raise InputError("bad-source", "`base_url` holds a login", hint="auth: {type: basic, username: …}")
        limits = source.limits
        ca_file = root / source.ca_file if source.ca_file else None
        options: dict[str, Any] = {"ca_file": ca_file, "seconds": float(limits.timeout)}
        try:
            self._caller = Caller(
                self.base_url,
                trusted=source.hosts,
                most_bytes=limits.max_answer_bytes,
                connections=source.concurrency * jobs + 1,
                **options,
            )
            self._tokens = auth.token_caller(source.auth, names, **options)
        except OSError as error:
            raise InputError("bad-source", f"`ca_file` holds no certificates: {error.strerror}") from error
        self._secrets = list(secrets)
        self.redact = Redactor(self._secrets)
        self.auth = auth.Auth(source.auth, names, self._keep_secret)
        self._limits = limits
        self._cache = cache
        self._on_line = on_line
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._next_at = 0.0

    def answer(self, call: Call, *, empty: tuple[int, ...] = (), check: Callable[[Reply], object]) -> Reply | None:
        """The answer with a status below 300; None for one whose status is in `empty`. An answer in which `check` finds
        a fault (CallFailedError) is asked for again. Raises RunFailedError (`http-status`, `http-unreachable`,
        `bad-answer`, `rate-limited`), StoppedError."""
        if self._cache is not None and (kept := self._cache.get(call)) is not None:
            return kept
        for attempt in range(1, self._limits.tries + 1):
            is_last = attempt == self._limits.tries
            self._pace()
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (attempt - 1)) * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
            used: dict[str, str] = {}
            try:
                reply = self._sent(call, used)
                if reply.status < 300:
                    check(reply)
                    if self._cache is not None:
                        self._cache.put(call, reply)
                    return reply
            except CallFailedError as error:
                if self._stop.is_set():
                    raise StoppedError from error
                if is_last or error.is_final:
                    raise self._failed(call, str(error), attempt) from error
                self._say(call, str(error), pause)
            else:
                if reply.status in empty:
                    return None
                if reply.status == 401 and self.auth.renews and attempt == 1 and not is_last:
                    self.auth.renew(used.get("authorization"))
                    continue
                wait = _asked_to_wait(reply)
                if is_last or not (reply.status in self._limits.retry_statuses or _is_used_up(reply)):
                    raise self._refused(call, reply)
                if wait is not None and wait > self._limits.longest_wait:
                    raise self._too_long(call, wait)
                pause = pause if wait is None else wait
                self._say(call, f"status {reply.status}", pause)
            self._wait(pause)
        raise AssertionError("the last try returns or raises")

    def stop(self) -> None:
        """End all that is waited for, in whatever thread."""
        self._stop.set()
        self.close()

    def close(self) -> None:
        self._caller.close()
        if self._tokens is not None:
            self._tokens.close()

    def _sent(self, call: Call, used: dict[str, str]) -> Reply:
        def sign(method: str, url: str, body: bytes) -> dict[str, str]:
            found = self.auth.headers(
                method, url, body, post=lambda *a, **options: auth.post(self._tokens, *a, **options)
            )
            used.update(found)
            return found

        return self._caller.call(call.method, call.url, headers=call.headers, body=call.body, sign=sign)

    def _keep_secret(self, token: str) -> None:
        self._secrets.append(token)
        self.redact = Redactor(self._secrets)

    def _pace(self) -> None:
        """Wait until this call may be sent."""
        if self._stop.is_set():
            raise StoppedError
        if self._limits.requests is None:
            return
        between = _SECONDS[self._limits.per] / self._limits.requests
        with self._lock:
            at = max(self._next_at, clock.monotonic())
            self._next_at = at + between
        self._wait(at - clock.monotonic())

    def _wait(self, seconds: float) -> None:
        if self._stop.wait(max(0.0, seconds)):
            raise StoppedError

    def _say(self, call: Call, what: str, pause: float) -> None:
        self._on_line(self.redact(f"{call.place}: {what}; asked again in {duration(pause)}"))

    def _failed(self, call: Call, why: str, attempt: int) -> RunFailedError:
        tried = f", {attempt} times" if attempt > 1 else ""
        return RunFailedError(
            "http-unreachable",
            self.redact(f"`{call.place}` gave no answer that can be used{tried}: {why}"),
            hint="what was loaded before is kept: run it again",
        )

    def _refused(self, call: Call, reply: Reply) -> RunFailedError:
        hints = {
            401: "check the credentials: headwater config list EXTRACTOR",
            403: "check what the credentials are allowed to read",
            404: "check `path`, or name 404 under `empty_statuses` if it means that there is nothing",
            429: "ask less often: `limits: {requests: 1, per: second}`",
        }
        text = auth.said(reply)
        return RunFailedError(
            "http-status",
            self.redact(f"`{call.place}` was answered with status {reply.status}"),
            why=None if text is None else self.redact(text),
            hint=hints.get(reply.status),
        )

    def _too_long(self, call: Call, wait: float) -> RunFailedError:
        return RunFailedError(
            "rate-limited",
            self.redact(f"`{call.place}` may be asked again in {duration(wait)} only"),
            hint="run it later, or allow longer waits: `limits: {longest_wait: SECONDS}`",
        )


def _asked_to_wait(reply: Reply) -> float | None:
    """Seconds that the server wants us to wait."""
    text = reply.headers.get("retry-after", "").strip()
    if text.replace(".", "", 1).isdigit():
        return float(text)
    if text:
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return None
        return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - clock.now()).total_seconds())
    if _is_used_up(reply):
        for name in ("x-ratelimit-reset", "ratelimit-reset", "x-rate-limit-reset"):
            number = reply.headers.get(name, "").strip()
            if number.isdigit():
                seconds = float(number)
                # Some say when, some how long.
                return max(1.0, seconds - clock.now().timestamp() if seconds > 1e9 else seconds)
    return None


def _is_used_up(reply: Reply) -> bool:
    """Whether a refusal is about how often we asked."""
    left = next(
        (
            reply.headers[n]
            for n in ("x-ratelimit-remaining", "ratelimit-remaining", "x-rate-limit-remaining")
            if n in reply.headers
        ),
        None,
    )
    return reply.status in (403, 429) and (left == "0" or "retry-after" in reply.headers)
