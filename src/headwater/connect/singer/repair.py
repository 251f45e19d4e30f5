"""Lines that are almost JSON: the tokens NaN and Infinity, and lone surrogates.

Python's own `json.dumps` writes them, so taps send them. Such a line is marked up until it is JSON, the marks travel
with the record, and whoever builds the column decides: a double keeps NaN, everything else counts a repair.
"""

from __future__ import annotations

import re

# Numbers nobody writes stand for the three tokens, a noncharacter and four hex digits for a lone surrogate.
_NAN, _POSITIVE, _NEGATIVE = b"0e-20000000001", b"9e+20000000001", b"-9e+20000000001"
SPECIAL = {_NAN: "nan", _POSITIVE: "inf", _NEGATIVE: "-inf"}
_TOKEN = {b"NaN": _NAN, b"Infinity": _POSITIVE, b"-Infinity": _NEGATIVE, b"nan": _NAN}
_UNTOKEN = {mark: token for token, mark in _TOKEN.items() if token != b"nan"}
_SURROGATE_MARK = rb"\\ufdd0([0-9a-fA-F]{4})"

# Whole escapes are matched first, so a backslash that is itself escaped never starts a surrogate.
_IN_STRING = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u([dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_PIECE = re.compile(_STRING + b"|-?Infinity|NaN|nan", re.DOTALL)
_MARK = re.compile(_STRING + b"|" + b"|".join(re.escape(mark) for mark in (_NEGATIVE, _POSITIVE, _NAN)), re.DOTALL)
_ANY_SURROGATE_MARK = re.compile(_SURROGATE_MARK)


def marked(line: bytes) -> bytes:
    """The line with its NaN, Infinity and lone surrogates replaced by marks that are JSON."""
    return _PIECE.sub(_mark, line)


def unmarked(text: bytes) -> bytes:
    """Exactly what it was before: for text that is passed on and not read."""
    whole = _MARK.sub(lambda piece: _UNTOKEN.get(piece[0], piece[0]), text)
    return _ANY_SURROGATE_MARK.sub(rb"\\u\1", whole)


def mended(token: bytes) -> tuple[str, bool]:
    """JSON text without marks: null for NaN and Infinity, U+FFFD for a lone surrogate; and whether it had any."""
    if b"20000000001" not in token and b"\\ufdd0" not in token:
        return token.decode(), False
    whole = _MARK.sub(lambda piece: b"null" if piece[0] in SPECIAL else piece[0], token)
    whole = _ANY_SURROGATE_MARK.sub(rb"\\ufffd", whole)
    return whole.decode(), whole != token


def mended_name(name: str) -> str:
    """A field's name, with U+FFFD for each lone surrogate."""
    return re.sub("\ufdd0[0-9a-fA-F]{4}", "\ufffd", name)


def _mark(piece: re.Match[bytes]) -> bytes:
    text = piece[0]
    if text[:1] != b'"':
        return _TOKEN[text]
    return _IN_STRING.sub(_mark_surrogate, text) if b"\\" in text else text


def _mark_surrogate(escape: re.Match[bytes]) -> bytes:
    return b"\\ufdd0" + escape[1] if escape[1] else escape[0]
