"""What must hold of a table before anything is built on it. Who knows checks makes gates of them; here they are only
passed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from headwater.base.errors import HeadwaterError
from headwater.connect.warehouses import Session
from headwater.model.event import Emit

Place = tuple[str, str]  # schema and name, in small letters


class Gate(Struct, frozen=True):
    """A check of one table. `needs` are the tables that it looks at, its own among them; `code` changes when the check
    does, and for one that `ages` with each run. `ask` answers with what is wrong when the run has to know: a warning is
    only told."""

    name: str
    place: Place
    needs: frozenset[Place]
    code: str
    ask: Callable[[Session, Emit], HeadwaterError | None]
    ages: bool = False


def by_place(gates: Iterable[Gate]) -> dict[Place, list[Gate]]:
    found: dict[Place, list[Gate]] = {}
    for gate in gates:
        found.setdefault(gate.place, []).append(gate)
    return found


def code(gates: Sequence[Gate]) -> str:
    """Identifies a set of checks; empty for none."""
    return " ".join(sorted(gate.code for gate in gates))


def early(gates: Mapping[Place, Sequence[Gate]], before: Mapping[Place, frozenset[Place]]) -> dict[Place, list[Gate]]:
    """The gates that can be asked as soon as their own table is made: `before` has, for each model, the models that
    are made by then."""
    return {
        place: [gate for gate in found if gate.needs & before.keys() <= before.get(place, frozenset()) | {place}]
        for place, found in gates.items()
    }
