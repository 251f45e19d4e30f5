"""Runs in the environment of a plugin: runs checkpoints of Great Expectations, and reports every expectation.

Started as `python gx_driver.py FOLDER DATABASE [--report] checkpoint [CHECKPOINT…]`; in the folder is
`great_expectations.yml`. Reports and exit codes are those of `soda_driver.py`. A table of DuckDB is a data frame: an
asset of the type `dataframe` is the table of its name, or the one in its `batch_metadata` (`table`, `query`), read from
the file DATABASE, unless that is empty. Values of rows are never reported: only counts, and numbers that were computed.

Imports nothing but Great Expectations and the standard library: the Python here is another than that of this program.
"""

from __future__ import annotations

import importlib
import json
import logging
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Say = Callable[[dict[str, Any]], None]
_SUITES = "great_expectations.core.expectation_suite"
_COUNTS = ("element_count", "unexpected_count", "unexpected_percent", "missing_count")


def main(words: list[str]) -> int:
    folder, database, is_report = Path(words[0]), words[1], words[2] == "--report"
    names = words[3 + is_report :]
    codes = [0]
    out = None
    if is_report:
        out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def say(told: dict[str, Any]) -> None:
        if out is not None:
            out.write(json.dumps(told, default=str) + "\n")
            out.flush()
        elif "trouble" in told:
            codes.append(2)
            sys.stderr.write(told["trouble"]["why"] + "\n")
        elif not told["check"]["success"]:
            codes.append(1)

    heard = _Heard()
    logger = logging.getLogger(_SUITES)
    logger.addHandler(heard)
    logger.propagate = not is_report
    if not (folder / "great_expectations.yml").is_file():
        file = folder / "great_expectations.yml"
        say({"trouble": {"kind": "no-source", "file": str(file), "why": f"there is no file {file}"}})
        return 0 if is_report else 2
    try:
        gx = importlib.import_module("great_expectations")
        project = gx.get_context(mode="file", context_root_dir=str(folder))
        known = {checkpoint.name: checkpoint for checkpoint in project.checkpoints.all()}
        project.variables.progress_bars = {"globally": False}
        _frames(database)
    except Exception as error:  # noqa: BLE001 - its parsers raise whatever they do
        say({"trouble": {"kind": "project", "file": str(folder), "error": type(error).__name__, "why": str(error)}})
        return 0 if is_report else 2
    _lost(project, folder, known, say)
    for name in _chosen(sorted(known), names, say):
        _short(known[name], folder, heard, say)
        _run(known[name], folder, say, loud=out is None)
    return 0 if is_report else max(codes)


def _lost(project: Any, folder: Path, known: dict[str, Any], say: Say) -> None:
    """Checkpoints that can't be read: of all there are, they are left out without a word."""
    places = folder / "checkpoints"
    for file in sorted(places.rglob("*.json")) if places.is_dir() else ():
        name = file.relative_to(places).with_suffix("").as_posix().replace("/", ".")
        if name not in known:
            try:
                project.checkpoints.get(name)
            except Exception as error:  # noqa: BLE001 - as in `main`
                why = str(error) or type(error).__name__
                say({"trouble": {"kind": "checkpoint", "file": str(file), "error": type(error).__name__, "why": why}})


def _chosen(known: list[str], names: list[str], say: Say) -> list[str]:
    if not known:
        say({"trouble": {"kind": "no-checkpoints", "why": "the project has no checkpoint"}})
    for name in names if known else ():
        if name not in known:
            told = {"kind": "unknown-checkpoint", "name": name, "known": known}
            say({"trouble": {**told, "why": f"there is no checkpoint {name}"}})
    return [name for name in known if not names or name in names]


class _Heard(logging.Handler):
    """What a logger says, without the tracebacks."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self.said[record.getMessage().rpartition("not valid: ")[2]] = None


def _short(checkpoint: Any, folder: Path, heard: _Heard, say: Say) -> None:
    """Suites that lack some of their expectations: one that is not valid is only logged, and would never fail."""
    for suite in {one.suite.name: one.suite for one in checkpoint.validation_definitions}.values():
        file = Path(_file(folder, suite.name))
        written = len(json.loads(file.read_text())["expectations"]) if file.is_file() else len(suite.expectations)
        if len(suite.expectations) < written:
            why = "; ".join(heard.said) or f"{written - len(suite.expectations)} expectations are not valid"
            say({"trouble": {"kind": "suite", "file": str(file), "why": why}})


def _frames(database: str) -> None:
    """Give each data frame asset its table: a checkpoint has only one data frame for all its validations."""
    if not database:
        return
    validations = importlib.import_module("great_expectations.core.validation_definition").ValidationDefinition
    run = validations.run

    def with_frame(self: Any, **options: Any) -> Any:
        if getattr(self.asset, "type", None) == "dataframe" and not (options.get("batch_parameters") or {}):
            options["batch_parameters"] = {"dataframe": _frame(self.asset, database)}
        return run(self, **options)

    validations.run = with_frame


def _frame(asset: Any, database: str) -> Any:
    given = asset.batch_metadata or {}
    name = ".".join('"' + part.replace('"', '""') + '"' for part in str(given.get("table") or asset.name).split("."))
    connection = importlib.import_module("duckdb").connect(database, read_only=True)
    try:
        connection.execute("set TimeZone = 'UTC'")
        return connection.execute(given.get("query") or f"select * from {name}").df()  # noqa: S608 - quoted
    finally:
        connection.close()


def _run(checkpoint: Any, folder: Path, say: Say, *, loud: bool) -> None:
    try:
        result = checkpoint.run()
    except Exception as error:  # noqa: BLE001 - as above
        file = folder / "checkpoints" / f"{checkpoint.name}.json"
        why = str(error) or type(error).__name__
        say({"trouble": {"kind": "checkpoint", "file": str(file), "error": type(error).__name__, "why": why}})
        return
    if loud:
        sys.stdout.write(result.describe() + "\n")
    places = {(one.suite.name, one.asset.name): one for one in checkpoint.validation_definitions}
    for validation in result.run_results.values():
        suite, asset = validation.suite_name, validation.asset_name
        definition = places.get((suite, asset))
        order = [one.id for one in definition.suite.expectations] if definition else []
        found = sorted(validation.results, key=lambda one: _place(order, one.expectation_config.id))
        for one in found:
            say({"check": {"table": asset, "suite": suite, "file": _file(folder, suite), **_told(one)}})


def _place(order: list[Any], key: Any) -> int:
    return order.index(key) if key in order else len(order)


def _file(folder: Path, suite: str) -> str:
    """The file of a suite: dots of its name are folders."""
    return str(folder / "expectations" / f"{suite.replace('.', '/')}.json")


def _told(result: Any) -> dict[str, Any]:
    told = result.to_json_dict()
    config, measured = told["expectation_config"], told.get("result") or {}
    observed = measured.get("observed_value")
    meta = config.get("meta") or {}
    return {
        "type": config["type"],
        "words": {key: value for key, value in config["kwargs"].items() if key != "batch_id"},
        "severity": str(meta.get("severity") or config.get("severity") or "critical").lower(),
        "success": bool(told["success"]),
        "measured": {key: measured[key] for key in _COUNTS if _is_number(measured.get(key))},
        "observed": observed if _is_number(observed) else None,
        "error": _error(told.get("exception_info") or {}),
    }


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _error(info: dict[str, Any]) -> str | None:
    """What was raised instead of an answer: one of them, or one per metric."""
    for one in (info, *(part for part in info.values() if isinstance(part, dict))):
        if one.get("raised_exception") is True:
            return str(one.get("exception_message"))
    return None


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the libraries below take three seconds to take leave of each other
