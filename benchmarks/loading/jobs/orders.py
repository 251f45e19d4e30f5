"""`orders`, Singer lines from a file: → PostgreSQL, → DuckDB, → JSON lines, → Parquet."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from loading import truth
from loading.arrivals import FLAT, NESTED, ORDERS, Check, differs, in_duckdb, in_postgres, json_lines
from loading.bench import Bench, Goal, Job, Role, Way, shell
from loading.data import JSON_LEAVES, Orders
from loading.peers import dlt, ingestr, ours, singer, sling, trial
from loading.places import empty_folder

MELTANOLABS = "meltanolabs-target-postgres"
PIPELINEWISE = "pipelinewise-target-postgres"
PLAIN = "the records as a plain file"


def singer_postgres(bench: Bench) -> Job:
    name = "singer-postgres"
    place = ours.folder(bench, name)
    address: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": bench.server.port,
        "user": "postgres",
        "password": "bench",
    }
    return Job(
        name=name,
        title="Singer lines → PostgreSQL, upsert",
        about=f"Targets from PyPI get {bench.few_orders.count:,} of the records; their times are scaled up. "
        f"dlt, sling and ingestr read {PLAIN}.",
        records=bench.orders.count,
        ways=[
            trial.way(bench, name, bench.server.url, in_table(bench, f"{trial.SCHEMA}.orders", FLAT)),
            ours.way(
                bench,
                place,
                ours.singer(place, bench.orders.lines),
                ours.postgres(bench),
                in_table(bench, "ours.orders", FLAT),
            ),
            singer.target(
                bench,
                name,
                package=MELTANOLABS,
                program="target-postgres",
                config={
                    **address,
                    "database": "bench",
                    "default_target_schema": singer.schema(MELTANOLABS),
                    "use_copy": True,
                    "load_method": "upsert",
                    "validate_records": False,
                },
                orders=bench.few_orders,
                check=in_table(bench, f"{singer.schema(MELTANOLABS)}.orders", NESTED, bench.few_orders),
            ),
            singer.target(
                bench,
                name,
                package=PIPELINEWISE,
                program="target-postgres",
                config={
                    **address,
                    "dbname": "bench",
                    "default_target_schema": singer.schema(PIPELINEWISE),
                    "data_flattening_max_level": 10,
                    "batch_size_rows": 100_000,
                },
                orders=bench.few_orders,
                check=in_table(bench, f"{singer.schema(PIPELINEWISE)}.orders", FLAT, bench.few_orders),
            ),
            dlt.way(
                bench,
                name,
                in_table(bench, f"{dlt.SCHEMA}.orders", FLAT),
                **{"from": "records", "to": "postgres", "path": str(bench.orders.records)},
            ),
            sling.copy(
                bench,
                name,
                source="LOCAL",
                stream=bench.orders.records.as_uri(),
                target="BENCH",
                table=f"{sling.SCHEMA}.orders",
                check=in_table(bench, f"{sling.SCHEMA}.orders", {**FLAT, "tags": "tags::jsonb"}),
                options=("--mode", "incremental", "--primary-key", "id", "--src-options", "{flatten: true}"),
            ),
            ingestr.copy(
                bench,
                name,
                source=f"jsonl://{bench.orders.records}",
                tables={"orders": f"{ingestr.SCHEMA}.orders"},
                check=in_table(bench, f"{ingestr.SCHEMA}.orders", NESTED),
                options=("--incremental-strategy", "merge", "--primary-key", "id"),
            ),
        ],
        goals=[
            Goal((trial.NAME,), most=1.3),
            Goal((MELTANOLABS,), least=15),
            Goal((PIPELINEWISE,), least=5),
        ],
    )


def singer_duckdb(bench: Bench) -> Job:
    name = "singer-duckdb"
    place = ours.folder(bench, name)
    target = bench.scratch(f"{name}-target-duckdb") / "out.duckdb"
    return Job(
        name=name,
        title="Singer lines → DuckDB, upsert",
        about=f"The target from PyPI gets {bench.few_orders.count:,} of the records; its times are scaled up.",
        records=bench.orders.count,
        ways=[
            trial.way(
                bench,
                name,
                str(trial.duckdb_file(bench, name)),
                in_file(bench, trial.duckdb_file(bench, name), "trial.orders", FLAT),
            ),
            ours.way(
                bench,
                place,
                ours.singer(place, bench.orders.lines),
                ours.duckdb(place),
                in_file(bench, place / "out.duckdb", "ours.orders", FLAT),
            ),
            singer.target(
                bench,
                name,
                package="target-duckdb",
                program="target-duckdb",
                config={
                    "filepath": str(target),
                    "default_target_schema": "singer",
                    "data_flattening_max_level": 10,
                    "batch_size_rows": 100_000,
                },
                orders=bench.few_orders,
                check=in_file(bench, target, "singer.orders", FLAT, bench.few_orders),
            ),
        ],
        goals=[Goal((trial.NAME,), most=1.3), Goal(("target-duckdb",), least=5)],
        most_mb=700,
    )


def singer_jsonl(bench: Bench) -> Job:
    name = "singer-jsonl"
    place = ours.folder(bench, name)
    target = bench.scratch(f"{name}-target-jsonl")
    written = json_lines(f"{place / 'out'}/**/*.jsonl", FLAT)
    return Job(
        name=name,
        title="Singer lines → JSON lines",
        about="The limit copies the bytes and has them on the disk at the end. The target from PyPI gets "
        f"{bench.few_orders.count:,} of the records; its times are scaled up.",
        records=bench.orders.count,
        ways=[
            copied(bench, name),
            ours.way(
                bench,
                place,
                ours.singer(place, bench.orders.lines),
                ours.files(place, "target-jsonl"),
                in_files(bench.orders, written, FLAT),
            ),
            singer.target(
                bench,
                name,
                package="target-jsonl",
                program="target-jsonl",
                config={"destination_path": str(target), "do_timestamp_file": False},
                orders=bench.few_orders,
                check=in_files(bench.few_orders, json_lines(str(target / "orders.jsonl"), JSON_LEAVES), JSON_LEAVES),
            ),
        ],
        goals=[Goal((COPIED,), most=3), Goal(("target-jsonl",), least=15)],
    )


def singer_parquet(bench: Bench) -> Job:
    name = "singer-parquet"
    place = ours.folder(bench, name)
    return Job(
        name=name,
        title="Singer lines → Parquet",
        about="The limit copies the bytes and has them on the disk at the end.",
        records=bench.orders.count,
        ways=[
            copied(bench, name),
            ours.way(
                bench,
                place,
                ours.singer(place, bench.orders.lines),
                ours.files(place, "target-parquet"),
                in_files(bench.orders, f"read_parquet('{place / 'out'}/**/*.parquet')", FLAT),
            ),
        ],
        goals=[Goal((COPIED,), most=3)],
    )


COPIED = "copy of the bytes"


def copied(bench: Bench, job: str) -> Way:
    place = bench.scratch(f"{job}-limit")
    return Way(
        name=COPIED,
        role=Role.LIMIT,
        command=shell(f"cat {bench.orders.lines} | dd of={place}/copy bs=1M iflag=fullblock conv=fsync status=none"),
        cwd=place,
        before=empty_folder(place),
    )


def in_table(bench: Bench, table: str, places: dict[str, str], orders: Orders | None = None) -> Check:
    return differs(
        partial(in_postgres, bench.server, table, ORDERS, places),
        partial(truth.orders_in_postgres, bench, orders or bench.orders),
    )


def in_file(bench: Bench, file: Path, table: str, places: dict[str, str], orders: Orders | None = None) -> Check:
    return differs(
        partial(in_duckdb, table, ORDERS, places, file=file), partial(truth.orders_in_duckdb, orders or bench.orders)
    )


def in_files(orders: Orders, relation: str, places: dict[str, str]) -> Check:
    return differs(partial(in_duckdb, relation, ORDERS, places), partial(truth.orders_in_duckdb, orders))
