from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

_Distance = Annotated[int, Meta(ge=0)]
_ServerId = Annotated[int, Meta(ge=1, le=0xFF_FF_FF_FF)]


class Settings(Struct, frozen=True, kw_only=True):
    """Named as those of transferwise's tap-mysql. Certificates are paths, or their own text."""

    host: str = "localhost"
    port: int = 3306
    unix_socket: str | None = None
    user: str | None = None
    password: str | None = None
    database: str | None = None
    filter_dbs: str | None = None
    default_replication_method: Literal["FULL_TABLE", "INCREMENTAL", "LOG_BASED"] = "FULL_TABLE"
    replication_keys: dict[str, str] = field(default_factory=dict)
    lookback_seconds: _Distance = 0
    lookback_units: _Distance = 0
    null_replication_keys: Literal["once", "always", "never"] = "once"
    tinyint1_is_bool: bool = True
    session_sqls: list[str] = field(default_factory=list)
    server_id: _ServerId | None = None
    ssl: bool = False
    ssl_ca: str | None = None
    ssl_cert: str | None = None
    ssl_key: str | None = None
    ssl_verify_cert: bool = True
    ssl_verify_identity: bool = True
    # What projects give to other variants and what changes nothing here.
    engine: str | None = None
    use_gtid: bool = False
    internal_hostname: str | None = None

    @property
    def databases(self) -> tuple[str, ...]:
        """Those that are read; () for all but the server's own."""
        listed = [name.strip() for name in (self.filter_dbs or "").split(",") if name.strip()]
        return tuple(listed or ([self.database] if self.database else ()))

    def __repr__(self) -> str:
        return f"Settings(host={self.host!r}, port={self.port}, user={self.user!r}, database={self.database!r}, …)"
