"""A hundred streams of a thousand rows: what a stream costs that has next to nothing in it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from loading import truth
from loading.arrivals import EVENTS, Check, Fingerprint, differs, in_duckdb
from loading.bench import Bench, Goal, Job
from loading.peers import dlt, ingestr, ours, sling

TABLES = [f"t{number:03}" for number in range(truth.MANY)]
ROWS = truth.MANY * truth.ROWS_OF_MANY


def many_duckdb(bench: Bench) -> Job:
    name = "many-duckdb"
    place = ours.folder(bench, name)
    return Job(
        name=name,
        title=f"{truth.MANY} tables of {truth.ROWS_OF_MANY:,} rows, PostgreSQL → DuckDB",
        about="ingestr takes a command a table.",
        records=ROWS,
        ways=[
            ours.way(
                bench,
                place,
                ours.tables(bench, "many", TABLES),
                ours.duckdb(place),
                in_file(bench, place / "out.duckdb", ours.SCHEMA, ours.prefix("many")),
            ),
            dlt.way(
                bench,
                name,
                in_file(bench, dlt.duckdb_file(bench, name), dlt.SCHEMA),
                **{"from": "tables", "to": "duckdb", "source_schema": "many", "tables": TABLES, "streamed": True},
            ),
            sling.replicate(
                bench,
                name,
                streams=[f"many.{table}" for table in TABLES],
                target="FILE",
                table="sling.{stream_table}",
                check=in_file(bench, sling.duckdb_file(bench, name), "sling"),
            ),
            ingestr.copy(
                bench,
                name,
                source=ingestr.address(bench),
                target=f"duckdb:///{ingestr.duckdb_file(bench, name)}",
                tables={f"many.{table}": f"ingestr.{table}" for table in TABLES},
                check=in_file(bench, ingestr.duckdb_file(bench, name), "ingestr"),
            ),
        ],
        goals=[Goal((dlt.NAME, sling.NAME, ingestr.NAME), least=3)],
        most_mb=700,
    )


def in_file(bench: Bench, file: Path, schema: str, prefix: str = "") -> Check:
    """All tables taken together."""
    columns = ", ".join(f'"{name}"' for name in EVENTS)
    union = " union all ".join(f'(select {columns} from {schema}."{prefix}{table}")' for table in TABLES)

    def expected() -> Fingerprint:
        return in_duckdb(f"(from '{bench.events.parquet}' where id <= {ROWS})", EVENTS)

    return differs(partial(in_duckdb, f"({union})", EVENTS, file=file), expected)
