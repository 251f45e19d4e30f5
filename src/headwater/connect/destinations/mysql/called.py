"""What things are called in MariaDB and MySQL: at most 64 characters, none beyond U+FFFF, no space at the end."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from headwater.connect import names

# Characters for the database, counted as bytes here: shorter than need be, and never too long for a file's name.
LONGEST_NAME = 64
# Our own tables stand beside those of the streams.
PREFIX = "_headwater_"
# U+0130 is a capital I to MariaDB 10.11, but not where it looks among 32 columns or more: there LOAD DATA leaves such a
# column null without a word.
_FORBIDDEN = re.compile(r"[\U00010000-\U0010ffff\u0130]|[\s\0]+$")


def quote(name: str) -> str:
    return names.quote(name, "`")


def identifiers(
    wanted: Sequence[str],
    *,
    fold_case: bool,
    reserved: AbstractSet[str] = frozenset(),
    known: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """As `names.identifiers`, within what these databases take as a name."""
    return names.identifiers(
        wanted, max_length=LONGEST_NAME, fold_case=fold_case, reserved=reserved, known=known, allowed=_allowed
    )


def _allowed(name: str) -> str:
    """What these databases can't have in a name becomes `_`; a name that looks like one of ours begins with two."""
    plain = _FORBIDDEN.sub("_", names.without_nul(name))
    return f"_{plain}" if plain.lower().startswith(PREFIX) else plain
