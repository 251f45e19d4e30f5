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
_FORBIDDEN = re.compile(r"[\U00010000-\U0010ffff]|[\s\0]+$")


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
    possible = {name: _possible(name) for name in wanted}
    held = {possible.get(name, name): identifier for name, identifier in (known or {}).items()}
    called = names.identifiers(
        list(possible.values()), max_length=LONGEST_NAME, fold_case=fold_case, reserved=reserved, known=held
    )
    return {name: called[plain] for name, plain in possible.items()}


def _possible(name: str) -> str:
    """The name itself, or one that is allowed and ends in the name's hash."""
    if not _FORBIDDEN.search(name) and not name.lower().startswith(PREFIX):
        return name
    plain = _FORBIDDEN.sub("_", name).encode()[: LONGEST_NAME - 9].decode(errors="ignore")
    return f"{plain}_{names.digest(name)}"
