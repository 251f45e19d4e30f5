"""What the MySQL source is called and how it is set. Imports no driver."""

from __future__ import annotations

from msgspec.structs import replace

from headwater.connect.destinations.definitions import MYSQL as DESTINATION
from headwater.connect.sources.postgres_definition import POSTGRES
from headwater.connect.stages.definitions import STREAM_MAPS
from headwater.model.plugin import Definition, PluginKind
from headwater.model.setting import Option, Setting, SettingKind

# How to reach a server is said in the same words on both sides, and how to go on in the same as elsewhere.
_ADDRESS = {
    setting.name: setting
    for setting in DESTINATION.settings
    if setting.name in ("host", "port", "unix_socket", "user", "password") or setting.name.startswith("ssl")
} | {"user": Setting(name="user", kind=SettingKind.STRING, label="User", description="Who reads.")}
_ADDRESS |= {
    name: replace(_ADDRESS[name], description=f"{(_ADDRESS[name].description or '')[:-1]}, or its own text.")
    for name in ("ssl_ca", "ssl_cert", "ssl_key")
}
_GOING_ON = {
    setting.name: setting
    for setting in POSTGRES.settings
    if setting.name in ("lookback_seconds", "lookback_units", "null_replication_keys")
}


def _unused(name: str, kind: SettingKind, label: str, description: str) -> Setting:
    return Setting(name=name, kind=kind, label=label, description=description, hidden=True)


MYSQL = Definition(
    plugin_type=PluginKind.EXTRACTOR,
    name="tap-mysql",
    namespace="tap_mysql",
    variant="headwater",
    label="MariaDB and MySQL",
    native="mysql",
    description="Tables and views of a MariaDB or MySQL server: in full, by a replication key or from the binary log, "
    "as Arrow",
    capabilities=("catalog", "discover", "log-based", "state"),
    settings_group_validation=(("user",),),
    settings=(
        *_ADDRESS.values(),
        Setting(
            name="database",
            kind=SettingKind.STRING,
            label="Database",
            description="The database that is read. Without it and `filter_dbs`, all but the server's own.",
        ),
        Setting(
            name="filter_dbs",
            kind=SettingKind.STRING,
            label="Databases",
            description="The databases that are read, separated by commas; goes before `database`.",
        ),
        Setting(
            name="default_replication_method",
            kind=SettingKind.OPTIONS,
            value="FULL_TABLE",
            label="Replication method",
            description="How streams are read whose metadata say nothing else.",
            options=(
                Option(value="FULL_TABLE", label="All rows, every time"),
                Option(value="INCREMENTAL", label="Rows whose replication key is not below the last one seen"),
                Option(value="LOG_BASED", label="All rows once, then what the binary log says has changed"),
            ),
        ),
        Setting(
            name="replication_keys",
            kind=SettingKind.OBJECT,
            label="Replication keys",
            description="Stream name to the column by which its new rows are found; such streams are incremental.",
            placeholder='{"shop-orders": "updated_at"}',
        ),
        *_GOING_ON.values(),
        Setting(
            name="tinyint1_is_bool",
            kind=SettingKind.BOOLEAN,
            value=True,
            label="Booleans",
            description="Whether a `tinyint(1)`, which is what `boolean` makes, is a boolean; else it is an integer.",
        ),
        Setting(
            name="session_sqls",
            kind=SettingKind.ARRAY,
            label="Session",
            description="Statements that each session runs first.",
        ),
        Setting(
            name="server_id",
            kind=SettingKind.INTEGER,
            label="Server id",
            description="The id under which the binary log is read, which no other reader may have. Without it, one "
            "by chance.",
        ),
        _unused(
            "engine", SettingKind.STRING, "Engine", "For projects that set it: the server itself is asked what it is."
        ),
        _unused(
            "use_gtid",
            SettingKind.BOOLEAN,
            "Transaction ids",
            "For projects that set it: the binary log is read by file and position.",
        ),
        _unused(
            "internal_hostname",
            SettingKind.STRING,
            "Name in the certificate",
            "For projects that set it: the certificate must name `host`, or set `ssl_verify_identity` to false.",
        ),
        *STREAM_MAPS,
    ),
)
