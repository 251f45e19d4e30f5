from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from headwater.connect.sources.postgres.tunnel import SshTunnel

_Distance = Annotated[int, Meta(ge=0)]


class Settings(Struct, frozen=True, kw_only=True):
    """Named as those of MeltanoLabs' tap-postgres. `sqlalchemy_url` goes before the settings it repeats."""

    host: str = "localhost"
    port: int = 5432
    user: str | None = None
    password: str | None = None
    database: str | None = None
    sqlalchemy_url: str | None = None
    dialect_driver: str = field(name="dialect+driver", default="postgresql+psycopg")
    filter_schemas: list[str] = field(default_factory=list)
    default_replication_method: Literal["FULL_TABLE", "INCREMENTAL", "LOG_BASED"] = "FULL_TABLE"
    replication_keys: dict[str, str] = field(default_factory=dict)
    replication_slot_name: str = "headwater"
    replication_publication_name: str | None = None
    lookback_seconds: _Distance = 0
    lookback_units: _Distance = 0
    null_replication_keys: Literal["once", "always", "never"] = "once"
    ssl_enable: bool = False
    ssl_mode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "verify-full"
    ssl_certificate_authority: str | None = None
    ssl_client_certificate_enable: bool = False
    ssl_client_certificate: str | None = None
    ssl_client_private_key: str | None = None
    ssh_tunnel: SshTunnel = SshTunnel()
    # Of the run, for `ssh`.
    env: dict[str, str] = field(default_factory=dict)
    # What projects give to other variants and what changes nothing here.
    max_record_count: int | None = None
    dates_as_string: bool = False
    json_as_object: bool = False
    use_singer_decimal: bool = False
    stream_options: dict[str, Any] = field(default_factory=dict)
    ssl_storage_directory: str | None = None
    replication_max_run_seconds: int | None = None
    replication_idle_exit_seconds: int | None = None
    log_based_single_connection: bool = False
    auto_bootstrap_log_based: bool = False
    batch_config: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Settings(host={self.host!r}, port={self.port}, user={self.user!r}, database={self.database!r}, …)"
