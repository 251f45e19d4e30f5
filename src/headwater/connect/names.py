"""Source names to identifiers of a destination: injective, stable, never longer than the destination allows.

A name is kept as it is whenever that is possible. It gets a suffix made of its own hash when it is too long, when
another name took the same place, or when the word is not ours to give away.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

EMPTY = "_empty"


def without_nul(name: str) -> str:
    """No database takes NUL in a name."""
    return name.replace("\0", "_")


def identifiers(
    names: Sequence[str],
    *,
    max_length: int,
    fold_case: bool,
    reserved: AbstractSet[str] = frozenset(),
    known: Mapping[str, str] | None = None,
    allowed: Callable[[str], str] = without_nul,
) -> dict[str, str]:
    """Every name with its identifier, in the order given; no two names share one.

    `max_length` counts UTF-8 bytes. `fold_case` is for destinations to which `Foo` and `foo` are the same.
    `reserved` are identifiers a source must not take: system columns and our own. `known` is an earlier answer:
    its names keep their identifiers, so the mapping is stable when it is stored beside the data. `allowed` makes of
    any name one that the destination takes; a name that it changes gets a suffix.
    """
    known = known or {}
    taken = {_place(word, fold_case=fold_case) for word in [*reserved, *known.values()]}
    mapping: dict[str, str] = {}
    for name in names:
        if name in mapping:
            continue
        identifier = known.get(name)
        if identifier is None:
            identifier = _free(name, allowed(name) or EMPTY, taken, max_length=max_length, fold_case=fold_case)
            taken.add(_place(identifier, fold_case=fold_case))
        mapping[name] = identifier
    return mapping


def quote(name: str, quote: str = '"') -> str:
    """The name as a quoted identifier: nothing in it can end the quotation."""
    return f"{quote}{name.replace(quote, quote * 2)}{quote}"


def digest(text: str) -> str:
    """Eight hex digits that stand for the text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _free(name: str, plain: str, taken: set[str], *, max_length: int, fold_case: bool) -> str:
    if len(plain.encode()) > max_length or plain not in (name, EMPTY):
        candidate = f"{_cut(plain, max_length - 9)}_{digest(name)}"
    else:
        candidate = plain
    attempt = 0
    while _place(candidate, fold_case=fold_case) in taken:
        salt = f"\0{attempt}" if attempt else ""
        candidate = f"{_cut(plain, max_length - 10)}__{digest(name + salt)}"
        attempt += 1
    return candidate


def _place(identifier: str, *, fold_case: bool) -> str:
    """Two identifiers with the same place cannot stand side by side: they differ in case or in Unicode form only."""
    normal = unicodedata.normalize("NFC", identifier)
    return normal.casefold() if fold_case else normal


def _cut(text: str, length: int) -> str:
    """At most `length` UTF-8 bytes, whole characters only."""
    return text.encode()[:length].decode(errors="ignore")
