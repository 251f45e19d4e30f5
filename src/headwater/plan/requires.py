"""Which Meltano a project asks for, and whether what it may use of it is understood here."""

from __future__ import annotations

import re

# The newest Meltano whose projects this program reads.
KNOWN = (4, 4, 1)

_CLAUSE = re.compile(r"\s*(>=|==|~=|>)\s*(\d+(?:\.\d+)*)")


def newer_than_known(specifier: str) -> str | None:
    """The clause of a specifier (`>=4.1,<5`) that asks for a newer Meltano than the known one, None when none does.

    That a project asks for an older one is no reason to refuse it: older projects are read as well.
    """
    for clause in specifier.split(","):
        found = _CLAUSE.match(clause)
        if found is None:
            continue
        asked = tuple(int(part) for part in found.group(2).split("."))
        if asked > KNOWN[: len(asked)] or (found.group(1) == ">" and asked == KNOWN):
            return clause.strip()
    return None
