"""Rows of a binary COPY, each by itself and in blocks."""

from __future__ import annotations

from contextlib import closing

import pyarrow as pa
import pytest

from headwater.connect import encoded
from headwater.connect.destinations.postgres.address import Address
from headwater.connect.sources.postgres.copying import CopySession

FORMS = {
    in_blocks: encoded.column(encoded.POSTGRES_COPY, pa.schema([]), is_unique=False, in_blocks=in_blocks)
    for in_blocks in (False, True)
}


@pytest.fixture
def read(shop):
    """A query's rows in batches."""
    at = shop.server
    address = Address(
        {"host": at.host, "port": at.port, "user": at.user, "password": at.password, "dbname": "source"}, "tap-postgres"
    )
    with closing(CopySession(address, "test", ())) as session:
        yield lambda query, size, *, in_blocks: [
            pa.RecordBatch.from_arrays([rows], schema=FORMS[in_blocks])
            for rows in session.batches(query, size, in_blocks=in_blocks)
        ]


@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
@pytest.mark.parametrize("count", [0, 1, 2, 3000])
def test_a_block_has_the_bytes_of_its_rows_and_counts_them(read, size, count):
    query = f"select n::int8, repeat('x', n % 50), null::text from generate_series(1, {count}) n"
    each, blocks = (read(query, size, in_blocks=in_blocks) for in_blocks in (False, True))
    assert sum(one.num_rows for one in each) == sum(one.num_rows for one in blocks) == count
    content = b"".join(map(encoded.content, blocks))
    assert content == b"".join(value for one in each for value in one.column(0).to_pylist())
    assert content == b"".join(map(encoded.content, each))


def test_blocks_stay_whole_when_they_are_put_together_and_cut(read):
    query = "select n::int8 from generate_series(1, 3000) n"
    blocks = read(query, 1000, in_blocks=True)
    whole = pa.concat_batches(blocks)
    assert encoded.in_blocks(whole)
    assert encoded.content(whole) == b"".join(map(encoded.content, blocks))
    cut = [whole.slice(0, 10), whole.slice(10, 2000), whole.slice(2010)]
    assert b"".join(map(encoded.content, cut)) == encoded.content(whole)


def test_rows_of_other_forms_are_in_no_blocks(read):
    assert not encoded.in_blocks(pa.record_batch({"row": [b"x"]}))
    assert not encoded.in_blocks(read("select 1", 1, in_blocks=False)[0])
