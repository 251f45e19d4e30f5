"""The settings of the files source."""

from __future__ import annotations

from msgspec import Struct, field

from headwater.connect.objects import Credentials


class Position(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column of a file with fixed widths, in characters; the first one is number 1."""

    name: str
    start: int
    width: int


class StreamSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stream and how its files are written. What is None here is taken from `Settings`."""

    name: str
    path: str
    format: str | None = None
    keys: list[str] = field(default_factory=list)
    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    comment: str | None = None
    skip_lines: int | None = None
    encoding: str | None = None
    header: bool | None = None
    columns: list[str] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    null_values: list[str] | None = None
    decimal: str | None = None
    date_format: str | None = None
    timestamp_format: str | None = None
    records: str | None = None
    sheet: str | int | None = None
    member: str | None = None
    optional: bool | None = None


class Settings(Credentials, frozen=True, kw_only=True):
    """`root` (relative paths start there) and `venv` (`package://` paths point into it) are filled by the plan."""

    path: str | None = None
    paths: list[str] = field(default_factory=list)
    streams: list[StreamSettings] = field(default_factory=list)
    keys: dict[str, list[str]] = field(default_factory=dict)
    format: str | None = None
    delimiter: str | None = None
    quote: str = '"'
    escape: str | None = None
    comment: str | None = None
    skip_lines: int = 0
    encoding: str = "utf-8"
    header: bool = True
    columns: list[str] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    null_values: list[str] = field(default_factory=list)
    decimal: str = "."
    date_format: str | None = None
    timestamp_format: str | None = None
    records: str | None = None
    sheet: str | int | None = None
    member: str | None = None
    optional: bool = False
    max_unpacked_bytes: int = 64 << 30
    max_unpack_ratio: int = 1000
    http_headers: dict[str, str] = field(default_factory=dict)
    sftp_password: str | None = None
    sftp_private_key: str | None = None
    sftp_passphrase: str | None = None
    sftp_known_hosts: str | None = None
    root: str = ""
    venv: str | None = None
