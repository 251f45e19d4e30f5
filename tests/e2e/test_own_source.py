"""A Python file of the project into DuckDB: incremental, wrong in the middle, killed, run again."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from xml.etree import ElementTree as ET

PROJECT = """\
plugins:
  extractors:
  - name: tap-orders
    source: sources/orders.py
    config: {token: hush-hush}
  loaders:
  - name: target-duckdb
    variant: headwater
    commit_seconds: 0
"""
SOURCE = '''\
"""Orders of the shop."""

import time
from typing import Annotated

from headwater.sources import Secret, stream


@stream(keys="id", cursor="id", ordered=True)
def orders(
    token: Secret,
    upto: Annotated[int, "The last order"] = 100,
    broken_at: int | None = None,
    pause: float = 0.0,
    bookmark: int = 0,
):
    print("asking with", token)
    for number in range(bookmark, upto):
        if number == broken_at:
            number / 0
        yield {"id": number, "lines": [{"sku": "x"}], "to": {"city": "Ulm"}}
        time.sleep(pause)


@stream
def shops():
    yield [{"name": "north"}, {"name": "south", "opened": "2026-01-01"}]
'''
COUNTS = "select count(*), count(distinct id), max(id) from tap_orders.orders"


def test_a_file_of_functions_is_a_source(project, until):
    hw = project(PROJECT)
    hw.write("sources/orders.py", SOURCE)

    listed = json.loads(hw.ok("select", "tap-orders", "--list", "--json").out)["streams"]
    assert [f"{row['stream']}.{row['property']}" for row in listed] == [
        *("orders.id", "orders.lines", "orders.to__city"),
        *("shops.name", "shops.opened"),
    ]

    done = hw.ok("run", "tap-orders", "target-duckdb")
    assert "asking with (redacted)" in done.err
    assert "hush-hush" not in done.err
    assert hw.query(COUNTS) == [(100, 100, 99)]
    assert hw.query("select lines, to__city from tap_orders.orders limit 1") == [('[{"sku":"x"}]', "Ulm")]
    assert hw.query("select name, opened from tap_orders.shops order by 1") == [
        ("north", None),
        ("south", "2026-01-01"),
    ]

    # Wrong in the middle: what came before stays, and the place in the file is named.
    failed = hw("run", "tap-orders", "target-duckdb", TAP_ORDERS_UPTO=300, TAP_ORDERS_BROKEN_AT=250)
    assert failed.code == 1
    line = SOURCE.splitlines().index("            number / 0") + 1
    assert failed.error.startswith(
        f"error: sources/orders.py:{line}: the code of `sources/orders.py` failed in `orders`: "
        "ZeroDivisionError: division by zero [source-failed]"
    )
    assert hw.query(COUNTS) == [(250, 250, 249)]

    # Killed: its process is gone too, and the next run goes on from what was committed.
    run = hw.start("run", "tap-orders", "target-duckdb", TAP_ORDERS_UPTO=10_000, TAP_ORDERS_PAUSE=0.002)
    until(lambda: "asking with" in hw.stderr)
    children = until(lambda: _children(run.pid))
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    until(lambda: not any(_is_alive(pid) for pid in children), what="the end of the code's process")
    hw.ok("run", "tap-orders", "target-duckdb", TAP_ORDERS_UPTO=5000)
    assert hw.query(COUNTS) == [(5000, 5000, 4999)]

    # As a Singer tap, and held to the contract.
    lines = hw.ok("tap", "tap-orders").out.splitlines()
    assert json.loads(lines[1]) == {
        "type": "RECORD",
        "stream": "orders",
        "record": {"id": 0, "lines": [{"sku": "x"}], "to__city": "Ulm"},
    }
    hw.ok("tap", "test", "tap-orders", "--junit", "report.xml")
    assert ET.parse(hw.root / "report.xml").getroot().get("failures") == "0"  # noqa: S314 - we wrote it


def _children(pid: int) -> list[int]:
    of_threads = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(word) for words in of_threads for word in words.split()]


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
