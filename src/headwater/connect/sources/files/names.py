"""Names for columns that have none, or one that another has too."""

from __future__ import annotations

from collections.abc import Sequence


def distinct(names: Sequence[str]) -> list[str]:
    """Each column needs a name of its own: nameless ones are numbered, repeated ones get `_2`, `_3`."""
    taken = set(names)
    result: list[str] = []
    used: set[str] = set()
    for position, given in enumerate(names, start=1):
        plain = given if given.strip() else f"column_{position}"
        name, count = plain, 1
        while name in used or (count > 1 and name in taken):
            count += 1
            name = f"{plain}_{count}"
        result.append(name)
        used.add(name)
    return result
