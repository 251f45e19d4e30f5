"""One row in a hundred changed: only those are read and merged into the copy made before."""

from __future__ import annotations

from functools import partial

from loading import truth
from loading.arrivals import EVENTS, Check, differs, in_postgres
from loading.bench import Bench, Goal, Job, Role, Way, shell
from loading.data import EVENTS_COLUMNS
from loading.peers import dlt, ingestr, ours, sling
from loading.places import empty_folder, empty_schemas, first

COLUMNS = ", ".join(EVENTS)
UPDATES = ", ".join(f"{name} = excluded.{name}" for name in EVENTS if name != "id")
PEERS = (dlt.NAME, sling.NAME, ingestr.NAME)


def changes_postgres(bench: Bench) -> Job:
    name = "changes-postgres"
    changed = bench.events.count // 100
    place = ours.folder(bench, name)
    return Job(
        name=name,
        title=f"{changed:,} changed rows of {bench.events.count:,}, PostgreSQL → PostgreSQL, upsert",
        about="The source has an index on its cursor. The limit is SQL by hand: one `COPY` of what is newer, "
        "a temporary table, one `insert … on conflict`.",
        records=changed,
        continues=partial(change, bench),
        ways=[
            by_hand(bench, name),
            (
                ours.way(
                    bench,
                    place,
                    ours.changed_tables(bench, "truth", ["events"], "at"),
                    ours.postgres(bench),
                    in_table(bench, ours.table("truth", "events")),
                )
            ),
            (
                dlt.way(
                    bench,
                    name,
                    in_table(bench, f"{dlt.SCHEMA}.events"),
                    **{"from": "tables", "to": "postgres", "tables": ["events"], "streamed": True, "cursor": "at"},
                )
            ),
            (
                sling.copy(
                    bench,
                    name,
                    source="BENCH",
                    stream="truth.events",
                    target="BENCH",
                    table=f"{sling.SCHEMA}.events",
                    check=in_table(bench, f"{sling.SCHEMA}.events"),
                    options=("--mode", "incremental", "--primary-key", "id", "--update-key", "at"),
                )
            ),
            (
                ingestr.copy(
                    bench,
                    name,
                    source=ingestr.address(bench),
                    tables={"truth.events": f"{ingestr.SCHEMA}.events"},
                    check=in_table(bench, f"{ingestr.SCHEMA}.events"),
                    options=("--incremental-strategy", "merge", "--primary-key", "id", "--incremental-key", "at"),
                )
            ),
        ],
        goals=[Goal((BY_HAND,), most=2), Goal(PEERS, least=2)],
    )


BY_HAND = "SQL by hand"


def by_hand(bench: Bench, job: str) -> Way:
    place = bench.scratch(f"{job}-limit")
    script = place.parent / f"{job}-by-hand.sql"
    script.write_text(
        "begin;\n"
        "create temp table incoming (like bare.events) on commit drop;\n"
        "\\copy incoming from pstdin (format binary)\n"
        f"insert into bare.events select {COLUMNS} from incoming on conflict (id) do update set {UPDATES};\n"
        "commit;\n"
    )
    last = "coalesce((select max(at) from bare.events), '-infinity')"
    newer = f"copy (select {COLUMNS} from truth.events where at > {last}) to stdout (format binary)"
    made = f"create table bare.events ({EVENTS_COLUMNS}, primary key (id)); create index on bare.events (at)"
    return Way(
        name=BY_HAND,
        role=Role.LIMIT,
        command=shell(f'{bench.server.psql} -c "{newer}" | {bench.server.psql} -f {script}'),
        cwd=place,
        check=in_table(bench, "bare.events"),
        before=first(empty_folder(place), empty_schemas(bench.server, "bare", then=made)),
    )


def change(bench: Bench, number: int) -> None:
    """Every hundredth row, another one each round, gets new values and an instant after all others, but before
    now: a bookmark does not pass the present."""
    bench.server.do(
        f"""update truth.events
        set at = clock_timestamp() - interval '1 minute' + id * interval '1 microsecond',
            country = 'xx', x = x + 1, items = items + 1, amount = amount + 1
        where id % 100 = {number}""",
        "vacuum truth.events",
    )


def in_table(bench: Bench, table: str) -> Check:
    return differs(
        partial(in_postgres, bench.server, table, EVENTS), partial(truth.events_in_postgres, bench), changes=True
    )
