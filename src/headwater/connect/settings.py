"""From a config dict to the settings struct of a native connector."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import Struct

from headwater.base.errors import InputError
from headwater.base.text import did_you_mean, listed
from headwater.connect.contract import DestinationModule, SourceModule
from headwater.connect.stages.definitions import FLATTENING, STREAM_MAPS
from headwater.connect.stages.flattening import refuse_separator


def decode(
    module: SourceModule | DestinationModule,
    config: dict[str, Any],
    *,
    name: str,
    root: Path,
    venv: str | None = None,
    env: Mapping[str, str] | None = None,
    secrets: Sequence[str] = (),
) -> Struct:
    """The connector's `Settings`. `root`, `venv`, `env` and `secrets` fill the fields of those names where it has them.

    Keys that a connector does not have are left out when they belong to Singer's own habits (see `_COMMON`), gathered
    in its field `given` when it has that one, and refused otherwise. Raises InputError (`wrong-setting-type`,
    `unknown-setting`).
    """
    fields = {item.encode_name for item in msgspec.structs.fields(module.Settings)}
    unknown = [key for key in config if key not in fields | _COMMON | _STAGES]
    if unknown and _GIVEN not in fields:
        guess = did_you_mean(unknown[0], fields)
        raise InputError(
            "unknown-setting",
            f"`{name}` has no setting `{unknown[0]}`",
            hint=f"did you mean `{guess}`?" if guess else f"headwater config list {name} --all",
        )
    refuse_separator(config, name=name)
    given = {key: value for key, value in config.items() if key in fields}
    ours = {"root": str(root), "venv": venv, "env": dict(env or {}), "secrets": tuple(secrets)}
    if _GIVEN in fields:
        ours[_GIVEN] = {key: config[key] for key in config if key not in fields | _STAGES and config[key] is not None}
    given |= {key: value for key, value in ours.items() if key in fields and value}
    try:
        return msgspec.convert(given, module.Settings)
    except msgspec.ValidationError as error:
        if (found := _UNKNOWN.fullmatch(str(error))) is not None:
            raise _unknown_part(module.Settings, name, field=found[1], place=found[2]) from error
        raise InputError(
            "wrong-setting-type",
            f"a setting of `{name}` has the wrong type: {str(error)[:1].lower()}{str(error)[1:]}",
            hint=f"headwater config list {name} --all",
        ) from error


# What msgspec says of a member that an object within a setting does not have.
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)` - at `\$\.([^`]*)`")


def _unknown_part(kind: Any, name: str, *, field: str, place: str) -> InputError:
    """`place` leads to the object: `streams[0]`."""
    for part in place.split("."):
        members = {item.encode_name: item.type for item in msgspec.structs.fields(kind)}
        kind = _struct_of(members.get(part.partition("[")[0]))
        if kind is None:
            break
    known = [item.encode_name for item in msgspec.structs.fields(kind)] if kind is not None else []
    guess = did_you_mean(field, known)
    return InputError(
        "unknown-setting",
        f"`{place}` of `{name}` has no setting `{field}`",
        why=f"it has {listed(known, most=40)}" if known else None,
        hint=f"did you mean `{guess}`?" if guess else f"headwater config list {name} --all",
    )


def _struct_of(kind: Any) -> Any:
    """The struct that stands in a type, as in `list[Struct]`."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return kind
    return next((found for part in get_args(kind) if (found := _struct_of(part)) is not None), None)


# The field of a connector whose settings only its user's own code knows.
_GIVEN = "given"

# Settings that projects give to every tap or target of the Singer SDK; they change nothing here.
_COMMON = frozenset({"add_record_metadata", "validate_records", "batch_size_rows", "max_parallelism", "batch_config"})

# Settings that every source or destination has without knowing: the run makes stages of them.
_STAGES = frozenset({setting.name for setting in (*STREAM_MAPS, *FLATTENING)} | {"faker_config"})
