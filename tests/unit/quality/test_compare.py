"""Two lists of rows, compared as two tables are."""

from __future__ import annotations

import hashlib
import random
from bisect import bisect_right
from collections import Counter

import pytest

from headwater.connect.digest import HASHED, Bounds, Part, Range, Row, Value
from headwater.quality.compare import Changed, Difference, NoPositionError, compare

COLUMNS = ("id", "name", "city")


def md5(*texts):
    return hashlib.md5("|".join("~" if text is None else f":{text}" for text in texts).encode()).hexdigest()  # noqa: S324 - no secret


class Rows:
    """A table that is a list. The first column is its key, and with `indexed` an integer. `later` are keys of rows that
    came since."""

    def __init__(self, rows, *, indexed=True, later=()):
        self.all, self.indexed, self.came_later = [tuple(row) for row in rows], indexed, later
        self.asked = Counter()
        self.most = 0

    def position(self, row):
        return row[0] if self.indexed else int(md5(row[0])[:15], 16)

    def within(self, ranges):
        ordered = sorted(ranges)
        lows = [one.low for one in ordered]
        near = ((row, bisect_right(lows, self.position(row)) - 1) for row in self.all)
        return [row for row, number in near if number >= 0 and self.position(row) <= ordered[number].high]

    def bounds(self):
        self.asked["bounds"] += 1
        if not self.indexed:
            return Bounds(len(self.all), len(self.all), *HASHED)
        keys = [row[0] for row in self.all if row[0] is not None]
        return Bounds(len(self.all), len(keys), min(keys, default=None), max(keys, default=None))

    def parts(self, ranges, low, width):
        self.asked["parts"] += 1
        found = {}
        for row in self.within(ranges):
            number = (self.position(row) - low) // width
            before = found.get(number, Part(0, 0))
            found[number] = Part(before.rows + 1, before.checksum + int(md5(*row)[:15], 16))
        return found

    def rows(self, ranges):
        self.asked["rows"] += 1
        counted = Counter(self.within(ranges))
        self.most = max(self.most, len(counted))
        return [Row(self.position(row), (str(row[0]),), md5(*row), count) for row, count in counted.items()]

    def later(self, positions):
        return {(str(key),) for key in self.came_later}

    def values(self, positions, *, shown):
        return {
            ((str(row[0]),), md5(*row)): [
                Value(None if value is None else md5(value), str(value) if shown and value is not None else None)
                for value in row
            ]
            for row in self.within([Range(one, one) for one in positions])
        }


def table(count, **changes):
    rows = {number: (number, f"n{number}", "here") for number in range(1, count + 1)}
    return [row for row in (rows | changes.get("put", {})).values() if row is not None]


def test_equal_tables_cost_two_questions():
    found = compare(Rows(table(5000)), Rows(table(5000)), COLUMNS, most=20)
    assert found.is_equal
    assert (found.source_rows, found.questions) == (5000, 2)


@pytest.mark.parametrize("indexed", [True, False])
def test_each_difference_is_counted_and_named(indexed):
    there = table(5000, put={7: None, 8: (8, None, "there"), 9000: (9000, "x", "y")})
    found = compare(Rows(table(5000), indexed=indexed), Rows(there, indexed=indexed), COLUMNS, most=20, shown=True)
    assert (found.missing, found.extra, found.differing, found.is_complete) == (1, 1, 1, True)
    assert sorted(found.rows, key=lambda row: row.what) == [
        Difference(
            what="differing",
            key=("8",),
            columns=(Changed("name", "n8", None, False, True), Changed("city", "here", "there", False, False)),
        ),
        Difference(what="extra", key=("9000",)),
        Difference(what="missing", key=("7",)),
    ]


def test_values_are_not_shown_unless_they_are_wanted():
    found = compare(Rows([(1, "secret", "a")]), Rows([(1, "other", "a")]), COLUMNS, most=20)
    assert found.rows[0].columns == (Changed("name", None, None, False, False),)


def test_rows_that_came_later_are_no_differences():
    here = Rows(table(100, put={5: None}), later=[5])
    found = compare(here, Rows(table(100)), COLUMNS, most=20)
    assert found.is_equal
    assert found.later == 1


def test_of_equal_rows_each_counts():
    row = (1, "twin", "here")
    found = compare(Rows([row] * 3, indexed=False), Rows([row], indexed=False), COLUMNS, most=20)
    assert (found.missing, found.extra) == (2, 0)


def test_empty_tables_are_equal_and_an_empty_one_misses_all():
    assert compare(Rows([]), Rows([]), COLUMNS, most=20).is_equal
    assert compare(Rows(table(3)), Rows([]), COLUMNS, most=20).missing == 3


def test_keys_far_apart_are_found_in_few_questions():
    keys = [1, 2, 10**18]
    here, there = ([(key, "a", city) for key in keys for city in ("x",)] for _ in range(2))
    there[1] = (2, "b", "x")
    found = compare(Rows(here), Rows(there), COLUMNS, most=20)
    assert (found.differing, found.rows[0].key) == (1, ("2",))
    assert found.questions < 10


def test_a_table_that_differs_altogether_is_not_held_in_memory():
    here, there = Rows(table(60_000)), Rows([])
    found = compare(here, there, COLUMNS, most=3)
    assert len(found.rows) == 3
    assert not found.is_complete
    assert 40_000 <= found.missing < 60_000
    assert here.most < 60_000


def test_rows_without_a_place_are_told():
    with pytest.raises(NoPositionError):
        compare(Rows([(None, "a", "b"), (1, "a", "b")]), Rows([]), COLUMNS, most=1)


def test_any_two_tables_differ_in_what_a_plain_comparison_says():
    chance = random.Random(7)  # noqa: S311 - no secret
    for _ in range(40):
        size = chance.choice([1, 10, 500, 3000])
        here = {key: (key, f"n{key}", "x") for key in chance.sample(range(-5000, 5000), size)}
        there = dict(here)
        for key in chance.sample(sorted(here), chance.randint(0, min(size, 8))):
            there.pop(key) if chance.random() < 0.5 else there.update({key: (key, "changed", "x")})
        for key in chance.sample(range(6000, 7000), chance.randint(0, 4)):
            there[key] = (key, "new", "x")
        found = compare(Rows(here.values()), Rows(there.values()), COLUMNS, most=100)
        both = here.keys() & there.keys()
        assert (found.missing, found.extra) == (len(here.keys() - there.keys()), len(there.keys() - here.keys()))
        assert found.differing == sum(here[key] != there[key] for key in both)
