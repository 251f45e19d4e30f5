"""`select --samples` shows what is in the streams, `select --interactive` lets one choose."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CODE = """
from headwater.sources import stream

@stream(keys="id")
def orders():
    yield [{"id": 1, "email": "ann@example.com", "note": "x" * 40, "total": 1.5, "paid": None},
           {"id": 2, "email": None, "note": "key s3cr3t-key", "total": 2, "paid": None}]
    yield {"id": 3, "late": {"by": "mail me at bob@example.com"}}

@stream
def events():
    yield from [{"n": n} for n in range(1200)]
"""


@pytest.fixture
def own(hw):
    (hw.root / "sources").mkdir()
    (hw.root / "sources" / "shop.py").write_text(CODE)
    hw.ok("tap", "new", "python", "shop")
    return hw


def answering(monkeypatch, *lines):
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def patterns(hw):
    return hw.ok("select", "tap-shop", "--list", "--json").json["enabled_patterns"]


def test_samples_say_what_was_seen_and_how_sure_it_is(own):
    shown = own.ok("select", "tap-shop", "orders", "--samples").out
    assert [" ".join(line.split()) for line in shown.splitlines() if "──" not in line] == [
        "orders: all 3 rows",
        "property type sure filled null absent examples",
        "id integer sure 3 0 0 1 · 2 · 3",
        "email text sure 1 1 1 (redacted)",
        f"note text sure 2 0 1 {'x' * 29}… · key s3cr3t-key",
        "total number sure 2 0 1 1.5 · 2.0",
        "late__by text sure 1 0 2 (redacted)",
    ]


def test_of_a_long_stream_the_first_rows_are_read(own):
    (events,) = own.ok("select", "tap-shop", "events", "--samples", "--json").json
    assert (events["rows"], events["is_whole"]) == (1000, False)
    assert events["columns"][0]["filled"] == 1000


def test_streams_and_properties_are_chosen_from_a_list(own, monkeypatch):
    answering(monkeypatch, "2", "?1", "3-4", "", "")
    done = own.ok("select", "tap-shop", "--interactive")
    assert "patterns: orders.*, !orders.note, !orders.total" in done.out.splitlines()
    assert patterns(own) == ["orders.*", "!orders.note", "!orders.total"]
    assert "1  yes       orders" in done.out
    answering(monkeypatch, "2", "?1", "all", "", "")
    own.ok("select", "tap-shop", "--interactive")
    assert patterns(own) == ["*.*"]


@pytest.mark.parametrize("lines", [("1", "q"), ("1",), ("9", "x", "")])
def test_what_is_left_or_ended_changes_nothing(own, monkeypatch, lines):
    before = (own.root / "headwater.yml").read_text()
    answering(monkeypatch, *lines)
    own("select", "tap-shop", "--interactive")
    assert (own.root / "headwater.yml").read_text() == before


HANGING = """
import os, pathlib, time
pathlib.Path("pid").write_text(str(os.getpid()))
while True:
    time.sleep(1)
"""


def test_a_discovery_that_takes_too_long_is_given_up(own):
    (own.root / "sources" / "shop.py").write_text(HANGING)
    own.ok("config", "set", "tap-shop", "_discovery_timeout_seconds", "0")
    done = own("select", "tap-shop", "--list")
    assert (done.code, done.error.splitlines()[0]) == (
        1,
        "error: `tap-shop` did not say within 0.0 s what its source offers [discovery-timeout]",
    )


def test_a_singer_discovery_that_takes_too_long_is_ended(hw):
    tap = hw.root / "bin" / "tap_numbers"
    tap.write_text("#!/bin/sh\nexec sleep 600\n")
    hw.ok("config", "set", "tap-numbers", "_discovery_timeout_seconds", "0")
    assert "[discovery-timeout]" in hw("select", "tap-numbers", "--list").error


def require_secret(hw):
    project = hw.root / "headwater.yml"
    project.write_text(project.read_text().replace("secret, sensitive", "secret, required: true, sensitive"))


def test_streams_that_a_tap_knows_without_its_secret_are_listed(hw):
    require_secret(hw)
    listed = hw.ok("select", "tap-numbers", "--list", "--json").json["streams"]
    assert [row["property"] for row in listed] == ["id", "name"]
    assert "needs the setting `secret` [missing-setting]" in hw("run", "tap-numbers", "target-lines").error


def test_a_setting_that_is_missing_explains_a_discovery_that_fails(hw):
    require_secret(hw)
    (hw.root / "bin" / "tap_numbers").write_text("#!/bin/sh\nexit 1\n")
    assert "needs the setting `secret` [missing-setting]" in hw("select", "tap-numbers", "--list").error


def test_ctrl_c_during_discovery_ends_the_process(own):
    (own.root / "sources" / "shop.py").write_text(HANGING)
    command = [sys.executable, "-m", "headwater", "--cwd", str(own.root), "select", "tap-shop", "--list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not (own.root / "pid").exists() or not (own.root / "pid").read_text():
            assert process.poll() is None
            time.sleep(0.05)
        child = int((own.root / "pid").read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    while _runs(child):  # its guard ends it as soon as ours is gone
        time.sleep(0.05)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
