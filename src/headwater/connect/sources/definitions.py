"""What the hub would say of our own extractors. Light: read whenever a plugin is looked up."""

from __future__ import annotations

from typing import Any

from headwater.connect.stages.definitions import STREAM_MAPS
from headwater.connect.store_settings import STORE_SETTINGS
from headwater.model.plugin import Definition, PluginKind
from headwater.model.setting import Option, Setting, SettingKind

_STREAM_FIELDS = (
    "`name` and `path` are required; `format`, `keys`, `delimiter`, `quote`, `escape`, `comment`, `skip_lines`, "
    "`encoding`, `header`, `columns`, `positions`, `null_values`, `decimal`, `date_format`, `timestamp_format`, "
    "`records`, `sheet`, `member` and `optional` count for this stream only"
)
_FORMATS = ("csv", "tsv", "jsonl", "json", "parquet", "excel", "xml", "fixed")


def _text(name: str, label: str, description: str, *, value: str | None = None, secret: bool = False) -> Setting:
    return Setting(
        name=name, kind=SettingKind.STRING, value=value, label=label, description=description, sensitive=secret
    )


def _other(name: str, kind: SettingKind, label: str, description: str, value: Any = None) -> Setting:
    return Setting(name=name, kind=kind, value=value, label=label, description=description)


_WHICH = (
    Setting(
        name="path",
        kind=SettingKind.STRING,
        label="Path",
        description=(
            "A pattern for files; each file's name is its stream's. It may lead to another machine: `s3://…`, "
            "`gs://…`, `az://…`, `abfss://…`, `https://…`, `sftp://…`. `package://NAME/…` looks into the package that "
            "`pip_url` installs"
        ),
        placeholder="data/*.csv",
    ),
    _other("paths", SettingKind.ARRAY, "Paths", "Several patterns"),
    _other(
        "streams", SettingKind.ARRAY, "Streams", f"Streams made of the files that match a pattern: {_STREAM_FIELDS}"
    ),
    _other(
        "keys",
        SettingKind.OBJECT,
        "Keys",
        "Stream name to the columns that identify a row; such rows are updated, not added again",
    ),
    Setting(
        name="format",
        kind=SettingKind.OPTIONS,
        label="Format",
        description="The format of files whose names do not show it",
        options=tuple(Option(value=value) for value in _FORMATS),
    ),
)

_WRITTEN = (
    _text("delimiter", "Delimiter", "Between the fields of a CSV row; a comma, in TSV files a tab"),
    _text("quote", "Quote", "Empty for none", value='"'),
    _text("escape", "Escape", "A character that takes the meaning from the next one; none by default"),
    _text("comment", "Comment", "Lines of a text file that begin with this character are left out; none by default"),
    _other(
        "skip_lines",
        SettingKind.INTEGER,
        "Lines to skip",
        "At the beginning of a text file, or rows at that of a sheet",
        0,
    ),
    _text("encoding", "Encoding", "Of text files: `utf-8`, `utf-16`, `latin-1`, `cp1252`, …", value="utf-8"),
    _other(
        "header", SettingKind.BOOLEAN, "Header", "Whether the first row of a CSV file or sheet names the columns", True
    ),
    _other("columns", SettingKind.ARRAY, "Columns", "Column names, instead of those in the header"),
    _other(
        "positions",
        SettingKind.ARRAY,
        "Positions",
        "The columns of files with fixed widths: `name`, `start` (the first character is number 1) and `width` of each",
    ),
    _other(
        "null_values",
        SettingKind.ARRAY,
        "Null values",
        "Texts that mean no value, such as `NA`, in CSV files where they are not quoted; an empty field always does",
    ),
    Setting(
        name="decimal",
        kind=SettingKind.OPTIONS,
        value=".",
        label="Decimal sign",
        description="Of numbers in text files",
        options=(Option(value="."), Option(value=",")),
    ),
    _text("date_format", "Date format", "Of dates in text files, as `%d.%m.%Y`, instead of ISO 8601"),
    _text("timestamp_format", "Timestamp format", "As `%d.%m.%Y %H:%M`, instead of ISO 8601; without a zone it is UTC"),
    _text(
        "records",
        "Records",
        "Where the records are: the path of the XML element that is a row, as `catalog/book`, or of the array in a "
        "JSON file, as `data.items`",
    ),
    _text("sheet", "Sheet", "The name of a workbook's sheet, or its number; the first by default"),
    _text("member", "Zip member", "A pattern for the members of zip files; all by default"),
    _other(
        "optional",
        SettingKind.BOOLEAN,
        "Optional",
        "Whether a pattern may match nothing, and a file be empty",
        False,
    ),
    _other(
        "max_unpacked_bytes",
        SettingKind.INTEGER,
        "Largest unpacked size",
        "In bytes; a packed file that unpacks to more is refused, and so is a larger answer of a web server",
        64 << 30,
    ),
    _other(
        "max_unpack_ratio",
        SettingKind.INTEGER,
        "Largest unpack ratio",
        "Unpacked to packed size, above 64 MiB",
        1000,
    ),
)

_ACCESS = (
    *STORE_SETTINGS,
    Setting(
        name="http_headers",
        kind=SettingKind.OBJECT,
        label="HTTP headers",
        description="For web servers, as `Authorization`; they go to the server of the address only",
        sensitive=True,
    ),
    _text("sftp_password", "SFTP password", "Instead of a key", secret=True),
    _text("sftp_private_key", "SFTP private key", "Its file; without it the SSH agent's keys, then those in ~/.ssh"),
    _text("sftp_passphrase", "SFTP passphrase", "Of the private key", secret=True),
    _text("sftp_known_hosts", "SFTP known hosts", "The file with the keys of servers; ~/.ssh/known_hosts by default"),
)

DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        plugin_type=PluginKind.EXTRACTOR,
        name="tap-files",
        namespace="tap_files",
        variant="headwater",
        label="Files",
        native="files",
        description=(
            "CSV, JSON, Parquet, Excel, XML and fixed-width files, here, in object stores, on web and SFTP servers; "
            "only what is new or changed"
        ),
        capabilities=("catalog", "discover", "state"),
        settings_group_validation=(("path",), ("paths",), ("streams",)),
        settings=(
            *_WHICH,
            *_WRITTEN,
            *_ACCESS,
            *STREAM_MAPS,
            Setting(name="root", kind=SettingKind.STRING, hidden=True, description="Where relative paths start"),
            Setting(name="venv", kind=SettingKind.STRING, hidden=True, description="The plugin's own environment"),
        ),
    ),
)
