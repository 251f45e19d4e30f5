"""Which rows of a stream a commit takes."""

from __future__ import annotations

import pyarrow as pa
import pytest

from headwater.connect.contract import Rows, Schema
from headwater.connect.destinations.commit import StreamPart
from headwater.connect.staging import Staging

NUMBERS = pa.schema([("n", pa.int64())])


@pytest.fixture
def part(tmp_path):
    """The numbers 0 to 9 in three batches."""
    staging = Staging(tmp_path, 1 << 20)
    stream = staging.prepare(Schema(stream="s", columns=NUMBERS))
    for numbers in ([0, 1, 2, 3], [4], [5, 6, 7, 8, 9]):
        staging.stage(Rows(stream="s", batch=pa.record_batch([numbers], schema=NUMBERS)))
    return StreamPart(stream, 3)


def numbers(part):
    found = [number for batch in part.batches() for number in batch.column(0).to_pylist()]
    assert part.rows == len(found)
    return found


def test_rows_are_left_out_by_their_positions(part):
    assert numbers(part.without([])) == list(range(10))
    assert numbers(part.without([9, 0, 4])) == [1, 2, 3, 5, 6, 7, 8]
    assert numbers(part.without(range(10))) == []


def test_positions_count_among_the_rows_that_are_left(part):
    once = part.without([0, 4])
    assert numbers(once.without([0, 3, 7])) == [2, 3, 6, 7, 8]
    assert numbers(once.only((range(2, 5), range(7, 8)))) == [3, 5, 6, 9]
    assert numbers(once.only((range(2, 5),)).only((range(1, 2),))) == [5]
