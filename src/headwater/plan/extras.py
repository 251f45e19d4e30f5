"""What a plugin's entry may say beside `config`: the extras of each kind, as settings with a leading underscore."""

from __future__ import annotations

import msgspec

from headwater.model.plugin import PluginKind, Resolved
from headwater.model.setting import Option, Setting, SettingKind
from headwater.plan.variables import inferred_kind

_LOG_PARSER = Setting(name="_log_parser", value="singer-sdk")
_RETRIES = Setting(
    name="_retries",
    kind=SettingKind.INTEGER,
    description="How often a failed step of this plugin is done again: 0, unless its job or `--retries` says more.",
)

_LOADER = Setting(
    name="_loader",
    description="The loader whose destination dbt, Soda or Great Expectations connects to: its settings count where "
    "the plugin's own say nothing.",
)

EXTRAS: dict[PluginKind, tuple[Setting, ...]] = {
    PluginKind.EXTRACTOR: (
        Setting(name="_catalog", description="A catalog file to use instead of discovery."),
        Setting(name="_state", description="A state file to start from."),
        Setting(
            name="_load_schema",
            value="$MELTANO_EXTRACTOR_NAMESPACE",
            description="The schema a loader writes to unless it is told another.",
        ),
        Setting(name="_select", kind=SettingKind.ARRAY, value=["*.*"], description="What to extract."),
        Setting(
            name="_metadata",
            aliases=("metadata",),
            kind=SettingKind.OBJECT,
            value={},
            value_processor="nest_object",
            description="Catalog metadata to set, by stream and property.",
        ),
        Setting(
            name="_schema",
            kind=SettingKind.OBJECT,
            value={},
            value_processor="nest_object",
            description="JSON schemas to set, by stream and property.",
        ),
        Setting(
            name="_select_filter",
            kind=SettingKind.ARRAY,
            value=[],
            description="Streams to keep of those selected; `!` in front leaves one out.",
        ),
        Setting(
            name="_select_may_miss",
            kind=SettingKind.BOOLEAN,
            description="Patterns that select nothing are no mistake to `doctor`.",
        ),
        Setting(name="_use_cached_catalog", kind=SettingKind.BOOLEAN, value=True),
        Setting(
            name="_catalog_max_age",
            kind=SettingKind.INTEGER,
            value=3600,
            description="Seconds after which a cached catalog is discovered again.",
        ),
        Setting(
            name="_idle_timeout_seconds",
            kind=SettingKind.INTEGER,
            value=10_800,
            description="Seconds without a sign of life after which a plugin, or a database server, is given up.",
        ),
        Setting(
            name="_discovery_timeout_seconds",
            kind=SettingKind.INTEGER,
            value=3_600,
            description="Seconds after which a discovery that has not ended is given up.",
        ),
        Setting(
            name="_jobs",
            kind=SettingKind.INTEGER,
            description="How many streams a native extractor reads at a time, if it can: 1, unless `--jobs` is given.",
        ),
        Setting(
            name="_max_message_bytes",
            kind=SettingKind.INTEGER,
            value=128 << 20,
            description="The longest line a native loader takes from the plugin.",
        ),
        Setting(
            name="_max_columns",
            kind=SettingKind.INTEGER,
            value=10_000,
            description="How many columns of a stream a native loader takes from the plugin.",
        ),
        Setting(
            name="_on_bad_record",
            kind=SettingKind.OPTIONS,
            value="fail",
            options=(Option(value="fail"), Option(value="quarantine")),
            description="What a native loader does with a record it cannot take.",
        ),
        Setting(
            name="_check_required",
            kind=SettingKind.BOOLEAN,
            value=True,
            description="A native loader takes no record that lacks a field which its schema requires.",
        ),
        Setting(
            name="_flatten_depth",
            kind=SettingKind.INTEGER,
            description="How many levels of nested objects become columns of a native loader; 0 keeps objects as JSON.",
        ),
        Setting(
            name="_batch_roots",
            kind=SettingKind.ARRAY,
            description="Folders, beside that of `batch_config`, from which a native loader reads BATCH files.",
        ),
        Setting(
            name="_tolerate_stdout_noise",
            kind=SettingKind.BOOLEAN,
            value=False,
            description="Forward lines on stdout that are no messages to the log; native loaders only.",
        ),
        _RETRIES,
        _LOG_PARSER,
    ),
    PluginKind.LOADER: (
        Setting(name="_dialect", value="$MELTANO_LOADER_NAMESPACE", description="The SQL dialect of the destination."),
        Setting(
            name="_commit_bytes",
            kind=SettingKind.INTEGER,
            value=64 << 20,
            description="A native loader commits at the first state after this many bytes.",
        ),
        Setting(
            name="_commit_seconds",
            kind=SettingKind.DECIMAL,
            value=60,
            description="A native loader commits at the first state after this many seconds.",
        ),
        Setting(
            name="_memory_bytes",
            kind=SettingKind.INTEGER,
            value=256 << 20,
            description="What a load may hold in memory before it spools to disk; native loaders only.",
        ),
        _LOG_PARSER,
    ),
    PluginKind.MAPPER: (
        Setting(name="_mappings", kind=SettingKind.ARRAY, value=[], description="Named sets of mapper settings."),
        Setting(name="_mapping_name"),
        _LOG_PARSER,
    ),
    PluginKind.TRANSFORMER: (_RETRIES, _LOADER),
    PluginKind.UTILITY: (_RETRIES, _LOADER),
    PluginKind.ORCHESTRATOR: (_RETRIES,),
    PluginKind.TRANSFORM: (
        Setting(name="_package_name", value="$MELTANO_TRANSFORM_NAMESPACE"),
        Setting(name="_vars", kind=SettingKind.OBJECT, value={}),
    ),
    PluginKind.FILE: (
        Setting(name="_update", kind=SettingKind.OBJECT, value={}, description="Files to update on `upgrade files`."),
    ),
}


def extras(resolved: Resolved) -> tuple[Setting, ...]:
    """The extras of a plugin: those of its kind with the definition's defaults, then those only the definition has."""
    given = {f"_{key}": value for key, value in resolved.definition.extras.items()}
    known = tuple(
        msgspec.structs.replace(setting, value=given.pop(setting.name)) if setting.name in given else setting
        for setting in EXTRAS.get(resolved.kind, ())
    )
    return known + tuple(Setting(name=name, kind=inferred_kind(value), value=value) for name, value in given.items())
