"""What the hub would say of our own extractors. Light: read whenever a plugin is looked up."""

from __future__ import annotations

from headwater.connect.stages.definitions import STREAM_MAPS
from headwater.model.plugin import Definition, PluginKind
from headwater.model.setting import Option, Setting, SettingKind

_STREAM_FIELDS = (
    "`name` and `path` are required; `format`, `keys`, `delimiter`, `quote`, `escape`, `encoding`, `header`, "
    "`columns`, `null_values`, `member` and `optional` count for this stream only"
)

DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        plugin_type=PluginKind.EXTRACTOR,
        name="tap-files",
        namespace="tap_files",
        variant="headwater",
        label="Files",
        native="files",
        description="CSV, TSV, JSON lines and Parquet files; plain, gzipped or zipped; only what is new or changed",
        capabilities=("catalog", "discover", "state"),
        settings_group_validation=(("path",), ("paths",), ("streams",)),
        settings=(
            Setting(
                name="path",
                kind=SettingKind.STRING,
                label="Path",
                description=(
                    "A pattern for files; each file's name is its stream's. `package://NAME/…` looks into the "
                    "package that `pip_url` installs"
                ),
                placeholder="data/*.csv",
            ),
            Setting(name="paths", kind=SettingKind.ARRAY, label="Paths", description="Several patterns"),
            Setting(
                name="streams",
                kind=SettingKind.ARRAY,
                label="Streams",
                description=f"Streams made of the files that match a pattern: {_STREAM_FIELDS}",
            ),
            Setting(
                name="keys",
                kind=SettingKind.OBJECT,
                label="Keys",
                description="Stream name to the columns that identify a row; such rows are updated, not added again",
            ),
            Setting(
                name="format",
                kind=SettingKind.OPTIONS,
                label="Format",
                description="The format of files whose names do not show it",
                options=tuple(Option(value=value) for value in ("csv", "tsv", "jsonl", "parquet")),
            ),
            Setting(
                name="delimiter",
                kind=SettingKind.STRING,
                label="Delimiter",
                description="Between the fields of a CSV row; a comma, in TSV files a tab",
            ),
            Setting(name="quote", kind=SettingKind.STRING, value='"', label="Quote", description="Empty for none"),
            Setting(
                name="escape",
                kind=SettingKind.STRING,
                label="Escape",
                description="A character that takes the meaning from the next one; none by default",
            ),
            Setting(
                name="encoding",
                kind=SettingKind.STRING,
                value="utf-8",
                label="Encoding",
                description="Of text files: `utf-8`, `latin-1`, `cp1252`, …",
            ),
            Setting(
                name="header",
                kind=SettingKind.BOOLEAN,
                value=True,
                label="Header",
                description="Whether the first row of a CSV file names the columns",
            ),
            Setting(
                name="columns",
                kind=SettingKind.ARRAY,
                label="Columns",
                description="Column names, instead of those in the header",
            ),
            Setting(
                name="null_values",
                kind=SettingKind.ARRAY,
                label="Null values",
                description="Unquoted CSV texts that mean no value, such as `NA`; an unquoted empty field always does",
            ),
            Setting(
                name="member",
                kind=SettingKind.STRING,
                label="Zip member",
                description="A pattern for the members of zip files; all by default",
            ),
            Setting(
                name="optional",
                kind=SettingKind.BOOLEAN,
                value=False,
                label="Optional",
                description="Whether a pattern may match nothing, and a file be empty",
            ),
            Setting(
                name="max_unpacked_bytes",
                kind=SettingKind.INTEGER,
                value=64 << 30,
                label="Largest unpacked size",
                description="In bytes; a packed file that unpacks to more is refused",
            ),
            Setting(
                name="max_unpack_ratio",
                kind=SettingKind.INTEGER,
                value=1000,
                label="Largest unpack ratio",
                description="Unpacked to packed size, above 64 MiB",
            ),
            *STREAM_MAPS,
            Setting(name="root", kind=SettingKind.STRING, hidden=True, description="Where relative paths start"),
            Setting(name="venv", kind=SettingKind.STRING, hidden=True, description="The plugin's own environment"),
        ),
    ),
)
