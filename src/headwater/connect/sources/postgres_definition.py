"""What the PostgreSQL source is called and how it is set. Imports no driver."""

from __future__ import annotations

from msgspec.structs import replace

from headwater.connect.destinations.definitions import POSTGRES as DESTINATION
from headwater.connect.stages.definitions import STREAM_MAPS
from headwater.model.plugin import Definition, PluginKind
from headwater.model.setting import Option, Setting, SettingKind

# How to reach a server is said in the same words on both sides.
_ADDRESS = {
    setting.name: setting
    for setting in DESTINATION.settings
    if setting.name in ("host", "port", "user", "password", "database", "sqlalchemy_url", "dialect+driver")
    or setting.name.startswith("ssl_")
} | {
    "user": Setting(name="user", kind=SettingKind.STRING, label="User", description="Who reads."),
    "database": Setting(
        name="database", kind=SettingKind.STRING, label="Database", description="The database that is read."
    ),
}

_NO_LOG = "For projects that set it: a read of the log ends where the log ended when it began."


def _unused(name: str, kind: SettingKind, label: str, description: str, *, secret: bool = False) -> Setting:
    return Setting(name=name, kind=kind, label=label, description=description, hidden=True, sensitive=secret)


POSTGRES = Definition(
    plugin_type=PluginKind.EXTRACTOR,
    name="tap-postgres",
    namespace="tap_postgres",
    variant="headwater",
    label="PostgreSQL",
    native="postgres",
    description="Tables and views of a PostgreSQL database, in full or by a replication key, as Arrow",
    capabilities=("catalog", "discover", "state"),
    settings_group_validation=(("user", "database"), ("sqlalchemy_url",)),
    settings=(
        *(replace(setting) for setting in _ADDRESS.values()),
        Setting(
            name="filter_schemas",
            kind=SettingKind.ARRAY,
            label="Schemas",
            description="Only tables of these schemas. Without it, those of all schemas but the database's own.",
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
                Option(
                    value="LOG_BASED", label="Rows that the server's log says have changed, also those that are gone"
                ),
            ),
        ),
        Setting(
            name="replication_keys",
            kind=SettingKind.OBJECT,
            label="Replication keys",
            description="Stream name to the column by which its new rows are found; such streams are incremental.",
            placeholder='{"public-orders": "updated_at"}',
        ),
        Setting(
            name="replication_slot_name",
            kind=SettingKind.STRING,
            value="headwater",
            label="Replication slot",
            description="The slot by which the server keeps its log for LOG_BASED streams. Made when it is missing; "
            "each pipeline needs one of its own.",
        ),
        Setting(
            name="replication_publication_name",
            kind=SettingKind.STRING,
            label="Publication",
            description="The publication that names the tables of LOG_BASED streams. Made when it is missing, and "
            "tables are added to it. Without this setting it has the name of the slot.",
        ),
        Setting(
            name="lookback_seconds",
            kind=SettingKind.INTEGER,
            value=0,
            label="Lookback",
            description="How far behind the last replication key, when that is a date or a moment, rows are read "
            "again: for transactions that commit late.",
        ),
        Setting(
            name="lookback_units",
            kind=SettingKind.INTEGER,
            value=0,
            label="Lookback of numbers",
            description="The same for replication keys that are numbers: how much below the last one.",
        ),
        Setting(
            name="null_replication_keys",
            kind=SettingKind.OPTIONS,
            value="once",
            label="Rows without a replication key",
            description="When rows whose replication key is null are read.",
            options=(
                Option(value="once", label="With the first run of a stream"),
                Option(value="always", label="With every run"),
                Option(value="never", label="Never"),
            ),
        ),
        Setting(
            name="ssh_tunnel.enable",
            kind=SettingKind.BOOLEAN,
            value=False,
            label="SSH tunnel",
            description="Reach the database by way of another host, with the `ssh` of this machine. The host's key is "
            "checked.",
        ),
        Setting(
            name="ssh_tunnel.host",
            kind=SettingKind.STRING,
            label="SSH host",
            description="The host that can reach the database; a name of `~/.ssh/config` will do.",
        ),
        Setting(name="ssh_tunnel.port", kind=SettingKind.INTEGER, value=22, label="SSH port", description="Its port."),
        Setting(
            name="ssh_tunnel.username", kind=SettingKind.STRING, label="SSH user", description="Who logs in there."
        ),
        Setting(
            name="ssh_tunnel.private_key",
            kind=SettingKind.STRING,
            sensitive=True,
            label="SSH key",
            description="The private key, or the path of its file. Without it, those of the agent and of `~/.ssh`.",
        ),
        Setting(
            name="ssh_tunnel.private_key_password",
            kind=SettingKind.STRING,
            sensitive=True,
            label="Password of the SSH key",
            description="If the key has one.",
        ),
        Setting(
            name="ssh_tunnel.known_hosts",
            kind=SettingKind.STRING,
            label="Known SSH hosts",
            description="The line of the host's key, or the path of a file of such lines. Without it, those that `ssh` "
            "knows.",
        ),
        _unused(
            "max_record_count",
            SettingKind.INTEGER,
            "Most records",
            "For projects that set it: changes nothing here.",
        ),
        _unused(
            "dates_as_string",
            SettingKind.BOOLEAN,
            "Dates as text",
            "For projects that set it: dates have a type of their own here, and what no date can hold is counted.",
        ),
        _unused(
            "json_as_object",
            SettingKind.BOOLEAN,
            "JSON as objects",
            "For projects that set it: JSON columns always stay JSON here.",
        ),
        _unused(
            "use_singer_decimal",
            SettingKind.BOOLEAN,
            "Decimals as text",
            "For projects that set it: decimals are exact here in any case.",
        ),
        _unused(
            "stream_options",
            SettingKind.OBJECT,
            "Options by stream",
            "For projects that set it: changes nothing here.",
        ),
        _unused(
            "ssl_storage_directory",
            SettingKind.STRING,
            "Folder of certificates",
            "For projects that set it: certificates given as text are kept in the run's own folder.",
        ),
        *(
            _unused(name, kind, "Log-based replication", _NO_LOG)
            for name, kind in {
                "replication_max_run_seconds": SettingKind.INTEGER,
                "replication_idle_exit_seconds": SettingKind.INTEGER,
                "log_based_single_connection": SettingKind.BOOLEAN,
                "auto_bootstrap_log_based": SettingKind.BOOLEAN,
            }.items()
        ),
        _unused(
            "batch_config",
            SettingKind.OBJECT,
            "Batch files",
            "For projects that set it: rows go to the loader as Arrow, without files in between.",
        ),
        *STREAM_MAPS,
    ),
)
