r"""`$NAME` and `${name}` in what a user wrote, replaced by variables.

`$NAME` takes upper-case names only, so that `$ref` or `$price` stay as they are; `${name}` takes any. `\$NAME`
means the text `$NAME`. A replaced text is not expanded again. There is no syntax for defaults.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, overload

from headwater.base.errors import InputError, Where

_VARIABLE = re.compile(r"(\\)?\$(?:\{(\w+)\}|([A-Z][A-Z0-9_]*))")


@overload
def expand(value: str, env: Mapping[str, str], *, strict: bool = False, where: Where | None = None) -> str: ...
@overload
def expand(
    value: Mapping[str, str], env: Mapping[str, str], *, strict: bool = False, where: Where | None = None
) -> dict[str, str]: ...
@overload
def expand(value: Any, env: Mapping[str, str], *, strict: bool = False, where: Where | None = None) -> Any: ...
def expand(value: Any, env: Mapping[str, str], *, strict: bool = False, where: Where | None = None) -> Any:
    """`value` with its variables replaced, in dicts and lists at any depth. Keys and other types stay.

    A variable that is not set becomes the empty text; with `strict` it raises InputError (`undefined-variable`).
    """
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: _replacement(match, env, strict, where), value)
    if isinstance(value, Mapping):
        return {key: expand(item, env, strict=strict, where=where) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [expand(item, env, strict=strict, where=where) for item in value]
    return value


def expand_setting(value: Any, env: Mapping[str, str], *, strict: bool = False, where: Where | None = None) -> Any:
    """As `expand`, but a text of which nothing is left counts as not set: None.

    So a setting of `$TOKEN` is left out while TOKEN is not set, instead of being sent as an empty text.
    """
    expanded = expand(value, env, strict=strict, where=where)
    return None if expanded == "" and value != "" else expanded


def undefined(value: Any, env: Mapping[str, str]) -> tuple[str, ...]:
    """The variables that `value` names and `env` has not, each once, in the order they are met."""
    if isinstance(value, str):
        names = (match[2] or match[3] for match in _VARIABLE.finditer(value) if not match[1])
        return tuple(dict.fromkeys(name for name in names if name not in env))
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return tuple(dict.fromkeys(name for item in value for name in undefined(item, env)))
    return ()


def _replacement(match: re.Match[str], env: Mapping[str, str], strict: bool, where: Where | None) -> str:
    escaped, curly, plain = match.groups()
    if escaped:
        return match[0][1:]
    name = curly or plain
    if strict and name not in env:
        raise InputError(
            "undefined-variable",
            f"the variable `{name}` is not set",
            where=where,
            hint=f"set it in the shell or in the .env file, or write \\${match[0][1:]} for the text itself",
        )
    return env.get(name, "")
