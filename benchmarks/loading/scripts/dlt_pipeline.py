"""Runs in dlt's own environment. One argument: JSON that says what to read and where to."""

import json
import pathlib
import sys

import dlt


def main(options):
    destination = (
        dlt.destinations.duckdb(f"{options['folder']}/out.duckdb")
        if options["to"] == "duckdb"
        else dlt.destinations.postgres(options["url"])
    )
    pipeline = dlt.pipeline(
        pipeline_name="bench",
        destination=destination,
        dataset_name=options["schema"],
        pipelines_dir=f"{options['folder']}/pipelines",
    )
    source, arguments = {"tables": tables, "csv": csv, "records": records}[options["from"]](options)
    pipeline.run(source, **arguments)


def tables(options):
    from dlt.sources.sql_database import sql_database

    source = sql_database(
        options["url"].replace("postgresql:", "postgresql+psycopg2:"),
        schema=options.get("source_schema", "truth"),
        table_names=options["tables"],
        backend="connectorx",
        backend_kwargs={"return_type": "arrow_stream"} if options["streamed"] else {},
        chunk_size=100_000,
    )
    if "cursor" in options:
        for resource in source.resources.values():
            resource.apply_hints(
                incremental=dlt.sources.incremental(options["cursor"]), primary_key="id", write_disposition="merge"
            )
        return source, {"loader_file_format": "parquet"}
    return source, {"loader_file_format": "parquet", "write_disposition": "replace"}


def csv(options):
    from dlt.sources.filesystem import filesystem, read_csv_duckdb

    files = filesystem(bucket_url=options["path"], file_glob="*.csv")
    rows = (files | read_csv_duckdb(use_pyarrow=True, chunk_size=100_000)).with_name("events")
    return rows, {"loader_file_format": "parquet", "write_disposition": "replace"}


def records(options):
    import orjson

    columns = {"tags": {"data_type": "json"}}  # else a table of its own

    @dlt.resource(name="orders", primary_key="id", write_disposition="merge", columns=columns)
    def orders():
        held = []
        with pathlib.Path(options["path"]).open("rb") as lines:
            for line in lines:
                held.append(orjson.loads(line))
                if len(held) == 10_000:
                    yield held
                    held = []
        if held:
            yield held

    return orders, {}


main(json.loads(sys.argv[1]))
