"""A stand-in for Snowflake: fakesnow as a server. Prints where it listens, and ends with its input.

DuckDB, which it runs on, keeps what is temporary in a catalog of their own, where dbt does not look: here it stays.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import fakesnow
from fakesnow.cursor import FakeSnowflakeCursor

TEMPORARY = re.compile(r"\bcreate\s+or\s+replace\s+temporary\s+(table|view)\b", re.IGNORECASE)
plain = FakeSnowflakeCursor.execute


def execute(cursor: FakeSnowflakeCursor, command: str, *words: Any, **more: Any) -> FakeSnowflakeCursor:
    return plain(cursor, TEMPORARY.sub(r"create or replace \1", command), *words, **more)


FakeSnowflakeCursor.execute = execute  # type: ignore[method-assign]  # what the server calls

with fakesnow.server() as found:
    print(json.dumps({"host": found["host"], "port": found["port"]}), flush=True)
    sys.stdin.read()
