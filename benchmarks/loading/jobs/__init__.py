from __future__ import annotations

from collections.abc import Callable

from loading.bench import Bench, Job
from loading.jobs import changes, events, many, orders

JOBS: dict[str, Callable[[Bench], Job]] = {
    "postgres-postgres": events.postgres_postgres,
    "postgres-duckdb": events.postgres_duckdb,
    "csv-postgres": events.csv_postgres,
    "singer-postgres": orders.singer_postgres,
    "singer-duckdb": orders.singer_duckdb,
    "singer-jsonl": orders.singer_jsonl,
    "singer-parquet": orders.singer_parquet,
    "changes-postgres": changes.changes_postgres,
    "many-duckdb": many.many_duckdb,
}
