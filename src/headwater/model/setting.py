"""A setting: what a plugin understands (`Setting`) and what was resolved for it (`Value`)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct, field


class SettingKind(StrEnum):
    STRING = "string"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    DECIMAL = "decimal"
    DATE = "date_iso8601"
    EMAIL = "email"
    OPTIONS = "options"
    FILE = "file"
    ARRAY = "array"
    OBJECT = "object"
    # Kinds of older definitions: the first two mean a sensitive string, the third a hidden one.
    PASSWORD = "password"  # noqa: S105 - a kind's name, not a password
    OAUTH = "oauth"
    HIDDEN = "hidden"


class Option(Struct, frozen=True, kw_only=True):
    value: Any
    label: str | None = None


class Setting(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A setting's definition. Dots in `name` are nesting; `\\.` is a dot of its own. `value` is the default."""

    name: str
    aliases: tuple[str, ...] = ()
    env: str | None = None
    kind: SettingKind | None = None
    value: Any = None
    label: str | None = None
    description: str | None = None
    tooltip: str | None = None
    documentation: str | None = None
    placeholder: str | None = None
    options: tuple[Option, ...] = ()
    oauth: dict[str, Any] | None = None
    env_specific: bool = False
    hidden: bool = False
    sensitive: bool = False
    required: bool = False
    value_processor: str | None = None
    value_post_processor: str | None = None
    annotations: dict[str, Any] | None = None

    @property
    def is_secret(self) -> bool:
        return self.sensitive or self.kind in (SettingKind.PASSWORD, SettingKind.OAUTH)


class Origin(StrEnum):
    """Where a value comes from, strongest first. The order of the members is the order of precedence."""

    FLAG = "flag"
    ENV = "env"
    DOTENV = "dotenv"
    ENVIRONMENT = "environment"  # the environment's section of the project file
    PROJECT = "project"  # the plugin's entry in the project file
    DATABASE = "database"
    PARENT = "parent"
    DEFAULT = "default"


class Value(Struct, frozen=True, kw_only=True):
    """A resolved setting.

    `source` names the exact place (`TAP_X_TOKEN`, `headwater.yml:12`, `default`). `shadowed` holds the weaker
    values that were also given, strongest first. `secret` values are shown only when asked for.
    """

    name: str
    value: Any
    origin: Origin
    source: str
    setting: Setting | None = None
    secret: bool = False
    shadowed: tuple[Value, ...] = field(default=())

    def __repr__(self) -> str:
        shown = "(redacted)" if self.secret else repr(self.value)
        return f"Value({self.name}={shown} from {self.source})"
