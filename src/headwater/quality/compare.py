"""Finding the rows in which two tables differ, by the checksums of ever smaller parts of them.

Both sides are asked the same questions. A question splits all parts that differ at once, so there are few of them: two
or three where the parts become small enough to be looked at row by row. What is held in memory is bounded: checksums of
some thousand parts, then the keys and digests of some ten thousand rows at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

from msgspec import Struct

from headwater.connect.digest import Part, Range, Row, Side, Value

Key = tuple[str | None, ...]
T = TypeVar("T")

_FIRST_PARTS = 1024
_SPLIT = 32
# A part with so many rows is not split further; so many rows are looked at together.
_LEAF_ROWS = 4096
_BATCH_ROWS = 50_000
_BATCH_RANGES = 256
# When all the rows that were wanted are named, so many are looked at to count the others.
_MOST_LOOKED_AT = 40_000
_NOTHING = Part(0, 0)


class Changed(Struct, frozen=True):
    """A column of a differing row; the texts are None when the value is null or is not to be shown."""

    column: str
    source: str | None
    destination: str | None
    source_is_null: bool
    destination_is_null: bool


class Difference(Struct, frozen=True, kw_only=True):
    """`what` is `missing` (in the destination), `extra` (there) or `differing`; `columns` are those that differ."""

    what: str
    key: Key
    columns: tuple[Changed, ...] = ()


class Compared(Struct, frozen=True, kw_only=True):
    """`later` counts rows that changed at the source since the destination was loaded: no differences. `rows` are named
    differences. When not `is_complete`, there are more differences than were counted."""

    source_rows: int
    destination_rows: int
    missing: int = 0
    extra: int = 0
    differing: int = 0
    later: int = 0
    rows: tuple[Difference, ...] = ()
    is_complete: bool = True
    questions: int = 0

    @property
    def is_equal(self) -> bool:
        return not (self.missing or self.extra or self.differing)


class NoPositionError(Exception):
    """Some rows have no position: their key is null."""


def compare(
    source: Side,
    destination: Side,
    columns: Sequence[str],
    *,
    most: int,
    shown: bool = False,
    check: Callable[[], None] = lambda: None,
) -> Compared:
    """Compare two tables; name up to `most` rows that differ. `check` is asked between questions and may raise.

    Raises NoPositionError.
    """
    with ThreadPoolExecutor(2, thread_name_prefix="verify") as pool:
        return _Comparison(source, destination, columns, pool, most=most, shown=shown, check=check).result()


class _Comparison:
    def __init__(
        self,
        source: Side,
        destination: Side,
        columns: Sequence[str],
        pool: ThreadPoolExecutor,
        *,
        most: int,
        shown: bool,
        check: Callable[[], None],
    ) -> None:
        self._source, self._destination, self._columns = source, destination, columns
        self._pool, self._most, self._shown, self._check = pool, most, shown, check
        self._questions = 0
        self._counts = {"missing": 0, "extra": 0, "differing": 0, "later": 0}
        self._named: list[Difference] = []

    def result(self) -> Compared:
        here, there = self._both(lambda side: side.bounds())
        if here.placed != here.rows or there.placed != there.rows:
            raise NoPositionError
        rows = max(here.rows, there.rows)
        is_complete = True
        if rows:
            low = min(one.low for one in (here, there) if one.low is not None)
            high = max(one.high for one in (here, there) if one.high is not None)
            is_complete = self._descend(Range(low, high), rows)
        return Compared(
            source_rows=here.rows,
            destination_rows=there.rows,
            **self._counts,
            rows=tuple(self._named),
            is_complete=is_complete,
            questions=self._questions,
        )

    def _descend(self, whole: Range, rows: int) -> bool:
        """Work through the parts that differ, the smaller ones first. Whether all of them were looked at."""
        left = self._differing([(whole, rows)], min(_FIRST_PARTS, max(1, rows // 256)))
        looked_at = 0
        while left:
            self._check()
            leaves = [one for one in left if one[1] <= _LEAF_ROWS or one[0].width == 1]
            if leaves:
                batch = list(_batch(leaves))
                self._look([one for one, _ in batch])
                looked_at += sum(count for _, count in batch)
            else:
                batch = left[:_BATCH_RANGES]
            taken = {one for one, _ in batch}
            left = [one for one in left if one[0] not in taken]
            if not leaves:
                left = self._differing(batch, _SPLIT) + left
            if len(self._named) >= self._most and looked_at >= _MOST_LOOKED_AT:
                return not left
        return True

    def _differing(self, ranges: Sequence[tuple[Range, int]], parts: int) -> list[tuple[Range, int]]:
        """The parts of these ranges, all of one width, in which the sides differ, with how many rows lie there."""
        low = min(one.low for one, _ in ranges)
        width = max(1, -(-max(one.width for one, _ in ranges) // parts))
        asked = [one for one, _ in ranges]
        here, there = self._both(lambda side: side.parts(_joined(asked), low, width))
        found = []
        for number in sorted(here.keys() | there.keys()):
            mine, theirs = here.get(number, _NOTHING), there.get(number, _NOTHING)
            if mine == theirs:
                continue
            start = low + number * width
            found += [
                (Range(max(start, one.low), min(start + width - 1, one.high)), max(mine.rows, theirs.rows))
                for one in asked
                if one.low <= start + width - 1 and start <= one.high
            ]
        return found

    def _look(self, ranges: Sequence[Range]) -> None:
        """Compare row by row what lies in the ranges."""
        here, there = map(_by_key, self._both(lambda side: side.rows(_joined(ranges))))
        found = [(key, *_surplus(here.get(key, {}), there.get(key, {}))) for key in here.keys() | there.keys()]
        found = [(key, mine, theirs) for key, mine, theirs in found if mine or theirs]
        found.sort(key=lambda one: [_sortable(text) for text in one[0]])
        later = self._later([*(row.position for _, mine, theirs in found for row in (*mine, *theirs))])
        named: list[tuple[str, Row | None, Row | None]] = []
        for key, mine, theirs in found:
            if key in later:
                self._counts["later"] += 1
                continue
            pairs = min(len(mine), len(theirs))
            for what, some in (
                ("differing", list(zip(mine, theirs, strict=False))),
                ("missing", [(row, None) for row in mine[pairs:]]),
                ("extra", [(None, row) for row in theirs[pairs:]]),
            ):
                self._counts[what] += len(some)
                named += [(what, *pair) for pair in some]
        self._name(named[: self._most - len(self._named)])

    def _later(self, positions: list[int]) -> set[Key]:
        found: set[Key] = set()
        for start in range(0, len(positions), _BATCH_RANGES):
            self._check()
            self._questions += 1
            found |= self._source.later(sorted(set(positions[start : start + _BATCH_RANGES])))
        return found

    def _name(self, rows: Sequence[tuple[str, Row | None, Row | None]]) -> None:
        positions = sorted({row.position for what, row, _ in rows if row and what == "differing"})
        mine: dict[tuple[Key, str], list[Value]] = {}
        theirs: dict[tuple[Key, str], list[Value]] = {}
        if positions:
            mine, theirs = self._both(lambda side: side.values(positions, shown=self._shown))
        for what, row, other in rows:
            one = row or other
            assert one is not None
            columns: tuple[Changed, ...] = ()
            if row is not None and other is not None:
                pairs = zip(mine[row.key, row.digest], theirs[other.key, other.digest], strict=True)
                columns = tuple(
                    Changed(name, a.text, b.text, a.digest is None, b.digest is None)
                    for name, (a, b) in zip(self._columns, pairs, strict=True)
                    if a.digest != b.digest
                )
            self._named.append(Difference(what=what, key=one.key, columns=columns))

    def _both(self, ask: Callable[[Side], T]) -> tuple[T, T]:
        """Both sides' answers; they are asked at the same time."""
        self._check()
        self._questions += 1
        there = self._pool.submit(ask, self._destination)
        try:
            here = ask(self._source)
        finally:
            answer = there.exception()
        if answer is not None:
            raise answer
        return here, there.result()


def _batch(leaves: Sequence[tuple[Range, int]]) -> Iterator[tuple[Range, int]]:
    rows = 0
    for number, (one, count) in enumerate(leaves):
        rows += count
        if number and (rows > _BATCH_ROWS or number >= _BATCH_RANGES):
            return
        yield one, count


def _joined(ranges: Sequence[Range]) -> list[Range]:
    """The same positions in as few ranges as can be."""
    ordered = sorted(ranges)
    ends = [number for number, (one, after) in enumerate(pairwise(ordered)) if after.low > one.high + 1]
    starts = [0, *(number + 1 for number in ends)]
    spans = zip(starts, [*ends, len(ordered) - 1], strict=True)
    return [Range(ordered[start].low, ordered[end].high) for start, end in spans]


def _by_key(rows: Sequence[Row]) -> dict[Key, dict[str, Row]]:
    found: dict[Key, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        found[row.key][row.digest] = row
    return found


def _surplus(here: dict[str, Row], there: dict[str, Row]) -> tuple[list[Row], list[Row]]:
    """The rows of one key that each side has more of than the other."""

    def more(mine: dict[str, Row], theirs: dict[str, Row]) -> list[Row]:
        return [
            row
            for digest, row in sorted(mine.items())
            for _ in range(row.count - (theirs[digest].count if digest in theirs else 0))
        ]

    return more(here, there), more(there, here)


def _sortable(text: str | None) -> tuple[int, str]:
    """Numbers by their size, other texts after them."""
    text = text or ""
    return (len(text), text) if text.lstrip("-").isdigit() else (1 << 30, text)
