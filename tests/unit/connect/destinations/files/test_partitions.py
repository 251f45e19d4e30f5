from __future__ import annotations

import datetime as dt

import duckdb
import pyarrow as pa
import pytest
from pyarrow import dataset
from pyarrow import parquet as pq

from headwater.base.errors import InputError

COLUMNS = [("id", pa.int64()), ("country", pa.string()), ("at", pa.timestamp("us", "UTC"))]
MAY, JUNE = dt.datetime(2024, 5, 31, 23, 59, tzinfo=dt.UTC), dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
ROWS = [
    {"id": 1, "country": "DE", "at": MAY},
    {"id": 2, "country": "FR", "at": MAY},
    {"id": 3, "country": "DE", "at": JUNE},
    {"id": 4, "country": None, "at": None},
    {"id": 5, "country": "a/b=c d%é", "at": JUNE},
]


def test_a_column_and_a_part_of_a_date_become_folders(load, files):
    load("parquet", {"partition_by": ["country", "at:month"]}, COLUMNS, ROWS)
    assert list(files()) == [
        "country=DE/at_month=2024-05/shop.run-1.000001.parquet",
        "country=DE/at_month=2024-06/shop.run-1.000001.parquet",
        "country=FR/at_month=2024-05/shop.run-1.000001.parquet",
        "country=__HIVE_DEFAULT_PARTITION__/at_month=__HIVE_DEFAULT_PARTITION__/shop.run-1.000001.parquet",
        "country=a%2Fb%3Dc%20d%25%C3%A9/at_month=2024-06/shop.run-1.000001.parquet",
    ]
    assert pq.ParquetFile(next(iter(files().values()))).schema_arrow.names == ["id", "at", "__loaded_at"]


def test_duckdb_reads_it_back(load, tmp_path):
    load("parquet", {"partition_by": ["country", "at:month"]}, COLUMNS, ROWS)
    found = duckdb.execute(
        'select id, country, at_month, epoch_us("at") from read_parquet(?, hive_partitioning = true) order by id',
        [f"{tmp_path}/out/orders/**/*.parquet"],
    ).fetchall()
    assert [row[:3] for row in found] == [
        (1, "DE", "2024-05"),
        (2, "FR", "2024-05"),
        (3, "DE", "2024-06"),
        (4, None, None),
        (5, "a/b=c d%é", "2024-06"),
    ]
    assert found[0][3] == MAY.timestamp() * 1_000_000


def test_arrow_reads_it_back(load, tmp_path):
    load("parquet", {"partition_by": "country, at:month"}, COLUMNS, ROWS)
    found = dataset.dataset(tmp_path / "out" / "orders", partitioning="hive").to_table().sort_by("id").to_pylist()
    assert [(row["id"], row["country"], row["at_month"]) for row in found] == [
        (1, "DE", "2024-05"),
        (2, "FR", "2024-05"),
        (3, "DE", "2024-06"),
        (4, None, None),
        (5, "a/b=c d%é", "2024-06"),
    ]


@pytest.mark.parametrize(
    ("kind", "value", "folder"),
    [
        (pa.int64(), -5, "v=-5"),
        (pa.bool_(), True, "v=true"),
        (pa.date32(), dt.date(2024, 2, 29), "v=2024-02-29"),
        (pa.decimal128(10, 2), 1, "v=1.00"),
        (pa.string(), "", "v="),
        (pa.string(), "__HIVE_DEFAULT_PARTITION__", "v=%5F_HIVE_DEFAULT_PARTITION__"),
        (pa.string(), "..", "v=.."),
    ],
)
def test_values_stand_as_their_exact_text(load, files, kind, value, folder):
    load("parquet", {"partition_by": ["v"]}, [("v", kind)], [{"v": value}])
    assert [path.split("/")[0] for path in files()] == [folder]


@pytest.mark.parametrize(("part", "folder"), [("year", "2024"), ("day", "2024-05-31"), ("hour", "2024-05-31T23")])
def test_parts_of_dates(load, files, part, folder):
    load("parquet", {"partition_by": {"orders": [f"at:{part}"], "others": ["x"]}}, COLUMNS, ROWS[:1])
    assert [path.split("/")[0] for path in files()] == [f"at_{part}={folder}"]


@pytest.mark.parametrize(
    ("wanted", "reference", "what"),
    [
        ("countri", "unknown-column", "stream `orders` has no column `countri` to be partitioned by"),
        ("at", "bad-partition", "stream `orders` can't be partitioned by column `at`"),
        ("id:month", "bad-partition", "stream `orders` can't be partitioned by `id:month`"),
        ("at:week", "bad-partition", "stream `orders` can't be partitioned by `at:week`"),
    ],
)
def test_what_names_no_folders_is_refused_before_a_row_is_taken(load, files, wanted, reference, what):
    with pytest.raises(InputError) as caught:
        load("parquet", {"partition_by": [wanted]}, COLUMNS, ROWS)
    assert (caught.value.reference, caught.value.what) == (reference, what)
    assert files() == {}


def test_other_partitions_for_a_stream_that_has_files_are_refused(load):
    load("parquet", {"partition_by": ["country"]}, COLUMNS, ROWS)
    with pytest.raises(InputError) as caught:
        load("parquet", {}, COLUMNS, ROWS, run_id="run-2")
    assert caught.value.what == "stream `orders` has files that are partitioned by `country`"
    load("parquet", {"load_method": "overwrite"}, COLUMNS, ROWS, run_id="run-3")


def test_too_many_partitions_are_refused(load, files):
    with pytest.raises(InputError) as caught:
        load("parquet", {"partition_by": "id"}, [("id", pa.int64())], [{"id": n} for n in range(10_001)])
    assert caught.value.reference == "too-many-partitions"
    assert files() == {}


def test_many_partitions_beyond_the_memory_wait_on_disk(load, tmp_path):
    text = "x" * 1000
    batches = [[{"id": n, "p": n % 50, "text": text} for n in range(k, k + 500)] for k in range(0, 5000, 500)]
    columns = [("id", pa.int64()), ("p", pa.int64()), ("text", pa.string())]
    load("parquet", {"partition_by": ["p"]}, columns, *batches, memory_bytes=400_000)
    (found,) = duckdb.execute(
        "select count(*), count(distinct filename), sum(id), count(*) filter (where id % 50 <> p) "
        "from read_parquet(?, hive_partitioning = true, filename = true)",
        [f"{tmp_path}/out/orders/*/*.parquet"],
    ).fetchall()
    assert found == (5000, 50, sum(range(5000)), 0)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_large_commit_goes_on_in_further_files(load, files):
    batches = [
        pa.record_batch([list(range(n, n + 70_000))], pa.schema([("id", pa.int64())])) for n in (0, 70_000, 140_000)
    ]
    settings = {"max_file_bytes": 1, "row_group_size": 10_000, "compression": "none"}
    load("parquet", settings, [("id", pa.int64())], *batches)
    assert [name.removeprefix("shop.run-1.000001") for name in files()] == ["-2.parquet", "-3.parquet", ".parquet"]
    found = [pq.ParquetFile(path).metadata for path in files().values()]
    assert [(one.num_rows, one.num_row_groups) for one in found] == [(70_000, 7)] * 3
