"""The mapper of this package, and the settings that mappers share with sources and destinations. Imports no library."""

from __future__ import annotations

from headwater.model.plugin import Definition, PluginKind
from headwater.model.setting import Setting, SettingKind

VARIANT = "headwater"

STREAM_MAPS: tuple[Setting, ...] = (
    Setting(
        name="stream_maps",
        kind=SettingKind.OBJECT,
        label="Stream maps",
        description="Renames, filters and computes streams and fields, in the words of the Singer SDK.",
    ),
    Setting(
        name="stream_map_config",
        kind=SettingKind.OBJECT,
        label="Values for stream maps",
        description="What expressions of stream maps find under `config`.",
    ),
)
FLATTENING: tuple[Setting, ...] = (
    Setting(
        name="flattening_enabled",
        kind=SettingKind.BOOLEAN,
        label="Flatten objects",
        description="Whether nested objects become columns; false keeps them as JSON. Without it, 5 levels do.",
    ),
    Setting(
        name="flattening_max_depth",
        kind=SettingKind.INTEGER,
        label="Depth of flattening",
        description="How many levels of nested objects become columns; 0 keeps them as JSON.",
    ),
    Setting(
        name="flattening_separator",
        kind=SettingKind.STRING,
        label="Separator of flattening",
        description="What stands between the names of a flattened column; only `__` is supported.",
        hidden=True,
    ),
    Setting(
        name="flattening_max_key_length",
        kind=SettingKind.INTEGER,
        label="Longest name",
        description="For projects that set it: the destination shortens names that are too long for it.",
        hidden=True,
    ),
)

MAP = Definition(
    plugin_type=PluginKind.MAPPER,
    name="meltano-map-transformer",
    namespace="meltano_map_transformer",
    variant=VARIANT,
    label="Stages and stream maps",
    native="map",
    description="Renames, casts, filters and computes columns on the way, without a process of its own.",
    settings=(
        Setting(
            name="stages",
            kind=SettingKind.OBJECT,
            label="Stages",
            description="By stream name or pattern, the steps its rows go through: `rename`, `cast`, `filter`, "
            "`compute`, `drop`, `rename_stream`.",
        ),
        *STREAM_MAPS,
        *FLATTENING,
        Setting(
            name="faker_config",
            kind=SettingKind.OBJECT,
            label="Made-up values",
            description="For projects that set it: made-up values are not supported.",
            hidden=True,
        ),
    ),
)

DEFINITIONS: tuple[Definition, ...] = (MAP,)
