"""What the sources are called that read any SQL database, and how they are set. Imports no driver."""

from __future__ import annotations

from headwater.connect.sources.postgres_definition import POSTGRES
from headwater.connect.stages.definitions import STREAM_MAPS
from headwater.model.plugin import Definition, PluginKind
from headwater.model.setting import Option, Setting, SettingKind

_BY_NAME = {setting.name: setting for setting in POSTGRES.settings}
_READING = (
    Setting(
        name="default_replication_method",
        kind=SettingKind.OPTIONS,
        value="FULL_TABLE",
        label="Replication method",
        description="How streams are read whose metadata say nothing else.",
        options=(
            Option(value="FULL_TABLE", label="All rows, every time"),
            Option(value="INCREMENTAL", label="Rows whose replication key is not below the last one seen"),
        ),
    ),
    Setting(
        name="replication_keys",
        kind=SettingKind.OBJECT,
        label="Replication keys",
        description="Stream name to the column by which its new rows are found; such streams are incremental.",
        placeholder='{"main-orders": "updated_at"}',
    ),
    _BY_NAME["null_replication_keys"],
)
_SCHEMAS = Setting(
    name="filter_schemas",
    kind=SettingKind.ARRAY,
    label="Schemas",
    description="The schemas that are read; all by default.",
)

DUCKDB = Definition(
    plugin_type=PluginKind.EXTRACTOR,
    name="tap-duckdb",
    namespace="tap_duckdb",
    variant="headwater",
    label="DuckDB",
    native="duckdb",
    description="Tables and views of a DuckDB file, in full or by a replication key, as Arrow",
    capabilities=("catalog", "discover", "state"),
    settings_group_validation=(("path",),),
    settings=(
        Setting(
            name="path",
            aliases=("filepath",),
            kind=SettingKind.FILE,
            label="Database file",
            description="The DuckDB file. It is only read.",
        ),
        Setting(
            name="database",
            kind=SettingKind.STRING,
            label="Database",
            description="For projects that set it: a file holds one database.",
            hidden=True,
        ),
        _SCHEMAS,
        *_READING,
        Setting(
            name="outside_files",
            kind=SettingKind.BOOLEAN,
            value=False,
            label="Files outside",
            description="Whether views of the database may read other files.",
        ),
        *STREAM_MAPS,
    ),
)

SQLITE = Definition(
    plugin_type=PluginKind.EXTRACTOR,
    name="tap-sqlite",
    namespace="tap_sqlite",
    variant="headwater",
    label="SQLite",
    native="sqlite",
    description="Tables and views of a SQLite file, in full or by a replication key, as Arrow",
    capabilities=("catalog", "discover", "state"),
    settings_group_validation=(("database",),),
    settings=(
        Setting(
            name="database",
            aliases=("path", "path_to_db", "filepath"),
            kind=SettingKind.FILE,
            label="Database file",
            description="The SQLite file. It is only read.",
        ),
        *_READING,
        Setting(
            name="busy_timeout_seconds",
            kind=SettingKind.DECIMAL,
            value=60,
            label="Patience",
            description="How long a program is waited for that has locked the file.",
        ),
        *STREAM_MAPS,
    ),
)

SQL = Definition(
    plugin_type=PluginKind.EXTRACTOR,
    name="tap-sql",
    namespace="tap_sql",
    variant="headwater",
    label="Any SQL database",
    native="sql",
    description="Tables and views of any database that SQLAlchemy, an ADBC driver or ODBC reaches, in full or by a "
    "replication key",
    pip_url="sqlalchemy",
    capabilities=("catalog", "discover", "state"),
    settings_group_validation=(("url",),),
    settings=(
        Setting(
            name="url",
            aliases=("sqlalchemy_url",),
            kind=SettingKind.STRING,
            label="Address",
            description="An address of SQLAlchemy; or `adbc:NAME:ADDRESS` for the package `adbc-driver-NAME`; or "
            "`odbc:` and a connection string. The packages stand in `pip_url`.",
            placeholder="snowflake://user:password@account/database",
            sensitive=True,
        ),
        Setting(
            name="connect_args",
            kind=SettingKind.OBJECT,
            label="Arguments",
            description="What else the driver is given to connect.",
            sensitive=True,
        ),
        Setting(
            name="isolation_level",
            kind=SettingKind.STRING,
            label="Isolation",
            description="Of SQLAlchemy's transaction: `REPEATABLE READ`, `SNAPSHOT` or `SERIALIZABLE` show all streams "
            "as they were at one moment, where the database can.",
        ),
        _SCHEMAS,
        *_READING,
        _BY_NAME["lookback_seconds"],
        _BY_NAME["lookback_units"],
        *STREAM_MAPS,
        *(
            Setting(name=name, kind=SettingKind.STRING, hidden=True, description=said)
            for name, said in (("root", "The project's folder"), ("venv", "The plugin's own environment"))
        ),
    ),
)

DEFINITIONS: tuple[Definition, ...] = (DUCKDB, SQLITE, SQL)
