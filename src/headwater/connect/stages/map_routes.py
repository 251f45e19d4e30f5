"""What the settings `stream_maps` and `stream_map_config` say, as routes of streams."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from msgspec.structs import replace

from headwater.connect.stages import python
from headwater.connect.stages.maps import Expression, StreamMap, Tell
from headwater.connect.stages.part import Site
from headwater.connect.stages.python import RefusedPythonError
from headwater.connect.stages.reshape import Route, Routes

_NULL = "__NULL__"


def routes(maps: Any, config: Any, site: Site, tell: Tell) -> Routes:
    """`stream_maps` as routes. Raises InputError for what can be known to be wrong before a stream has come."""
    if not isinstance(maps, dict):
        site.fail("wrong-stream-map", "`stream_maps` must be a mapping of stream names")
    given = {str(name): stated for name, stated in maps.items()}
    others = "__else__" not in given
    if not others and given.pop("__else__") not in (None, _NULL):
        site.fail("wrong-stream-map", "`__else__` can only be null")
    for name, stated in given.items():
        here = replace(site, step=f"stream map `{name}`")
        if name.startswith("__"):
            here.fail("wrong-stream-map", f"`{name}` has no meaning here")
        if stated is not None and stated != _NULL and not isinstance(stated, dict):
            here.fail("wrong-stream-map", "a stream is mapped to null, or has a map of its properties")
        if isinstance(stated, dict):
            _stream_map(name, name, stated, config, here, tell)
    told: set[str] = set()

    def tell_once(text: str) -> None:
        if text not in told:
            told.add(text)
            tell(text)

    def routes_of(stream: str) -> Sequence[Route]:
        first: list[Route] = [Route(stream)] if others else []
        more: list[Route] = []
        for name, stated in given.items():
            here = replace(site, step=f"stream map `{name}`")
            source = str(stated["__source__"]) if isinstance(stated, dict) and "__source__" in stated else name
            if not fnmatchcase(stream, source):
                continue
            if not isinstance(stated, dict):
                first = []
                continue
            alias = stream if source == name else name
            if "__alias__" in stated and source == name:
                alias = _alias(str(stated["__alias__"]), stream)
            route = Route(alias, (_stream_map(stream, alias, stated, config, here, tell_once),))
            if source == name:
                first = [route]
            else:
                more.append(route)
        return [*first, *more]

    return routes_of


def _stream_map(source: str, alias: str, stated: dict[str, Any], config: Any, site: Site, tell: Tell) -> StreamMap:
    properties: dict[str, Expression | None] = {}
    condition: Expression | None = None
    keys: tuple[str, ...] | None = None
    others = True
    for name, value in stated.items():
        match name:
            case "__source__" | "__alias__":
                continue
            case "__filter__":
                condition = None if value is None else _expression(name, value, site)
            case "__else__":
                if value not in (None, _NULL):
                    site.fail("wrong-stream-map", "`__else__` can only be null")
                others = False
            case "__key_properties__":
                keys = _keys(value, site)
            case _:
                is_null = value is None or value == _NULL
                properties[str(name)] = None if is_null else _expression(str(name), value, site)
    return StreamMap(
        source=source,
        alias=alias,
        properties=properties,
        condition=condition,
        others=others,
        keys=keys,
        config=config or {},
        site=site,
        tell=tell,
        widened={},
    )


def _keys(value: Any, site: Site) -> tuple[str, ...]:
    names = [] if value is None else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        site.fail("wrong-stream-map", "`__key_properties__` must be a list of names, or null")
    return tuple(names)


def _expression(name: str, value: Any, site: Site) -> Expression:
    if not isinstance(value, str) or not value:
        site.fail("wrong-stream-map", f"`{name}` must be an expression (text) or null, not `{value}`")
    text = value.strip()
    try:
        tree = python.parse(text)
        _look_for_refused(tree)
    except RefusedPythonError as error:
        site.fail("wrong-expression", f"`{name}: {text}` can't be computed", why=str(error), hint=error.hint)
    return Expression(text, tree)


def _look_for_refused(tree: ast.expr) -> None:
    """What is wrong whatever the stream has; names are settled when it comes."""
    python.compiled(tree)


def _alias(text: str, stream: str) -> str:
    """A name, or an expression with `__stream_name__` that gives one."""
    try:
        tree = python.parse(text)
    except RefusedPythonError:
        return text
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if not isinstance(tree, ast.Constant) and names != {"__stream_name__"}:
        return text
    return str(python.compiled(tree)({"__stream_name__": stream}))
