"""`events`, whole: PostgreSQL → PostgreSQL, PostgreSQL → DuckDB, CSV → PostgreSQL."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from loading import truth
from loading.arrivals import EVENTS, Check, differs, in_duckdb, in_postgres
from loading.bench import Bench, Goal, Job, Role, Way, shell
from loading.data import EVENTS_COLUMNS
from loading.peers import dlt, duckdb_extension, ingestr, ours, sling
from loading.places import empty_folder, empty_schemas, first

PEERS = (dlt.NAME, sling.NAME, ingestr.NAME)


def postgres_postgres(bench: Bench) -> Job:
    name = "postgres-postgres"
    place = ours.folder(bench, name)
    copy_out, copy_in = "copy truth.events to stdout (format binary)", "copy bare.events from stdin (format binary)"
    return Job(
        name=name,
        title="PostgreSQL → PostgreSQL, a whole table",
        about="The limit is `COPY` to `COPY` through a pipe, binary, into a table with the same key.",
        records=bench.events.count,
        ways=[
            limit(
                bench,
                name,
                "COPY to COPY",
                f'{bench.server.psql} -c "{copy_out}" | {bench.server.psql} -c "{copy_in}"',
                key=", primary key (id)",
            ),
            ours.way(
                bench,
                place,
                ours.tables(bench, "truth", ["events"]),
                ours.postgres(bench),
                in_table(bench, ours.table("truth", "events")),
            ),
            dlt.way(
                bench,
                name,
                in_table(bench, f"{dlt.SCHEMA}.events"),
                **{"from": "tables", "to": "postgres", "tables": ["events"], "streamed": True},
            ),
            sling.copy(
                bench,
                name,
                source="BENCH",
                stream="truth.events",
                target="BENCH",
                table=f"{sling.SCHEMA}.events",
                check=in_table(bench, f"{sling.SCHEMA}.events"),
            ),
            ingestr.copy(
                bench,
                name,
                source=ingestr.address(bench),
                tables={"truth.events": f"{ingestr.SCHEMA}.events"},
                check=in_table(bench, f"{ingestr.SCHEMA}.events"),
            ),
            duckdb_extension.into_postgres(bench, name, in_table(bench, f"{duckdb_extension.SCHEMA}.events")),
        ],
        goals=[Goal(("COPY to COPY",), most=1.15), *(Goal((peer,), least=2) for peer in PEERS)],
    )


def postgres_duckdb(bench: Bench) -> Job:
    name = "postgres-duckdb"
    place = ours.folder(bench, name)
    return Job(
        name=name,
        title="PostgreSQL → DuckDB, a whole table",
        about="The limit is `COPY` to nowhere, binary: DuckDB's own work is not in it.",
        records=bench.events.count,
        ways=[
            limit(
                bench,
                name,
                "COPY to nowhere",
                f'{bench.server.psql} -c "copy truth.events to stdout (format binary)" > /dev/null',
            ),
            ours.way(
                bench,
                place,
                ours.tables(bench, "truth", ["events"]),
                ours.duckdb(place),
                in_file(bench, place / "out.duckdb", ours.table("truth", "events")),
            ),
            dlt.way(
                bench,
                name,
                in_file(bench, dlt.duckdb_file(bench, name), f"{dlt.SCHEMA}.events"),
                **{"from": "tables", "to": "duckdb", "tables": ["events"], "streamed": True},
            ),
            sling.copy(
                bench,
                name,
                source="BENCH",
                stream="truth.events",
                target="FILE",
                table="sling.events",
                check=in_file(bench, sling.duckdb_file(bench, name), "sling.events"),
            ),
            ingestr.copy(
                bench,
                name,
                source=ingestr.address(bench),
                target=f"duckdb:///{ingestr.duckdb_file(bench, name)}",
                tables={"truth.events": "ingestr.events"},
                check=in_file(bench, ingestr.duckdb_file(bench, name), "ingestr.events"),
            ),
            duckdb_extension.into_duckdb(
                bench, name, in_file(bench, duckdb_extension.duckdb_file(bench, name), "events")
            ),
        ],
        goals=[Goal(("COPY to nowhere",), most=2.2), Goal(PEERS, least=1.25)],
        most_mb=700,
    )


def csv_postgres(bench: Bench) -> Job:
    name = "csv-postgres"
    place = ours.folder(bench, name)
    file = bench.events.csv
    copy = f"\\copy bare.events from '{file}' (format csv, header)"
    return Job(
        name=name,
        title="CSV → PostgreSQL",
        about="The limit is `psql \\copy`: the server parses the text. No way makes a key.",
        records=bench.events.count,
        ways=[
            limit(bench, name, "psql \\copy", f'{bench.server.psql} -c "{copy}"'),
            ours.way(bench, place, ours.csv(file), ours.postgres(bench), in_table(bench, "ours.events")),
            dlt.way(
                bench,
                name,
                in_table(bench, f"{dlt.SCHEMA}.events"),
                **{"from": "csv", "to": "postgres", "path": file.parent.as_uri()},
            ),
            sling.copy(
                bench,
                name,
                source="LOCAL",
                stream=file.as_uri(),
                target="BENCH",
                table=f"{sling.SCHEMA}.events",
                check=in_table(bench, f"{sling.SCHEMA}.events"),
            ),
            ingestr.copy(
                bench,
                name,
                source=f"csv://{file}",
                tables={"events": f"{ingestr.SCHEMA}.events"},
                check=in_table(bench, f"{ingestr.SCHEMA}.events"),
            ),
        ],
        goals=[Goal(("psql \\copy",), most=0.85), Goal(PEERS, least=2.5)],
    )


def limit(bench: Bench, job: str, name: str, command: str, *, key: str = "") -> Way:
    place = bench.scratch(f"{job}-limit")
    made = f"create table bare.events ({EVENTS_COLUMNS}{key})"
    reads_only = "/dev/null" in command
    return Way(
        name=name,
        role=Role.LIMIT,
        command=shell(command),
        cwd=place,
        before=first(empty_folder(place), empty_schemas(bench.server, "bare", then=made)),
        **({} if reads_only else {"check": in_table(bench, "bare.events")}),
    )


def in_table(bench: Bench, table: str) -> Check:
    return differs(partial(in_postgres, bench.server, table, EVENTS), partial(truth.events_in_postgres, bench))


def in_file(bench: Bench, file: Path, table: str) -> Check:
    return differs(partial(in_duckdb, table, EVENTS, file=file), partial(truth.events_in_duckdb, bench))
