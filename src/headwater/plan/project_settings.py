"""The settings of the project itself. Each is read from `HEADWATER_<SETTING>` and from `MELTANO_<SETTING>`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.base.errors import InputError, Where
from headwater.base.text import env_name
from headwater.model.project import Environment, Project
from headwater.model.setting import Option, Origin, Setting, SettingKind, Value
from headwater.plan.cast import WrongTypeError, cast
from headwater.plan.expand import expand_setting
from headwater.plan.sensitive import is_secret
from headwater.plan.variables import inferred_kind, text

PREFIXES = ("headwater", "meltano")
# Under which name the system database keeps settings of the project, beside those of its plugins.
STORED_AS = "meltano"
# Never there: what says where the database and the states are, or counts before anything is opened.
_NEVER_STORED = ("database_", "state_backend.", "cli.", "default_environment", "project_readonly")


def may_be_stored(name: str) -> bool:
    """Whether the system database may keep this setting of the project."""
    return not name.startswith(_NEVER_STORED)


def _options(*values: str) -> tuple[Option, ...]:
    return tuple(Option(value=value) for value in values)


PROJECT_SETTINGS: tuple[Setting, ...] = (
    Setting(name="default_environment", description="The environment of a command that names none."),
    Setting(name="project_id"),
    Setting(name="send_anonymous_usage_stats", kind=SettingKind.BOOLEAN, description="Read, never acted on."),
    Setting(name="disable_tracking", kind=SettingKind.BOOLEAN, description="Read, never acted on."),
    Setting(name="database_uri", sensitive=True, env_specific=True, description="Where runs and states are kept."),
    Setting(name="database_max_retries", kind=SettingKind.INTEGER, value=3),
    Setting(name="database_retry_timeout", kind=SettingKind.INTEGER, value=5, description="Seconds between tries."),
    Setting(
        name="project_readonly",
        kind=SettingKind.BOOLEAN,
        value=False,
        env_specific=True,
        description="No command changes project files.",
    ),
    Setting(name="hub_api_root", description="Where a hub's API begins, before `/plugins`. Stronger than `hub_url`."),
    Setting(name="hub_url", value="https://hub.meltano.com", description="Another hub is asked before all else."),
    Setting(name="hub_url_auth", sensitive=True, description="The Authorization header sent to that hub."),
    Setting(
        name="hub_offline",
        kind=SettingKind.BOOLEAN,
        value=False,
        description="No hub is asked: what it said before and the index that comes with the program must do.",
    ),
    Setting(name="elt.buffer_size", kind=SettingKind.INTEGER, value=104_857_600, description="Bytes."),
    Setting(name="python", description="The Python of plugin environments: a version, a path or a program."),
    Setting(name="auto_install", kind=SettingKind.BOOLEAN, value=True, description="Install what a command needs."),
    Setting(name="state_backend.uri", value="systemdb", env_specific=True),
    Setting(name="state_backend.lock_timeout_seconds", kind=SettingKind.INTEGER, value=10, env_specific=True),
    Setting(name="state_backend.lock_retry_seconds", kind=SettingKind.INTEGER, value=1, env_specific=True),
    Setting(name="state_backend.azure.storage_account_url"),
    Setting(name="state_backend.azure.connection_string", sensitive=True),
    Setting(name="state_backend.s3.aws_access_key_id", sensitive=True),
    Setting(name="state_backend.s3.aws_secret_access_key", sensitive=True),
    Setting(name="state_backend.s3.endpoint_url"),
    Setting(name="state_backend.gcs.application_credentials"),
    Setting(name="state_backend.gcs.application_credentials_path"),
    Setting(name="state_backend.gcs.application_credentials_json", sensitive=True),
    Setting(
        name="cli.log_level",
        kind=SettingKind.OPTIONS,
        value="info",
        options=_options("debug", "info", "warning", "error", "critical", "disabled"),
        env_specific=True,
    ),
    Setting(
        name="cli.log_format",
        kind=SettingKind.OPTIONS,
        value="colored",
        options=_options("colored", "uncolored", "json", "key_value", "plain"),
    ),
    Setting(
        name="cli.log_config",
        value="logging.yaml",
        description="A file of logging as Python's `dictConfig` reads it: formatters, handlers, loggers.",
    ),
    Setting(name="cli.disable_version_check", kind=SettingKind.BOOLEAN, value=False),
    Setting(name="snowplow.collector_endpoints", kind=SettingKind.ARRAY, description="Read, never acted on."),
    Setting(
        name="venv.backend",
        kind=SettingKind.OPTIONS,
        value="uv",
        options=_options("uv", "virtualenv"),
        description="uv builds every environment; `virtualenv` is accepted and means the same.",
    ),
    Setting(name="experimental", kind=SettingKind.BOOLEAN, value=False),
    Setting(
        name="ff.strict_env_var_mode",
        kind=SettingKind.BOOLEAN,
        value=False,
        description="A variable that is not set is an error.",
    ),
    Setting(name="ff.plugin_locks_required", kind=SettingKind.BOOLEAN, value=False),
    Setting(
        name="keep_logs_days",
        kind=SettingKind.INTEGER,
        value=365,
        description="Lines of older runs are forgotten; how each run and step went is kept. 0 keeps every line.",
    ),
    Setting(
        name="share_extractor_secrets",
        kind=SettingKind.BOOLEAN,
        value=False,
        description="Loaders find the extractor's secret settings in their environment, as under Meltano.",
    ),
)


def project_settings(
    project: Project,
    *,
    env: Mapping[str, str],
    dotenv: Mapping[str, str],
    flags: Mapping[str, Any] | None = None,
    environment: Environment | None = None,
    database: Mapping[str, Mapping[str, Any]] | None = None,
    more: Sequence[Setting] = (),
) -> dict[str, Value]:
    """All project settings by name, those in `more` and those the file or the system database alone knows too.
    Strongest first: flag, variable, `.env`, file, system database (`database` is all it keeps), default; within
    variables `HEADWATER_X` beats `MELTANO_X`.

    Raises InputError (`wrong-setting-type`).
    """
    known = {setting.name: setting for setting in (*PROJECT_SETTINGS, *more)}
    stored = (database or {}).get(STORED_AS, {})
    for name, value in (*project.settings.items(), *stored.items()):
        known.setdefault(name, Setting(name=name, kind=inferred_kind(value)))
    scope = {**dotenv, **env}
    given = {
        "default_environment": project.default_environment,
        "project_id": project.project_id,
        **project.settings,
    }
    return {
        name: _value(
            project, setting, _found(project, setting, env, dotenv, flags or {}, environment, given, stored), scope
        )
        for name, setting in known.items()
    }


def is_readonly(
    project: Project, *, env: Mapping[str, str], dotenv: Mapping[str, str], environment: Environment | None
) -> bool:
    """The setting `project_readonly`."""
    return bool(alone(project, "project_readonly", env=env, dotenv=dotenv, environment=environment).value)


def alone(
    project: Project, name: str, *, env: Mapping[str, str], dotenv: Mapping[str, str], environment: Environment | None
) -> Value:
    """A setting by itself, for what is needed before anything else is known to be right.

    Raises InputError (`wrong-setting-type`).
    """
    setting = next(item for item in PROJECT_SETTINGS if item.name == name)
    found = _found(project, setting, env, dotenv, {}, environment, project.settings, {})
    return _value(project, setting, found, {**dotenv, **env})


def project_variables(values: Mapping[str, Value]) -> dict[str, str]:
    """The project settings that are no secrets, as the `MELTANO_<SETTING>` variables plugins may look for."""
    return {
        env_name("meltano", value.name): text(value.value)
        for value in values.values()
        if value.value is not None and not value.secret
    }


def project_secret_names() -> frozenset[str]:
    """Variables that hold secrets of the project: no plugin's business."""
    return frozenset(env_name(prefix, item.name) for item in PROJECT_SETTINGS if item.sensitive for prefix in PREFIXES)


def _found(
    project: Project,
    setting: Setting,
    env: Mapping[str, str],
    dotenv: Mapping[str, str],
    flags: Mapping[str, Any],
    environment: Environment | None,
    given: Mapping[str, Any],
    stored: Mapping[str, Any],
) -> list[tuple[Origin, str, Any]]:
    names = [env_name(prefix, setting.name) for prefix in PREFIXES]
    found: list[tuple[Origin, str, Any]] = [(Origin.FLAG, "command line", flags.get(setting.name))]
    found += [(Origin.ENV, name, env.get(name)) for name in names]
    found += [(Origin.DOTENV, f".env: {name}", dotenv.get(name)) for name in names]
    if environment is not None:
        place = str(Where(environment.file, environment.line))
        found.append((Origin.ENVIRONMENT, place, environment.settings.get(setting.name)))
    found.append((Origin.PROJECT, str(_place(project, setting)), given.get(setting.name)))
    found.append((Origin.DATABASE, "the system database", stored.get(setting.name)))
    found.append((Origin.DEFAULT, "default", setting.value))
    return [item for item in found if item[2] is not None and (item[2] != "" or setting.kind is None)]


def _place(project: Project, setting: Setting) -> Where:
    return Where(project.file.rpartition("/")[2], project.lines.get(setting.name.split(".")[0], 0))


def _value(
    project: Project, setting: Setting, found: Sequence[tuple[Origin, str, Any]], scope: Mapping[str, str]
) -> Value:
    if not found:
        return Value(
            name=setting.name,
            value=None,
            origin=Origin.DEFAULT,
            source="not set",
            setting=setting,
            secret=setting.is_secret,
        )
    values = []
    for position, (origin, source, given) in enumerate(found):
        is_written = origin in (Origin.ENVIRONMENT, Origin.PROJECT, Origin.DEFAULT)
        value = expand_setting(given, scope) if is_written else given
        try:
            value = cast(setting, value)
        except WrongTypeError as error:
            if position == 0:
                where = _place(project, setting) if origin is Origin.PROJECT else None
                raise _wrong_type(setting, source, where, value, str(error)) from None
        values.append(
            Value(
                name=setting.name,
                value=value,
                origin=origin,
                source=source,
                setting=setting,
                secret=is_secret(setting, value),
            )
        )
    strongest, *weaker = values
    return Value(
        name=setting.name,
        value=strongest.value,
        origin=strongest.origin,
        source=strongest.source,
        setting=setting,
        secret=strongest.secret,
        shadowed=tuple(weaker),
    )


def _wrong_type(setting: Setting, source: str, where: Where | None, value: Any, expected: str) -> InputError:
    shown = "a value that is not shown" if is_secret(setting, value) else f"`{text(value)}`"
    return InputError(
        "wrong-setting-type",
        f"the project setting `{setting.name}` must be {expected}",
        where=where,
        why=f"{source} gives {shown}",
        hint=f"headwater config set headwater {setting.name} …",
    )
