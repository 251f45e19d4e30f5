"""Tests of dbt as checks of ours, and back."""

from __future__ import annotations

from typing import Any

from headwater.transform.dbt import jinja

Json = dict[str, Any]

# dbt's name of a test, ours, and how its words are called here; without words the test has none.
_TESTS: dict[str, tuple[str, dict[str, str]]] = {
    "not_null": ("not_null", {}),
    "unique": ("unique", {}),
    "accepted_values": ("accepted_values", {"values": "values"}),
    "relationships": ("relationship", {"to": "to", "field": "field"}),
    "dbt_utils.accepted_range": ("range", {"min_value": "min", "max_value": "max"}),
    "dbt_utils.unique_combination_of_columns": ("unique", {"combination_of_columns": "columns"}),
}
_OPTIONS = ("name", "description", "config", "arguments", "severity")


def of_entry(entry: Json, words: jinja.Words) -> tuple[Json, list[str]]:
    """The `columns` and `checks` of an entry of dbt's YAML, with descriptions; and what could not be taken over."""
    missing: list[str] = []
    made: Json = {key: entry[key] for key in ("name", "description") if entry.get(key)}
    columns = []
    for column in entry.get("columns") or []:
        own = {key: column[key] for key in ("name", "description") if column.get(key)}
        checks = [_check(one, words, missing) for one in _tests(column)]
        if any(checks):
            own["checks"] = [check for check in checks if check]
        if len(own) > 1:
            columns.append(own)
    if columns:
        made["columns"] = columns
    checks = [_check(one, words, missing) for one in _tests(entry)]
    if any(checks):
        made["checks"] = [check for check in checks if check]
    return made, missing


def _tests(entry: Json) -> list[Any]:
    return [*(entry.get("data_tests") or []), *(entry.get("tests") or [])]


def _check(test: Any, words: jinja.Words, missing: list[str]) -> str | Json | None:
    kind, given = (test, {}) if isinstance(test, str) else next(iter(test.items()))
    given = {**(given or {}), **((given or {}).get("arguments") or {})}
    known = _TESTS.get(kind)
    config = {**(given.get("config") or {}), **({"severity": given["severity"]} if "severity" in given else {})}
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
    if str(config.get("severity", "error")).lower() == "warn":
        parameters["severity"] = "warn"
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
