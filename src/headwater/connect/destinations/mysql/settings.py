from __future__ import annotations

from typing import Literal

from msgspec import Struct

from headwater.connect.destinations.deletes import Share


class Settings(Struct, frozen=True, kw_only=True):
    """Tables go into `default_target_schema`, else into `database`, else into one named as the extractor: to MySQL a
    schema is a database."""

    host: str = "localhost"
    port: int = 3306
    unix_socket: str | None = None
    user: str | None = None
    password: str | None = None
    database: str | None = None
    default_target_schema: str | None = None
    load_method: Literal["append-only", "upsert", "overwrite", "history"] = "upsert"
    activate_version: bool = True
    hard_delete: bool = False
    max_delete_share: Share = 0.5
    ssl: bool = False
    ssl_ca: str | None = None
    ssl_cert: str | None = None
    ssl_key: str | None = None
    ssl_verify_cert: bool = True
    ssl_verify_identity: bool = True

    def __repr__(self) -> str:
        return f"Settings(host={self.host!r}, port={self.port}, user={self.user!r}, database={self.database!r}, …)"
