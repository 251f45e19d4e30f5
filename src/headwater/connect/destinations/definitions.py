"""What the destinations of this package are called and how they are set. Imports no driver."""

from __future__ import annotations

from headwater.model.plugin import Definition, PluginKind
from headwater.model.setting import Option, Setting, SettingKind

VARIANT = "headwater"

DUCKDB = Definition(
    plugin_type=PluginKind.LOADER,
    name="target-duckdb",
    namespace="target_duckdb",
    variant=VARIANT,
    label="DuckDB",
    native="duckdb",
    description="The embedded warehouse: tables in one DuckDB file. Rows and checkpoint commit together.",
    settings=(
        Setting(
            name="filepath",
            aliases=("path", "database"),
            kind=SettingKind.FILE,
            value="warehouse.duckdb",
            label="Database file",
            description="The DuckDB file. It is made when absent.",
        ),
        Setting(
            name="default_target_schema",
            kind=SettingKind.STRING,
            label="Schema",
            description="The schema of the tables. Without it, the extractor's namespace.",
        ),
        Setting(
            name="load_method",
            kind=SettingKind.OPTIONS,
            value="upsert",
            label="Load method",
            description="What happens to rows that are there already.",
            options=(
                Option(value="upsert", label="Rows with the same key are replaced; without keys rows are appended"),
                Option(value="append-only", label="Rows are appended, keys or not"),
                Option(value="overwrite", label="Each run replaces the whole content of its tables"),
            ),
        ),
    ),
)

_FOLDER = Setting(
    name="destination_path",
    kind=SettingKind.FILE,
    value="output",
    label="Folder",
    description="The folder that gets a folder for each stream. It is made when absent.",
)
_FILE_LOAD_METHOD = Setting(
    name="load_method",
    kind=SettingKind.OPTIONS,
    value="append-only",
    label="Load method",
    description="What happens to rows that are there already.",
    options=(
        Option(value="append-only", label="Each commit adds files"),
        Option(value="overwrite", label="Each run replaces the files of its streams"),
    ),
)

PARQUET = Definition(
    plugin_type=PluginKind.LOADER,
    name="target-parquet",
    namespace="target_parquet",
    variant=VARIANT,
    label="Parquet files",
    native="parquet",
    description="Parquet files in a folder for each stream. A manifest says which files count.",
    settings=(
        _FOLDER,
        _FILE_LOAD_METHOD,
        Setting(
            name="compression",
            kind=SettingKind.OPTIONS,
            value="zstd",
            label="Compression",
            description="How the columns are compressed.",
            options=tuple(Option(value=name) for name in ("zstd", "snappy", "gzip", "none")),
        ),
    ),
)

JSONL = Definition(
    plugin_type=PluginKind.LOADER,
    name="target-jsonl",
    namespace="target_jsonl",
    variant=VARIANT,
    label="JSON lines",
    native="jsonl",
    description="Files with a JSON object a line, in a folder for each stream. A manifest says which files count.",
    settings=(
        _FOLDER,
        _FILE_LOAD_METHOD,
        Setting(
            name="compression",
            kind=SettingKind.OPTIONS,
            value="none",
            label="Compression",
            description="Whether the files are compressed.",
            options=tuple(Option(value=name) for name in ("none", "gzip")),
        ),
    ),
)

DEFINITIONS: tuple[Definition, ...] = (DUCKDB, PARQUET, JSONL)
