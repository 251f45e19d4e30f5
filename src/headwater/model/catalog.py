"""The Singer catalog: what a source offers and what of it is wanted. Native sources speak it too."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct, field


class ReplicationMethod(StrEnum):
    FULL_TABLE = "FULL_TABLE"
    INCREMENTAL = "INCREMENTAL"
    LOG_BASED = "LOG_BASED"


class Metadata(Struct, kw_only=True):
    """`breadcrumb` is `[]` for the stream itself and `["properties", "a", "properties", "b"]` below it."""

    breadcrumb: list[str]
    metadata: dict[str, Any] = field(default_factory=dict)


class CatalogStream(Struct, kw_only=True, omit_defaults=True):
    """One entry. Keys that are not named here are kept in the raw catalog only; see `Catalog`."""

    tap_stream_id: str
    stream: str | None = None
    schema: dict[str, Any] = field(default_factory=dict)
    metadata: list[Metadata] = field(default_factory=list)
    key_properties: list[str] | None = None
    bookmark_properties: list[str] | None = None
    replication_key: str | None = None
    replication_method: str | None = None
    table_name: str | None = None
    is_view: bool | None = None
    selected: bool | None = None

    @property
    def name(self) -> str:
        """What the stream is called in messages."""
        return self.stream or self.tap_stream_id


class Catalog(Struct, kw_only=True):
    """Decoded for native sources. The catalog of a Singer tap is edited as plain JSON, so nothing of it is lost."""

    streams: list[CatalogStream] = field(default_factory=list)


class Selection(StrEnum):
    SELECTED = "selected"
    AUTOMATIC = "automatic"
    EXCLUDED = "excluded"
    UNSUPPORTED = "unsupported"


class SelectedProperty(Struct, frozen=True, kw_only=True):
    """One line of `select --list`: a property (dotted when nested) and whether it is extracted."""

    stream: str
    property: str
    selection: Selection


class CatalogChange(Struct, frozen=True, kw_only=True):
    """A difference between two discoveries of one source. `change` is one of `stream-added`, `stream-removed`,
    `column-added`, `column-removed`, `column-changed`."""

    stream: str
    change: str
    column: str | None = None
    before: Any = None
    after: Any = None
