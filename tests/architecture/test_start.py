"""What must not be loaded at start: a list, not a stop-watch, because machines are shared and noisy."""

from __future__ import annotations

import subprocess
import sys

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
