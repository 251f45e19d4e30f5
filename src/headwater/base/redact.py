"""Secrets are taken out by value: whatever shape the line has, the value does not pass."""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Iterable

MASK = "(redacted)"


# `user:password@` or `token@` in an address. A password may have an `@` of its own that nobody encoded.
CREDENTIALS = re.compile(r"""(?<=://)[^/\s@]+(?:@[^/\s@"',]+)*(?=@)""")


def without_credentials(text: str) -> str:
    """The text with the user part of every address in it masked."""
    return CREDENTIALS.sub(MASK, text)


class Redactor:
    """Replaces every known secret, also in its URL-encoded, JSON-escaped and base64 form.

    Values under four characters are not redacted: `a` in every word would make logs unreadable and give the
    value away all the same.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: set[str] = set()
        for secret in secrets:
            if len(secret) < 4:
                continue
            forms |= {
                secret,
                urllib.parse.quote(secret, safe=""),
                urllib.parse.quote_plus(secret),
                json.dumps(secret)[1:-1],
                base64.b64encode(secret.encode()).decode(),
            }
        # Longest first, so that a secret that holds another one goes as a whole.
        ordered = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text

    def __repr__(self) -> str:
        return "Redactor(…)"
