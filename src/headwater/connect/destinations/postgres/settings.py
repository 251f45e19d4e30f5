from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from headwater.connect.destinations.deletes import Share


class Settings(Struct, frozen=True, kw_only=True):
    """Named as those of MeltanoLabs' target-postgres. `sqlalchemy_url` goes before the settings it repeats."""

    host: str = "localhost"
    port: int = 5432
    user: str | None = None
    password: str | None = None
    database: str | None = None
    sqlalchemy_url: str | None = None
    dialect_driver: str = field(name="dialect+driver", default="postgresql+psycopg")
    default_target_schema: str | None = None
    load_method: Literal["append-only", "upsert", "overwrite", "history"] = "upsert"
    activate_version: bool = True
    hard_delete: bool = False
    max_delete_share: Share = 0.5
    ssl_enable: bool = False
    ssl_mode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "verify-full"
    ssl_certificate_authority: str | None = None
    ssl_client_certificate_enable: bool = False
    ssl_client_certificate: str | None = None
    ssl_client_private_key: str | None = None
    # What other variants let one turn off and this one always does.
    use_copy: bool = True
    sanitize_null_text_characters: bool = True

    def __repr__(self) -> str:
        return f"Settings(host={self.host!r}, port={self.port}, user={self.user!r}, database={self.database!r}, …)"
