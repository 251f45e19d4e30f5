"""What the destinations for files are called and how they are set. Imports no driver."""

from __future__ import annotations

from typing import Any

from headwater.connect.store_settings import STORE_SETTINGS
from headwater.model.plugin import Definition, PluginKind
from headwater.model.setting import Option, Setting, SettingKind


def _text(name: str, label: str, description: str, *, value: str | None = None, secret: bool = False) -> Setting:
    return Setting(
        name=name, kind=SettingKind.STRING, label=label, description=description, value=value, sensitive=secret
    )


def _choice(name: str, label: str, description: str, value: str | None, *options: str) -> Setting:
    return Setting(
        name=name,
        kind=SettingKind.OPTIONS,
        value=value,
        label=label,
        description=description,
        options=tuple(Option(value=option) for option in options),
    )


def _unused(name: str, description: str, kind: SettingKind = SettingKind.STRING, value: Any = None) -> Setting:
    """For projects that choose it, so that a change of variant is one line."""
    label = name.replace("_", " ").capitalize()
    return Setting(name=name, kind=kind, value=value, label=label, description=description, hidden=True)


def _place(*aliases: str) -> tuple[Setting, ...]:
    return (
        Setting(
            name="destination_path",
            aliases=aliases,
            kind=SettingKind.FILE,
            value="output",
            label="Folder",
            description="The folder that gets a folder for each stream, or a place in an object store: "
            "`s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX`. "
            "A folder is made when absent, a bucket is not.",
        ),
        *STORE_SETTINGS,
        Setting(
            name="load_method",
            kind=SettingKind.OPTIONS,
            value="append-only",
            label="Load method",
            description="What happens to rows that are there already.",
            options=(
                Option(value="append-only", label="Each commit adds files"),
                Option(value="overwrite", label="Each run replaces the files of its streams"),
            ),
        ),
        Setting(
            name="max_file_bytes",
            kind=SettingKind.INTEGER,
            value=1 << 30,
            label="Largest file",
            description="After so many bytes a commit goes on in another file.",
        ),
    )


_GZIP = _choice("compression", "Compression", "Whether the files are compressed.", "none", "none", "gzip")
_NAMED_HERE = "For projects that choose it: here files are named after pipeline, run and commit."

PARQUET = Definition(
    plugin_type=PluginKind.LOADER,
    name="target-parquet",
    namespace="target_parquet",
    variant="headwater",
    label="Parquet files",
    native="parquet",
    description="Parquet files in a folder or object store. A manifest says which files count.",
    settings=(
        *_place(),
        Setting(
            name="partition_by",
            aliases=("partition_cols",),
            label="Partitions",
            description="Columns, or parts of dates as `ordered_at:month` (year, month, day, hour), that become "
            "folders `column=value`: a list for all streams, or an object with a list for each stream.",
        ),
        Setting(
            name="compression",
            aliases=("compression_method",),
            kind=SettingKind.OPTIONS,
            value="zstd",
            label="Compression",
            description="How the columns are compressed.",
            options=tuple(Option(value=name) for name in ("zstd", "snappy", "gzip", "none")),
        ),
        Setting(
            name="row_group_size",
            kind=SettingKind.INTEGER,
            value=122_880,
            label="Row group",
            description="Rows that are stored, and can be skipped, together.",
        ),
        _unused("max_batch_size", "For projects that choose it: bytes decide here.", SettingKind.INTEGER),
        _unused("max_pyarrow_table_size", "For projects that choose it: bytes decide here.", SettingKind.INTEGER),
    ),
)

JSONL = Definition(
    plugin_type=PluginKind.LOADER,
    name="target-jsonl",
    namespace="target_jsonl",
    variant="headwater",
    label="JSON lines",
    native="jsonl",
    description="Files with a JSON object a line, in a folder or object store. A manifest says which files count.",
    settings=(
        *_place(),
        _GZIP,
        _unused("do_timestamp_file", _NAMED_HERE, SettingKind.BOOLEAN, value=True),
        _unused("custom_name", _NAMED_HERE),
    ),
)

CSV = Definition(
    plugin_type=PluginKind.LOADER,
    name="target-csv",
    namespace="target_csv",
    variant="headwater",
    label="CSV files",
    native="csv",
    description="CSV files in a folder or object store. A manifest says which files count.",
    settings=(
        *_place("output_path"),
        _GZIP,
        _text("delimiter", "Delimiter", "The sign between two values.", value=","),
        _text("quotechar", "Quote", "The sign around a text that needs it.", value='"'),
        Setting(
            name="escape_formulas",
            kind=SettingKind.BOOLEAN,
            value=False,
            label="Escape formulas",
            description="Whether a text that starts with `=`, `+`, `-` or `@` gets a `'` in front, so that no "
            "spreadsheet runs it. The text is changed by that.",
        ),
        _choice("encoding", "Encoding", "`utf-8-sig` marks the file for spreadsheets.", "utf-8", "utf-8", "utf-8-sig"),
        _unused(
            "overwrite_behavior",
            "For projects that choose it, before `load_method`: `replace_file` is `overwrite`, `append_records` is "
            "`append-only`.",
        ),
        _unused("file_naming_scheme", _NAMED_HERE),
        _unused("datestamp_format", _NAMED_HERE),
        _unused("timestamp_format", _NAMED_HERE),
        _unused("timestamp_timezone", _NAMED_HERE),
    ),
)
