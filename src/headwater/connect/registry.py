"""Names to modules. A connector's module is imported when it is used: its driver may be heavy."""

from __future__ import annotations

import importlib
from typing import cast

from headwater.connect.contract import DestinationModule, SourceModule
from headwater.connect.digest import DestinationDigests, SourceDigests
from headwater.connect.rejects import QuarantineModule
from headwater.connect.warehouses import WarehouseModule

SOURCES = {
    "airbyte": "headwater.connect.sources.airbyte",
    "dlt": "headwater.connect.sources.dlt",
    "duckdb": "headwater.connect.sources.duckdb",
    "files": "headwater.connect.sources.files",
    "git": "headwater.connect.sources.git",
    "mysql": "headwater.connect.sources.mysql",
    "postgres": "headwater.connect.sources.postgres",
    "python": "headwater.connect.sources.python",
    "rest": "headwater.connect.sources.rest",
    "sql": "headwater.connect.sources.sql",
    "sqlite": "headwater.connect.sources.sqlite",
}

DESTINATIONS = {
    "csv": "headwater.connect.destinations.csv",
    "duckdb": "headwater.connect.destinations.duckdb",
    "jsonl": "headwater.connect.destinations.jsonl",
    "mysql": "headwater.connect.destinations.mysql",
    "parquet": "headwater.connect.destinations.parquet",
    "postgres": "headwater.connect.destinations.postgres",
}


# Where each destination keeps what it has set aside.
QUARANTINES = {
    **dict.fromkeys(("csv", "jsonl", "parquet"), "headwater.connect.destinations.file_quarantine"),
    **{name: f"{DESTINATIONS[name]}.quarantine" for name in ("duckdb", "mysql", "postgres")},
}

# How the rows of each are compared with those at the other end.
SOURCE_DIGESTS = {
    **{name: f"{SOURCES[name]}.digest" for name in ("duckdb", "sql", "sqlite")},
    "files": "headwater.connect.sources.files.digest",
    "mysql": "headwater.connect.sources.mysql.digest",
    "postgres": "headwater.connect.sources.postgres.digest",
}
DESTINATION_DIGESTS = {
    **dict.fromkeys(("csv", "jsonl", "parquet"), "headwater.connect.destinations.file_digest"),
    **{name: f"{DESTINATIONS[name]}.digest" for name in ("duckdb", "mysql", "postgres")},
}

# Where models are built and checks asked.
WAREHOUSES = {name: f"{DESTINATIONS[name]}.warehouse" for name in ("duckdb", "postgres")}


def source(name: str) -> SourceModule:
    """The source module of that name. Raises KeyError for a name that is not in `SOURCES`."""
    return cast("SourceModule", importlib.import_module(SOURCES[name]))


def destination(name: str) -> DestinationModule:
    """The destination module of that name. Raises KeyError for a name that is not in `DESTINATIONS`."""
    return cast("DestinationModule", importlib.import_module(DESTINATIONS[name]))


def quarantine(name: str) -> QuarantineModule:
    """The module that reads that destination's rejects. Raises KeyError for a name that is not in `QUARANTINES`."""
    return cast("QuarantineModule", importlib.import_module(QUARANTINES[name]))


def source_digests(name: str) -> SourceDigests:
    """Raises KeyError for a name that is not in `SOURCE_DIGESTS`."""
    return cast("SourceDigests", importlib.import_module(SOURCE_DIGESTS[name]))


def destination_digests(name: str) -> DestinationDigests:
    """Raises KeyError for a name that is not in `DESTINATION_DIGESTS`."""
    return cast("DestinationDigests", importlib.import_module(DESTINATION_DIGESTS[name]))


def warehouse(name: str) -> WarehouseModule:
    """Raises KeyError for a name that is not in `WAREHOUSES`."""
    return cast("WarehouseModule", importlib.import_module(WAREHOUSES[name]))
