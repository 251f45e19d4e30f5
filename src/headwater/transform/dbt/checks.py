"""Tests of dbt as checks of ours, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headwater.transform.dbt import jinja

Json = dict[str, Any]
# The SELECT of a test that the project or a package defines, of its name, its arguments and its column; None when there
# is no such test, or it can't be read.
Own = Callable[[str, Json, str | None], str | None]

# dbt's name of a test, ours, and how its words are called here; without words the test has none.
_TESTS: dict[str, tuple[str, dict[str, str]]] = {
    "not_null": ("not_null", {}),
    "unique": ("unique", {}),
    "accepted_values": ("accepted_values", {"values": "values"}),
    "relationships": ("relationship", {"to": "to", "field": "field"}),
    "dbt_utils.accepted_range": ("range", {"min_value": "min", "max_value": "max"}),
    "dbt_utils.unique_combination_of_columns": ("unique", {"combination_of_columns": "columns"}),
}
_OPTIONS = ("name", "description", "config", "arguments", "severity", "where")


def of_entry(entry: Json, words: jinja.Words, own: Own) -> tuple[Json, list[str]]:
    """The `columns` and `checks` of an entry of dbt's YAML, with descriptions; and what could not be taken over. Tests
    that are SELECTs become checks of the table."""
    missing: list[str] = []
    made: Json = {key: entry[key] for key in ("name", "description") if entry.get(key)}
    columns: list[Json] = []
    selects: list[str | Json] = []
    for column in entry.get("columns") or []:
        told = {key: column[key] for key in ("name", "description") if column.get(key)}
        checks: list[str | Json] = []
        for one in _tests(column):
            if (select := _select(one, entry, column["name"], own)) is not None:
                selects.append(select)
            elif (check := _check(one, words, missing)) is not None:
                checks.append(check)
        if checks:
            told["checks"] = checks
        if len(told) > 1:
            columns.append(told)
    if columns:
        made["columns"] = columns
    for one in _tests(entry):
        found = _select(one, entry, None, own) or _check(one, words, missing)
        if found is not None:
            selects.append(found)
    if selects:
        made["checks"] = selects
    return made, missing


def _tests(entry: Json) -> list[Any]:
    return [*(entry.get("data_tests") or []), *(entry.get("tests") or [])]


def _select(test: Any, entry: Json, column: str | None, own: Own) -> Json | None:
    kind, given, config = _parts(test)
    if kind in _TESTS:
        return None
    arguments = {key: value for key, value in given.items() if key not in _OPTIONS}
    query = own(kind, {**arguments, "where": config.get("where")}, column)
    if query is None or any(key not in ("severity", "where") for key in config):
        return None
    name = given.get("name") or "_".join(filter(None, (kind.replace(".", "_"), entry["name"], column)))
    return {"sql": {"name": name, "query": query, **_severity(config)}}


def _parts(test: Any) -> tuple[str, Json, Json]:
    """The kind of a test, what it is given, and its configuration."""
    kind, given = (test, {}) if isinstance(test, str) else next(iter(test.items()))
    given = {**(given or {}), **((given or {}).get("arguments") or {})}
    config = {**{key: given[key] for key in ("severity", "where") if key in given}, **(given.get("config") or {})}
    return kind, given, config


def _severity(config: Json) -> Json:
    return {"severity": "warn"} if str(config.get("severity", "error")).lower() == "warn" else {}


def _check(test: Any, words: jinja.Words, missing: list[str]) -> str | Json | None:
    kind, given, config = _parts(test)
    known = _TESTS.get(kind)
    odd = [key for key in given if known is None or key not in (*known[1], *_OPTIONS)]
    odd += [key for key in config if key not in ("severity", "where")]
    if known is None or odd:
        missing.append(f"the test `{kind}`" + (f" with `{odd[0]}`" if known and odd else ""))
        return None
    ours, renamed = known
    parameters: Json = {renamed[key]: value for key, value in given.items() if key in renamed}
    if ours == "relationship":
        (*_, name) = jinja.name_of(parameters["to"], "ref") or ("",)
        source = jinja.name_of(parameters["to"], "source")
        parameters["to"] = words.source(*source) if source else name
    if given.get("name"):
        parameters["name"] = given["name"]
    parameters |= _severity(config)
    if config.get("where"):
        parameters["where"] = config["where"]
    return {ours: parameters} if parameters else ours


def to_dbt(entry: Json, relation_of: Any) -> tuple[Json, list[Json]]:
    """An entry of our YAML as one of dbt's, and the checks that dbt has no words for, each with its column."""
    alone: list[Json] = []
    made: Json = {key: entry[key] for key in ("name", "description") if entry.get(key)}
    columns = []
    for column in entry.get("columns") or []:
        own = {key: column[key] for key in ("name", "description") if column.get(key)}
        tests = [_test(one, column["name"], relation_of, alone) for one in column.get("checks") or []]
        if any(tests):
            own["data_tests"] = [test for test in tests if test]
        columns.append(own)
    if columns:
        made["columns"] = columns
    for one in entry.get("checks") or []:
        _test(one, None, relation_of, alone)
    return made, alone


_BACK = {
    "not_null": "not_null",
    "unique": "unique",
    "accepted_values": "accepted_values",
    "relationship": "relationships",
}
_SHORT = {
    "accepted_values": "values",
    "freshness": "max_age",
    "row_count_change": "within",
    "schema_drift": "columns",
    "sql": "query",
    "unique": "columns",
}


def _test(check: Any, column: str | None, relation_of: Any, alone: list[Json]) -> str | Json | None:
    kind, given = (check, None) if isinstance(check, str) else next(iter(check.items()))
    given = given if isinstance(given, dict) else ({_SHORT[kind]: given} if given is not None else {})
    if column is None or kind not in _BACK:
        alone.append({"kind": kind, "column": column, **given})
        return None
    arguments = {key: value for key, value in given.items() if key not in ("name", "severity", "where")}
    if "to" in arguments:
        arguments["to"] = relation_of(arguments["to"])
    body: Json = {"arguments": arguments} if arguments else {}
    config = {key: given[key] for key in ("severity", "where") if key in given}
    if config:
        body["config"] = config
    return {_BACK[kind]: body} if body else _BACK[kind]
