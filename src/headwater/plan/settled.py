"""A plugin with its settings resolved, from all that files, flags and variables say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, field

from headwater.model.plugin import Plugin, PluginKind, Resolved
from headwater.model.project import Environment, Project
from headwater.model.setting import Value
from headwater.plan import child_env, inherit, settings
from headwater.plan.inherit import DefinitionOf
from headwater.plan.project_settings import project_settings, project_variables


class Facts(Struct, frozen=True, kw_only=True):
    """All that planning may look at. `environ` is the process environment, `dotenv` the content of `.env`.

    `venv_of` answers with the folder of a plugin's environment, `fingerprint_of` with what identifies its content.
    `today` settles dates in words; it is asked for by nobody else. `secrets_of` keeps what was found so far of the
    variables that hold a plugin's secrets.
    """

    project: Project
    environment: Environment | None
    environ: Mapping[str, str]
    dotenv: Mapping[str, str]
    home: str
    definition_of: DefinitionOf
    venv_of: Callable[[Resolved], str]
    fingerprint_of: Callable[[Resolved], str] = lambda _: ""
    database: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    share_extractor_secrets: bool = False
    strict: bool = False
    today: datetime | None = None
    secrets_of: dict[tuple[PluginKind, str], frozenset[str]] = field(default_factory=dict)


class Ready(Struct, frozen=True, kw_only=True):
    """A plugin with its settings resolved. `config` is what its config file would hold."""

    plugin: Plugin
    resolved: Resolved
    values: dict[str, Value]
    config: dict[str, Any]
    levels: child_env.EnvLevels

    @property
    def secrets(self) -> tuple[str, ...]:
        return child_env.secrets(self.values)

    def extra(self, name: str) -> Any:
        value = self.values.get(f"_{name}")
        return value.value if value else None


def ready(
    facts: Facts,
    plugin: Plugin,
    upstream: Sequence[child_env.Upstream] = (),
    flags: Mapping[str, Any] | None = None,
) -> Ready:
    """Resolve one plugin and its settings. Does not check that required settings are there.

    `upstream` are the plugins before it in its pipeline: its settings may name their variables. `flags` are settings
    and extras that beat all others.
    """
    handed_on: dict[str, str] = {}
    for before in upstream:
        shared = facts.share_extractor_secrets
        is_told = child_env.is_trusted(plugin.kind, before, share_extractor_secrets=shared)
        handed_on.update(child_env.handed_on(before, secret=is_told))
    resolved = inherit.resolve(facts.project, plugin, facts.definition_of)
    levels = child_env.env_levels(
        environ=facts.environ,
        dotenv=facts.dotenv,
        project=facts.project,
        environment=facts.environment,
        resolved=resolved,
        project_env={**_own_variables(facts), **handed_on},
        strict=facts.strict,
    )
    values = settings.resolve(
        resolved,
        settings.Layers(
            flags=flags or {},
            env=levels.merged,
            dotenv=facts.dotenv,
            environment=facts.environment,
            database=facts.database,
            strict=facts.strict,
        ),
    )
    return Ready(
        plugin=plugin,
        resolved=resolved,
        values=values,
        config=settings.config(values, now=facts.today),
        levels=levels,
    )


def check(facts: Facts, plugin: Ready) -> None:
    settings.check_known(plugin.resolved, facts.environment)
    settings.check_required(plugin.resolved, plugin.values)


def _own_variables(facts: Facts) -> dict[str, str]:
    return {
        **project_variables(
            project_settings(
                facts.project,
                env=facts.environ,
                dotenv=facts.dotenv,
                environment=facts.environment,
                database=facts.database,
            )
        ),
        "MELTANO_SYS_DIR_ROOT": facts.home,
        "MELTANO_JOB_TRIGGER": "cli",
        "HEADWATER_PROJECT_ROOT": facts.project.root,
        "HEADWATER_ENVIRONMENT": facts.environment.name if facts.environment else "",
    }
