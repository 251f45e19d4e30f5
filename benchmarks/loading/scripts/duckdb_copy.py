"""Runs in an environment with DuckDB and its PostgreSQL extension: file, address, statement."""

import sys

import duckdb
from duckdb_extensions import import_extension

file, url, statement = sys.argv[1:]
import_extension("postgres_scanner")
connection = duckdb.connect(file)
connection.execute("load postgres_scanner")
connection.execute(f"attach '{url}' as pg (type postgres)")
connection.execute(statement)
connection.close()
