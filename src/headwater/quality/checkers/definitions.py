"""What the hub would say of Soda and Great Expectations as we run them. Light: read whenever a plugin is looked up.

The hub's own `great_expectations` is an old one with a command line; it stays what it is, as variant
`great-expectations`.
"""

from __future__ import annotations

from headwater.model.plugin import Command, Definition, PluginKind
from headwater.model.setting import Setting, SettingKind


def _text(name: str, description: str, *, value: str | None = None, secret: bool = False) -> Setting:
    label = name.replace("_", " ").capitalize()
    return Setting(
        name=name, kind=SettingKind.STRING, label=label, description=description, value=value, sensitive=secret
    )


_PATH = _text("path", "The DuckDB file; that of the loader unless it is said")
_SERVER = (
    _text("host", "The PostgreSQL server; that of the loader unless it is said", value="localhost"),
    Setting(name="port", kind=SettingKind.INTEGER, value=5432, label="Port", description="The server's port"),
    _text("user", "Who reads"),
    # Empty, libpq looks into ~/.pgpass; without any Soda would take the name of the variable for the password.
    _text("password", "The user's password", value="", secret=True),
    _text("database", "The database"),
    _text("sslmode", "How the connection is encrypted, in libpq's words", value="prefer"),
)

DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        plugin_type=PluginKind.UTILITY,
        name="soda",
        namespace="soda",
        variant="headwater",
        label="Soda",
        repo="https://github.com/sodadata/soda-core",
        pip_url="soda-duckdb soda-postgres",
        constraints=("soda-core>=4.28,<5",),
        executable="soda",
        driver="soda",
        description="Verifies data contracts of Soda 4; every check is one of the run",
        settings=(
            _text("folder", "Where data_source.yml and contracts/ are", value="$MELTANO_PROJECT_ROOT/soda"),
            _PATH,
            *_SERVER,
        ),
        commands={
            "verify": Command(args="verify", description="Verifies the contracts of soda/contracts, or verify:NAME one")
        },
        env={"SODA_CORE_TELEMETRY_ENABLED": "false", "DO_NOT_TRACK": "1"},
    ),
    Definition(
        plugin_type=PluginKind.UTILITY,
        name="great_expectations",
        namespace="great_expectations",
        variant="headwater",
        label="Great Expectations",
        repo="https://github.com/great-expectations/great_expectations",
        # DuckDB has no dialect that works with SQLAlchemy 2: its tables come as data frames.
        pip_url="great_expectations duckdb psycopg2-binary sqlalchemy",
        constraints=("great_expectations>=1.24,<2", "duckdb>=2"),
        executable="python",
        driver="great_expectations",
        description="Runs checkpoints of Great Expectations 1; every expectation is a check of the run",
        settings=(
            _text("folder", "Where great_expectations.yml is", value="$MELTANO_PROJECT_ROOT/gx"),
            _PATH,
            *_SERVER,
            _text(
                "url", "The PostgreSQL database as a URL of SQLAlchemy; made from the loader's settings", secret=True
            ),
        ),
        commands={
            "checkpoint": Command(
                args="checkpoint", description="Runs the checkpoints of gx/checkpoints, or checkpoint:NAME one"
            )
        },
        env={"GX_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "TQDM_DISABLE": "1"},
    ),
)
