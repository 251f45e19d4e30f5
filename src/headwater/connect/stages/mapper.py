"""What mappers, and sources and destinations with stream maps, are set to do, as stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headwater.base.errors import InputError, Where
from headwater.base.text import did_you_mean
from headwater.connect.stages.definitions import MAP
from headwater.connect.stages.flattening import refuse_separator
from headwater.connect.stages.part import Site
from headwater.connect.stages.reshape import OnBadRecord, Reshape


def stages(
    config: dict[str, Any],
    *,
    owner: str,
    where: Where | None = None,
    on_bad_record: OnBadRecord = "fail",
    tell: Callable[[str], None] = lambda _text: None,
) -> tuple[Reshape, ...]:
    """`stream_maps`, then `stages`; () when the config has neither. `owner` is named in errors, `tell` gets what a
    person should know. Raises InputError for what can be known to be wrong before a stream has come."""
    site = Site(owner=owner, where=where)
    made = []
    if config.get("stream_maps"):
        from headwater.connect.stages import map_routes  # noqa: PLC0415 - it loads DuckDB: a third of a run's start

        made.append(map_routes.routes(config["stream_maps"], config.get("stream_map_config"), site, tell))
    if config.get("stages"):
        from headwater.connect.stages import steps  # noqa: PLC0415 - as above

        made.append(steps.routes(config["stages"], site))
    return tuple(Reshape(routes, owner=owner, on_bad_record=on_bad_record) for routes in made)


def check_settings(config: dict[str, Any], *, name: str, where: Where | None) -> None:
    """Raise InputError (`unknown-setting`, `wrong-setting-type`) for a setting that the mapper does not have."""
    known = [setting.name for setting in MAP.settings]
    for key in config:
        if key not in known:
            guess = did_you_mean(key, known)
            raise InputError(
                "unknown-setting",
                f"`{name}` has no setting `{key}`",
                where=where,
                hint=f"did you mean `{guess}`?" if guess else f"there are: {', '.join(known)}",
            )
    refuse_separator(config, name=name, where=where)
