"""The settings of the files source."""

from __future__ import annotations

from msgspec import Struct, field


class StreamSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stream and how its files are written. What is None here is taken from `Settings`."""

    name: str
    path: str
    format: str | None = None
    keys: list[str] = field(default_factory=list)
    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    encoding: str | None = None
    header: bool | None = None
    columns: list[str] = field(default_factory=list)
    null_values: list[str] | None = None
    member: str | None = None
    optional: bool | None = None


class Settings(Struct, frozen=True, kw_only=True):
    """`root` (relative paths start there) and `venv` (`package://` paths point into it) are filled by the plan."""

    path: str | None = None
    paths: list[str] = field(default_factory=list)
    streams: list[StreamSettings] = field(default_factory=list)
    keys: dict[str, list[str]] = field(default_factory=dict)
    format: str | None = None
    delimiter: str | None = None
    quote: str = '"'
    escape: str | None = None
    encoding: str = "utf-8"
    header: bool = True
    columns: list[str] = field(default_factory=list)
    null_values: list[str] = field(default_factory=list)
    member: str | None = None
    optional: bool = False
    max_unpacked_bytes: int = 64 << 30
    max_unpack_ratio: int = 1000
    root: str = ""
    venv: str | None = None
