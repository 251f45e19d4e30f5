"""What the destinations of this package are called and how they are set. Imports no driver."""

from __future__ import annotations

from msgspec.structs import replace

from headwater.connect.destinations.file_definitions import CSV, JSONL, PARQUET
from headwater.connect.stages.definitions import FLATTENING, STREAM_MAPS
from headwater.model.plugin import Definition, PluginKind
from headwater.model.setting import Option, Setting, SettingKind

VARIANT = "headwater"


def _text(name: str, label: str, description: str, *, value: str | None = None, secret: bool = False) -> Setting:
    return Setting(
        name=name, kind=SettingKind.STRING, label=label, description=description, value=value, sensitive=secret
    )


def _switch(name: str, label: str, description: str, *, value: bool) -> Setting:
    return Setting(name=name, kind=SettingKind.BOOLEAN, label=label, description=description, value=value)


_LOAD_METHOD = Setting(
    name="load_method",
    kind=SettingKind.OPTIONS,
    value="upsert",
    label="Load method",
    description="What happens to rows that are there already.",
    options=(
        Option(value="upsert", label="Rows with the same key are replaced; without keys rows are appended"),
        Option(value="append-only", label="Rows are appended, keys or not"),
        Option(value="overwrite", label="Each run replaces the whole content of its tables"),
        Option(value="history", label="Every version of a row is kept, with the time when it was valid"),
    ),
)
_DELETES = (
    _switch(
        "hard_delete",
        "Delete rows",
        "Whether rows of older table versions are deleted; else `__deleted_at` says since when they are gone.",
        value=False,
    ),
    Setting(
        name="max_delete_share",
        kind=SettingKind.DECIMAL,
        value=0.5,
        label="Most that may be deleted",
        description="The share (0 to 1) of a stream's rows that may go at once; more ends the run. 1 asks for nothing.",
    ),
)


DUCKDB = Definition(
    plugin_type=PluginKind.LOADER,
    name="target-duckdb",
    namespace="target_duckdb",
    variant=VARIANT,
    label="DuckDB",
    native="duckdb",
    extras={"dialect": "duckdb", "target_schema": "$TARGET_DUCKDB_DEFAULT_TARGET_SCHEMA"},
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
        _LOAD_METHOD,
        *_DELETES,
    ),
)

POSTGRES = Definition(
    plugin_type=PluginKind.LOADER,
    name="target-postgres",
    namespace="target_postgres",
    variant=VARIANT,
    label="PostgreSQL",
    native="postgres",
    extras={"dialect": "postgres", "target_schema": "$TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA"},
    description="Tables in a PostgreSQL database. Rows, checkpoint and changes of tables commit together.",
    settings=(
        _text("host", "Host", "The server's name or address.", value="localhost"),
        Setting(name="port", kind=SettingKind.INTEGER, value=5432, label="Port", description="The server's port."),
        _text("user", "User", "Who loads."),
        _text("password", "Password", "The user's password. Without it, libpq looks into ~/.pgpass.", secret=True),
        _text("database", "Database", "The database that gets the tables."),
        _text(
            "sqlalchemy_url",
            "URL",
            "postgresql://user:password@host:port/database?sslmode=…; goes before all settings that it repeats.",
            secret=True,
        ),
        Setting(
            name="dialect+driver",
            kind=SettingKind.STRING,
            value="postgresql+psycopg",
            label="Dialect and driver",
            description="For projects that name a driver: any of PostgreSQL will do.",
            hidden=True,
        ),
        _text("default_target_schema", "Schema", "The schema of the tables. Without it, the extractor's namespace."),
        _LOAD_METHOD,
        _switch("activate_version", "Table versions", "Whether a new table version retires older rows.", value=True),
        *_DELETES,
        _switch("ssl_enable", "TLS", "Whether the connection must be encrypted as `ssl_mode` says.", value=False),
        Setting(
            name="ssl_mode",
            kind=SettingKind.OPTIONS,
            value="verify-full",
            label="TLS mode",
            description="How far the server is trusted; anything below verify-full can be listened to by others.",
            options=tuple(
                Option(value=mode) for mode in ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
            ),
        ),
        _text(
            "ssl_certificate_authority",
            "Certificate authority",
            "The certificate that signs the server's, as a path or as text. Without it, those of the system.",
        ),
        _switch("ssl_client_certificate_enable", "Client certificate", "Whether to show a certificate.", value=False),
        _text("ssl_client_certificate", "Client certificate file", "The certificate, as a path or as text."),
        _text("ssl_client_private_key", "Client key", "Its private key, as a path or as text.", secret=True),
        Setting(
            name="use_copy",
            kind=SettingKind.BOOLEAN,
            value=True,
            label="COPY",
            description="For projects that choose it: rows always go by COPY here.",
            hidden=True,
        ),
        Setting(
            name="sanitize_null_text_characters",
            kind=SettingKind.BOOLEAN,
            value=True,
            label="Repair U+0000",
            description="For projects that choose it: U+0000, which PostgreSQL can't store, always becomes U+FFFD "
            "here, and is counted.",
            hidden=True,
        ),
    ),
)

MYSQL = Definition(
    plugin_type=PluginKind.LOADER,
    name="target-mysql",
    namespace="target_mysql",
    variant=VARIANT,
    label="MariaDB and MySQL",
    native="mysql",
    extras={"dialect": "mysql", "target_schema": "$TARGET_MYSQL_DEFAULT_TARGET_SCHEMA"},
    description="Tables in a MariaDB or MySQL database. Rows and checkpoint commit together.",
    settings=(
        _text("host", "Host", "The server's name or address.", value="localhost"),
        Setting(name="port", kind=SettingKind.INTEGER, value=3306, label="Port", description="The server's port."),
        _text("unix_socket", "Socket", "The path of the server's socket, instead of host and port."),
        _text("user", "User", "Who loads."),
        _text("password", "Password", "The user's password.", secret=True),
        _text(
            "database",
            "Database",
            "The database that gets the tables. Without it, one named as the extractor's namespace. Made when absent.",
        ),
        _text(
            "default_target_schema", "Schema", "To MySQL a schema is a database: goes before `database` when it is set."
        ),
        _LOAD_METHOD,
        _switch("activate_version", "Table versions", "Whether a new table version retires older rows.", value=True),
        *_DELETES,
        _switch(
            "ssl", "TLS", "Whether the connection is encrypted; so it is when a certificate is given.", value=False
        ),
        _text("ssl_ca", "Certificate authority", "The file of the certificate that signs the server's."),
        _text("ssl_cert", "Client certificate", "The file of the certificate to show."),
        _text("ssl_key", "Client key", "The file of its private key."),
        _switch("ssl_verify_cert", "Verify the certificate", "Whether the server must prove who it is.", value=True),
        _switch("ssl_verify_identity", "Verify the name", "Whether its certificate must name the host.", value=True),
    ),
)

DEFINITIONS: tuple[Definition, ...] = tuple(
    replace(definition, settings=(*definition.settings, *STREAM_MAPS, *FLATTENING))
    for definition in (DUCKDB, PARQUET, JSONL, CSV, POSTGRES, MYSQL)
)
