"""What must not be loaded at start: a list, not a stop-watch, because machines are shared and noisy."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from headwater.ops import planning, workspace
from headwater.plan.options import Options

HEAVY = (
    "asyncio",
    "duckdb",
    "httpx2",
    "jinja2",
    "obstore",
    "psycopg",
    "pyarrow",
    "pydantic",
    "pymysql",
    "rich",
    "ruamel",
    "sqlalchemy",
    "sqlglot",
    "structlog",
)


def loaded_by(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.splitlines()}


def test_help_loads_nothing_heavy() -> None:
    loaded = loaded_by("from headwater.cli.main import run\nrun(['--help'])")
    assert loaded & {*HEAVY, "yaml", "sqlite3", "subprocess"} == set()


def test_a_run_between_two_singer_programs_loads_no_data_library() -> None:
    loaded = loaded_by("import headwater.ops.runs, headwater.cli.listen")
    assert loaded & set(HEAVY) == set()


def test_planning_reads_each_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with many plugins, whose secrets all have to be known so that no other plugin sees them."""
    entries = "".join(f"  - {{name: tap-{number}, executable: x, variant: v}}\n" for number in range(20))
    (tmp_path / "meltano.yml").write_text(
        f"plugins:\n  extractors:\n{entries}  loaders:\n  - {{name: t, namespace: t}}\n"
    )
    locks = tmp_path / "plugins" / "extractors"
    locks.mkdir(parents=True)
    for number in range(20):
        known = {"plugin_type": "extractors", "name": f"tap-{number}", "namespace": "n", "variant": "v"}
        (locks / f"tap-{number}--v.lock").write_text(json.dumps(known))
    opened: Counter[str] = Counter()
    opening = Path.open

    def counting(path: Path, *more: Any, **named: Any) -> Any:
        opened[path.name] += 1
        return opening(path, *more, **named)

    monkeypatch.setattr(Path, "open", counting)
    found = workspace.find(tmp_path)
    planning.plan(found, ["tap-3", "t"], Options())
    read = {name: count for name, count in opened.items() if name.endswith((".yml", ".lock", ".env"))}
    assert read == dict.fromkeys(["meltano.yml", ".env", *(f"tap-{number}--v.lock" for number in range(20))], 1)
