"""Runs in the environment of a plugin: verifies Soda contracts, and reports every check.

Started as `python soda_driver.py FOLDER [--report] verify [CONTRACT…]`; in the folder are `data_source.yml` and
`contracts/`. With `--report` standard output is JSON lines, one object each: `{"check": …}` for a check,
`{"trouble": …}` for what kept checks from being asked, `{"warning": …}` for what Soda takes another way than it is
written; what Soda prints goes to standard error. Ends with 0 when it
could report, whatever the checks said. Without `--report` Soda itself tells, and the exit code is 1 when a check
failed, 2 when one could not be asked.

Imports nothing but Soda and the standard library: the Python here is another than that of this program.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

Say = Callable[[dict[str, Any]], None]
_ENDINGS = (".yml", ".yaml")


def main(words: list[str]) -> int:
    folder, is_report = Path(words[0]), words[1] == "--report"
    names = words[2 + is_report :]
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
        elif "check" in told and told["check"]["outcome"] == "FAILED":
            codes.append(1)

    if out is None:
        _loud()
    for file in _contracts(folder / "contracts", names, say):
        _verify(file, folder / "data_source.yml", say)
    return 0 if is_report else max(codes)


def _loud() -> None:
    with contextlib.suppress(ImportError, AttributeError):
        importlib.import_module("soda_core.common.logging_configuration").configure_logging(verbose=False)


def _contracts(folder: Path, names: list[str], say: Say) -> list[Path]:
    """The files of the contracts that are named by their place below the folder, with or without ending; or all."""
    known = {}
    for file in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if file.suffix in _ENDINGS and file.is_file():
            known[file.relative_to(folder).with_suffix("").as_posix()] = file
    if not known:
        say({"trouble": {"kind": "no-contracts", "why": f"there is no contract in {folder}"}})
    found = []
    for name in names if known else ():
        bare = name.rsplit(".", 1)[0] if name.endswith(_ENDINGS) else name
        if bare in known:
            found.append(known[bare])
        else:
            told = {"kind": "unknown-contract", "name": name, "known": list(known)}
            say({"trouble": {**told, "why": f"there is no contract {name}"}})
    return found if names else list(known.values())


def _verify(file: Path, source: Path, say: Say) -> None:
    trouble = {"kind": "contract", "file": str(file)}
    if not source.is_file():
        say({"trouble": {"kind": "no-source", "file": str(source), "why": f"there is no file {source}"}})
        return
    try:
        api = importlib.import_module("soda_core.contracts.api.verify_api")
        session = api.verify_contract_locally(data_source_file_path=str(source), contract_file_path=str(file))
    except Exception as error:  # noqa: BLE001 - Soda raises whatever its parsers and drivers do
        say({"trouble": {**trouble, "error": type(error).__name__, "why": str(error)}})
        return
    lines = file.read_text("utf-8", "replace").splitlines()
    for result in session.contract_verification_results:
        if result.has_errors:  # first, for it is why checks were not evaluated
            say({"trouble": {**trouble, "why": "\n".join(result.get_errors()) or "Soda does not say why"}})
        else:
            for text in dict.fromkeys(result.get_warnings()):
                say({"warning": {"file": str(file), "text": text}})
        for check in result.check_results:
            say({"check": {"file": str(file), **_told(result.contract, check, lines)}})


def _told(contract: Any, result: Any, lines: list[str]) -> dict[str, Any]:
    check, threshold, measured = result.check, result.check.threshold, result.diagnostic_metric_values or {}
    limits = {key: value for key, value in vars(threshold).items() if value is not None} if threshold else {}
    return {
        "table": ".".join([*contract.dataset_prefix[-1:], contract.dataset_name]),
        "path": check.relative_path,
        "column": check.column_name,
        "type": check.type,
        "name": check.name,
        "line": _line(check, lines),
        "outcome": result.outcome.name,
        "level": limits.pop("level", "fail"),
        "limits": limits,
        "value": _number(result.threshold_value),
        "measured": {key: number for key, value in measured.items() if (number := _number(value)) is not None},
        "columns": _columns(result),
    }


def _line(check: Any, lines: list[str]) -> int:
    """Where the check begins. Soda counts from 0, and names the first line of what stands below the check's kind."""
    named = check.contract_file_line or 0
    above = range(min(named, len(lines) - 1), -1, -1)
    return next((place for place in above if f"{check.type}:" in lines[place]), named) + 1


def _number(value: Any) -> float | None:
    """A number as JSON knows it: no decimal of a database, no NaN."""
    if isinstance(value, Decimal):
        value = float(value)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) else None


def _columns(result: Any) -> list[str]:
    """What a check of the schema found, in words."""
    found = [f"`{name}` is gone" for name in getattr(result, "expected_column_names_not_actual", None) or ()]
    found += [
        f"`{wrong.column}` is {wrong.actual_data_type}, not {wrong.expected_data_type}"
        for wrong in getattr(result, "column_data_type_mismatches", None) or ()
    ]
    found += [f"`{name}` is new" for name in getattr(result, "actual_column_names_not_expected", None) or ()]
    return [*found, *(["the columns are in another order"] if getattr(result, "are_columns_out_of_order", 0) else [])]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
