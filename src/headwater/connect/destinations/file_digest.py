"""The files that streams were loaded into, as tables of a DuckDB in memory, for a comparison with their source."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb

from headwater.base.errors import InputError, RunFailedError
from headwater.connect import engine
from headwater.connect.destinations.csv import Settings as CsvSettings
from headwater.connect.destinations.duckdb.digest import WORDS
from headwater.connect.destinations.file_settings import FileSettings
from headwater.connect.destinations.heads import LeasedHead
from headwater.connect.destinations.lines import escaped
from headwater.connect.destinations.manifest import NO_STATE, ColumnEntry, StreamEntry, safe_name
from headwater.connect.digest import Column, Relation
from headwater.connect.names import quote
from headwater.connect.objects import SCHEMES
from headwater.connect.storage import LocalFolder

# Arrow's names of types, and DuckDB's.
_KINDS = {
    "bool": ("bool", "BOOLEAN"),
    "int64": ("int64", "BIGINT"),
    "double": ("float64", "DOUBLE"),
    "string": ("string", "VARCHAR"),
    "binary": ("binary", "BLOB"),
    "date32[day]": ("date32", "DATE"),
    "time64[us]": ("time64", "TIME"),
    "timestamp[us, tz=UTC]": ("timestamp", "TIMESTAMPTZ"),
}
# What DuckDB does not read out of JSON as it stands there: it takes decimals for doubles, and writes objects anew.
_NOT_OF_JSON = frozenset(("decimal", "whole", "json"))


def open(  # noqa: A001 - the contract's word
    settings: FileSettings, *, source: str, pipeline: str | None, folder: Path, on_wait: Callable[[str], None]
) -> FileTables:
    """Loads of the pipeline wait until it is closed. Raises InputError (`not-verifiable`) for an object store."""
    del folder
    if settings.destination_path.partition("://")[0] in SCHEMES:
        raise InputError(
            "not-verifiable",
            f"the files at `{settings.destination_path}` can't be compared where they are",
            why="only those in a folder of this machine can",
            hint="copy the folder here, with its `_manifests`, and set `destination_path` to it",
        )
    return FileTables(settings, pipeline, safe_name(pipeline if pipeline is not None else NO_STATE + source), on_wait)


class FileTables:
    """As `digest.Tables` says: the files that the pipeline's manifest lists."""

    words = WORDS

    def __init__(self, settings: FileSettings, pipeline: str | None, stem: str, on_wait: Callable[[str], None]) -> None:
        self._settings, self._pipeline = settings, pipeline
        self._storage = LocalFolder(settings.destination_path)
        head = LeasedHead(self._storage, stem, "headwater verify", on_wait)
        self._held = ExitStack()
        if self._storage.root.exists():
            self._held.enter_context(head.alone())
        self._manifest = head.read()
        self._connection = duckdb.connect(
            ":memory:", config={"memory_limit": "256MiB", "autoload_known_extensions": False}
        )
        self._connection.execute("set TimeZone = 'UTC'")

    def checkpoint(self) -> bytes | None:
        return self._manifest.state if self._pipeline is not None else None

    def relation(self, stream: str) -> Relation | None:
        entry = self._manifest.streams.get(stream)
        if entry is None or not entry.files:
            return None
        suffix = entry.files[0].path.removesuffix(".gz").rpartition(".")[2]
        is_escaped = isinstance(self._settings, CsvSettings) and self._settings.escape_formulas
        return Relation(
            place=f"{self._storage.address}/{entry.folder}",
            sql=f"{self._read(entry, suffix)} as t",
            columns={source: _column(column, suffix) for source, column in entry.columns.items()},
            remarks=("texts that look like formulas are escaped, so they differ",) if is_escaped else (),
        )

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        try:
            found: list[tuple[Any, ...]] = self._connection.execute(query).fetchall()
        except duckdb.Error as error:
            raise RunFailedError(
                "files-unreadable",
                f"the files below `{self._storage.address}` can't be read",
                why=engine.words(error)[0],
                hint="a file that was loaded is never changed: restore it, or load the stream anew",
            ) from error
        return found

    def interrupt(self) -> None:
        self._connection.interrupt()

    def close(self) -> None:
        self._connection.close()
        self._held.close()

    def _read(self, entry: StreamEntry, suffix: str) -> str:
        files = ", ".join(_text(str(self._storage.root / file.path)) for file in entry.files)
        hive = (
            "hive_partitioning = true, hive_types_autocast = false" if entry.partitions else "hive_partitioning = false"
        )
        columns = [(column.name, _type(column)[1]) for column in entry.columns.values()]
        match suffix:
            case "parquet":
                return f"read_parquet([{files}], union_by_name = true, {hive})"
            case "csv":
                settings = self._settings
                assert isinstance(settings, CsvSettings)
                mark = _text(settings.quotechar)
                return (
                    f"read_csv([{files}], header = true, all_varchar = true, delim = {_text(settings.delimiter)}, "
                    f"quote = {mark}, escape = {mark}, nullstr = '', allow_quoted_nulls = false, "
                    f"union_by_name = true, max_line_size = 16777216, {hive})"
                )
            case _:
                asked = ", ".join(
                    f"{quote(name)}: {_text('VARCHAR' if kind == 'BLOB' else kind)}" for name, kind in columns
                )
                return (
                    f"read_json([{files}], format = 'newline_delimited', columns = {{{asked}}}, "
                    f"maximum_object_size = 16777216, {hive})"
                )


def _text(text: str) -> str:
    return f"'{escaped(text)}'"


def _type(column: ColumnEntry) -> tuple[str, str]:
    """The kind of a column, and DuckDB's type."""
    if column.json:
        return "json", "JSON"
    if match := re.fullmatch(r"decimal128\((\d+), (\d+)\)", column.type):
        return "decimal" if int(match[2]) else "whole", f"DECIMAL({match[1]},{match[2]})"
    return _KINDS.get(column.type, ("string", "VARCHAR"))


def _column(column: ColumnEntry, suffix: str) -> Column:
    kind, sql_type = _type(column)
    name = f"t.{quote(column.name)}"
    if suffix == "parquet":
        return Column(sql=f"{name}::{sql_type}" if kind != "json" else name, kind=kind, type=sql_type)
    if suffix == "jsonl" and kind in _NOT_OF_JSON:
        return Column(sql=name, kind=f"{kind} in JSON", type=f"{sql_type} in a line of JSON")
    if kind in ("string", "json"):
        return Column(sql=name, kind=kind, type=sql_type)
    value = f"from_base64({name})" if kind == "binary" else f"try_cast({name} as {sql_type})"
    return Column(sql=value, kind=kind, type=sql_type)
