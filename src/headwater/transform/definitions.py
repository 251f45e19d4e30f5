"""What the hub would say of our own transformer. Light: read whenever a plugin is looked up."""

from __future__ import annotations

from headwater.model.plugin import Definition, PluginKind
from headwater.model.setting import Setting, SettingKind

READY_MADE = "ready"

DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        plugin_type=PluginKind.TRANSFORMER,
        name="models",
        namespace="models",
        variant="headwater",
        label="SQL and Python models",
        native="models",
        description="SELECTs in files become tables and views in the warehouse, and their data is checked",
        settings=(
            Setting(
                name="folder",
                kind=SettingKind.FILE,
                label="Folder",
                description="Where the models are; `models` in the project folder by default",
            ),
            Setting(
                name="seeds",
                kind=SettingKind.FILE,
                label="Seeds",
                description="Where CSV files are that become tables; `seeds` in the project folder by default",
            ),
            Setting(
                name="schema",
                kind=SettingKind.STRING,
                value="analytics",
                label="Schema",
                description="The schema that models are built in",
            ),
            Setting(
                name="loader",
                kind=SettingKind.STRING,
                label="Loader",
                description="The loader whose DuckDB file or PostgreSQL database is used, when there is more than one",
            ),
            Setting(
                name="jobs",
                kind=SettingKind.INTEGER,
                value=4,
                label="Jobs",
                description="How many models are built at a time",
            ),
            Setting(
                name="full_refresh",
                kind=SettingKind.BOOLEAN,
                value=False,
                label="Full refresh",
                description="Build every model, also those that are up to date",
            ),
        ),
    ),
    # Ready-made: the name is that of a folder in `transform.ready`.
    Definition(
        plugin_type=PluginKind.TRANSFORM,
        name="github-issues",
        namespace="github_issues",
        variant="headwater",
        label="GitHub issues",
        native=READY_MADE,
        description="Models of what tap-github loads of issues: time to reply and to close, labels, issues by week",
    ),
    Definition(
        plugin_type=PluginKind.TRANSFORM,
        name="nycflights13",
        namespace="nycflights13",
        variant="headwater",
        label="Flights from New York",
        native=READY_MADE,
        description="The models of the demo: delays by carrier and weather, for DuckDB",
    ),
)
