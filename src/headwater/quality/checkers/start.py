"""The files of a new start with Soda or Great Expectations: what to connect to, without a secret, and an example."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from headwater.base.files import write_atomic
from headwater.base.text import env_name
from headwater.base.yaml_write import render

SOURCE = "warehouse"
CHECKPOINT = "checks"
_FILES = {"soda": "data_source.yml", "great_expectations": "great_expectations.yml"}
_IGNORED = "uncommitted/\n"
# Of a PostgreSQL server, as Soda calls them; the variables have the names of the plugin's settings.
_SERVER = ("host", "port", "user", "password", "database", "sslmode")
_STORES = {
    "expectations_store": ("ExpectationsStore", "expectations/"),
    "validation_results_store": ("ValidationResultsStore", "uncommitted/validations/"),
    "checkpoint_store": ("CheckpointStore", "checkpoints/"),
    "validation_definition_store": ("ValidationDefinitionStore", "validation_definitions/"),
}


class Example(Struct, frozen=True, kw_only=True):
    """A table that stands in the warehouse. `place` names it in Soda's way: its schema, before it the database where
    that is part of it."""

    place: tuple[str, ...]
    table: str
    columns: tuple[str, ...]
    keys: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.place[-1]}.{self.table}"


def is_started(driver: str, folder: Path) -> bool:
    return (folder / _FILES[driver]).exists()


def write(driver: str, folder: Path, *, plugin: str, database: str | None, example: Example | None) -> tuple[Path, ...]:
    """Write what is missing; returns the files written. Files that are there stay, and so does a folder that already
    has contracts or checkpoints: it gets no example. The file by which a start is known comes last, so one that was cut
    short is made whole the next time."""
    make = _soda if driver == "soda" else _great_expectations
    files = make(folder, plugin, database, example)
    missing = [name for name in files if not (folder / name).exists()]
    for name in sorted(missing, key=lambda name: name == _FILES[driver]):
        write_atomic(folder / name, files[name].encode())
    return tuple(folder / name for name in missing)


def _soda(folder: Path, plugin: str, database: str | None, example: Example | None) -> dict[str, str]:
    files = {}
    if database is not None:
        files[_FILES["soda"]] = render({"type": database, "name": SOURCE, "connection": _connection(plugin, database)})
    if example is not None and not _holds(folder / "contracts", ".yml", ".yaml"):
        files[f"contracts/{example.table}.yml"] = _contract(example)
    return files


def _connection(plugin: str, database: str) -> dict[str, Any]:
    if database == "duckdb":
        return {"database": f"${{env.{env_name(plugin, 'path')}}}", "read_only": True}
    return {name: f"${{env.{env_name(plugin, name)}}}" for name in _SERVER}


def _contract(example: Example) -> str:
    columns: list[dict[str, Any]] = [{"name": name} for name in example.columns]
    for column in columns:
        if column["name"] in example.keys:
            column["checks"] = [{"missing": None}]
            if len(example.keys) == 1:
                column["checks"].append({"duplicate": None})
    return render(
        {
            "dataset": "/".join((SOURCE, *example.place, example.table)),
            "columns": columns,
            "checks": [
                {"schema": {"allow_extra_columns": True}},
                {"row_count": {"threshold": {"must_be_greater_than": 0}}},
            ],
        }
    )


def _great_expectations(folder: Path, plugin: str, database: str | None, example: Example | None) -> dict[str, str]:
    """A suite belongs to a table by ids: those of one plugin and table are always the same."""
    if database is None or is_started("great_expectations", folder):
        return {}
    of_what = f"{plugin}/{example.name if example else ''}"
    words = ("datasource", "asset", "batch_definition", "suite", "validation", "checkpoint")
    ids = {word: _id(of_what, word) for word in words}
    files = {
        _FILES["great_expectations"]: render(_project(plugin, database, example, ids)),
        ".gitignore": _IGNORED,
    }
    if example is not None:
        name = example.name
        files |= {
            f"expectations/{name.replace('.', '/')}.json": _json(_suite(example, ids["suite"])),
            f"validation_definitions/{name}.json": _json(_validation(example, ids)),
            f"checkpoints/{CHECKPOINT}.json": _json(
                {
                    "actions": [],
                    "id": ids["checkpoint"],
                    "name": CHECKPOINT,
                    "result_format": "SUMMARY",
                    "validation_definitions": [{"id": ids["validation"], "name": name}],
                }
            ),
        }
    return files


def _id(of_what: str, word: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{of_what}/{word}"))


def _project(plugin: str, database: str, example: Example | None, ids: Mapping[str, str]) -> dict[str, Any]:
    stores = {name: _store(kind, folder) for name, (kind, folder) in _STORES.items()}
    stores["checkpoint_store"]["store_backend"]["suppress_store_backend_id"] = True
    source: dict[str, Any] = {"type": "pandas", "id": ids["datasource"]}
    if database == "postgres":
        url = f"${{{env_name(plugin, 'url')}}}"
        source = {"type": "postgres", "id": ids["datasource"], "connection_string": url}
    if example is not None:
        source["assets"] = {example.name: _asset(database, example, ids)}
    return {
        "config_version": 4.0,
        "plugins_directory": "plugins/",
        "stores": stores,
        "expectations_store_name": "expectations_store",
        "validation_results_store_name": "validation_results_store",
        "checkpoint_store_name": "checkpoint_store",
        "analytics_enabled": False,
        "progress_bars": {"globally": False},
        "fluent_datasources": {SOURCE: source},
    }


def _store(kind: str, folder: str) -> dict[str, Any]:
    backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": folder}
    return {"class_name": kind, "store_backend": backend}


def _asset(database: str, example: Example, ids: Mapping[str, str]) -> dict[str, Any]:
    asset: dict[str, Any] = {"type": "dataframe", "id": ids["asset"], "batch_metadata": {}}
    if database == "postgres":
        asset |= {"type": "table", "table_name": example.table, "schema_name": example.place[-1]}
    return {**asset, "batch_definitions": {"whole": {"id": ids["batch_definition"], "partitioner": None}}}


def _suite(example: Example, key: str) -> dict[str, Any]:
    kinds = ("expect_column_values_to_not_be_null", "expect_column_values_to_be_unique")
    wanted: list[tuple[str, dict[str, Any]]] = [("expect_table_row_count_to_be_between", {"min_value": 1})]
    for column in example.keys:
        wanted += [(kind, {"column": column}) for kind in kinds[: 2 if len(example.keys) == 1 else 1]]
    return {
        "expectations": [
            {"id": _id(key, str(number)), "kwargs": kwargs, "meta": {}, "severity": "critical", "type": kind}
            for number, (kind, kwargs) in enumerate(wanted)
        ],
        "id": key,
        "meta": {},
        "name": example.name,
        "notes": None,
    }


def _validation(example: Example, ids: Mapping[str, str]) -> dict[str, Any]:
    return {
        "data": {
            "asset": {"id": ids["asset"], "name": example.name},
            "batch_definition": {"id": ids["batch_definition"], "name": "whole"},
            "datasource": {"id": ids["datasource"], "name": SOURCE},
        },
        "id": ids["validation"],
        "name": example.name,
        "suite": {"id": ids["suite"], "name": example.name},
    }


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=2) + "\n"


def _holds(folder: Path, *endings: str) -> bool:
    return folder.is_dir() and any(file.suffix in endings for file in folder.rglob("*"))
