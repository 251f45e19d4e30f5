"""Programs that hang or are slow: a hang is ended and named, slowness costs time and no memory."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path

import pytest

from .conftest import DATABASES, EVERY, rest, times, wait_for_end
from .test_kill_matrix import Story, hurt, programs
from .test_restarts import listener

IDLE = {"TAP_NUMBERS__IDLE_TIMEOUT_SECONDS": 2}


@pytest.mark.parametrize("warehouse", DATABASES, indirect=True)
def test_a_tap_that_hangs(pipeline, warehouse, chance, until, group_members, figures, hw):
    made = pipeline("append")
    story = Story(made)
    for _ in range(times(1, 20)):
        process = hw.start(*story.argv(), **story.env(), **IDLE, TAP_NUMBERS_PAUSE=0.004)
        until(lambda p=process: p.poll() is not None or "counting from" in hw.stderr, what="the tap")
        rest(chance.uniform(0, 1.0))
        assert hurt(programs(hw.root, "tap_numbers"), signal.SIGSTOP)  # it does not even hear that it shall end
        assert wait_for_end(process, until, group_members, hw.root) == 1
        assert "error: `tap-numbers` did nothing for 2.0 s [no-sign-of-life]" in hw.stderr
        story.check()
        story.go_on(ended_well=False)
        figures("hang", f"tap × {warehouse.name}")
    hw.ok(*story.argv(), **story.env(), TAP_NUMBERS_PAUSE=0)
    assert warehouse.rows() == story.finished()


@pytest.mark.parametrize("warehouse", DATABASES, indirect=True)
def test_a_target_that_hangs(pipeline, warehouse, chance, until, group_members, figures, hw):
    made = pipeline("upsert", as_target=True)
    for _ in range(times(1, 20)):
        process = hw.start(*made.argv(anew=True), **IDLE, TAP_NUMBERS_PAUSE=0.0025)
        until(lambda p=process: p.poll() is not None or "counting from" in hw.stderr, what="the tap")
        rest(chance.uniform(0, 1.0))
        assert hurt(programs(hw.root, "target"), signal.SIGSTOP), hw.stderr
        assert wait_for_end(process, until, group_members, hw.root) == 1
        assert f"error: `{made.loader}` did nothing with its input for 2.0 s [no-sign-of-life]" in hw.stderr
        rows = warehouse.rows()
        assert rows == made.expected("number", len(rows))
        assert made.kept_state() <= len(rows)
        assert len(rows) % EVERY == 0
        figures("hang", f"target × {warehouse.name}")
    hw.ok(*made.argv(anew=False))
    assert warehouse.rows() == made.expected("number")


# Joints of a MiB each and what is in hand: of the programs a few lines, of ours what is read ahead and its Arrow form.
MOST_UNDERWAY = {"pipe": 4 << 20, "stage": 16 << 20}
MEMORY = 250 << 20


@pytest.mark.parametrize("road", ["pipe", "stage"])
def test_a_slow_target_holds_up_the_tap_and_costs_no_memory(road, until, figures, hw):
    """40 MB are read no faster than the target takes them, whether the kernel joins the two or we stand between."""
    hw.script("tap_numbers")
    hw.script("target_lines")
    tap = {
        "name": "tap-numbers",
        "namespace": "numbers",
        "executable": "./bin/tap_numbers",
        "capabilities": ["discover", "catalog", "state"],
        "config": {"upto": 2000, "padding": 20_000, "state_every": 50},
    }
    loader = {"name": "target-lines", "namespace": "lines", "executable": "./bin/target_lines"}
    plugins = {"extractors": [tap], "loaders": [{**loader, "config": {"pause": 0.002}}]}
    if road == "stage":
        mappings = [{"name": "keep", "config": {"stages": {"numbers": [{"filter": "id > 0"}]}}}]
        mapper = {"name": "map", "inherit_from": "meltano-map-transformer", "variant": "headwater"}
        plugins["mappers"] = [{**mapper, "mappings": mappings}]
    hw.write("headwater.yml", json.dumps({"plugins": plugins}))
    process = hw.start("run", "tap-numbers", *(["keep"] if road == "stage" else []), "target-lines")
    until(lambda: programs(hw.root, "target_lines"), what="the target")
    most, memory = 0, 0
    while process.poll() is None:
        most = max(most, said(programs(hw.root, "tap_numbers")) - loaded(hw.root))
        memory = max(memory, held(process.pid))
        rest(0.05)
    assert process.wait() == 0, hw.stderr
    assert loaded(hw.root) > 40_000_000
    assert most < MOST_UNDERWAY[road]
    assert memory < MEMORY
    figures("slow target", road)
    figures.most("slow target", f"MB between tap and target ({road})", round(most / 1e6, 1))
    figures.most("slow target", f"MB of memory ({road})", round(memory / 1e6))


def said(pids):
    """Bytes that the programs have written."""
    return sum(int(line.split()[1]) for pid in pids for line in _lines(pid, "io") if line.startswith("wchar"))


def held(pid):
    """Bytes of memory of a process."""
    return sum(int(line.split()[1]) << 10 for line in _lines(pid, "status") if line.startswith("VmRSS"))


def loaded(root):
    file = root / "loaded.jsonl"
    return file.stat().st_size if file.exists() else 0


def _lines(pid, name):
    try:
        return Path(f"/proc/{pid}/{name}").read_text().splitlines()
    except OSError:  # it has just gone
        return []


@pytest.mark.parametrize("warehouse", ["postgres"], indirect=True)
def test_a_server_that_hangs(pipeline, warehouse, postgres, until, group_members, hw):
    made = pipeline("append")
    process = hw.start(*made.argv(anew=True), "--timeout", "3", TAP_NUMBERS_PAUSE=0.004)
    find = "select pid from pg_stat_activity where application_name like 'headwater %'"
    until(lambda: postgres.sql(find), what="the session")
    ((backend,),) = postgres.sql(find)
    os.kill(backend, signal.SIGSTOP)
    try:
        assert wait_for_end(process, until, group_members, hw.root) == 1
    finally:
        os.kill(backend, signal.SIGCONT)
    assert "stopped after 3.0 s, the time limit of the run [timed-out]" in hw.stderr
    hw.ok(*made.argv(anew=False), TAP_NUMBERS_PAUSE=0)
    assert warehouse.rows() == made.expected("number")


@contextlib.contextmanager
def stopped(server):
    """All processes of a server stand still: it keeps its connections, and answers nobody."""
    first = listener(server.port)
    family = [first, *(int(pid) for pid in Path(f"/proc/{first}/task/{first}/children").read_text().split())]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("warehouse", ["postgres", "mysql"], indirect=True)
def test_a_server_that_hangs_is_named(pipeline, warehouse, until, group_members, figures, hw):
    made = pipeline("upsert")
    process = hw.start(*made.argv(anew=True), **IDLE, TAP_NUMBERS_PAUSE=0.004)
    until(warehouse.reached, what="a commit")
    with stopped(warehouse.server):
        assert wait_for_end(process, until, group_members, hw.root) == 1
    product = {"postgres": "PostgreSQL", "mysql": "MySQL"}[warehouse.name]
    said_so = f"error: {product} at 127.0.0.1:{warehouse.server.port} did nothing for 2.0 s [no-sign-of-life]"
    assert said_so in hw.stderr
    assert warehouse.rows() == made.expected("number", warehouse.reached())
    hw.ok(*made.argv(anew=False), TAP_NUMBERS_PAUSE=0)
    assert warehouse.rows() == made.expected("number")
    figures("hang", f"server × {warehouse.name}")


def test_a_source_server_that_hangs_is_named(postgres, until, group_members, figures, hw):
    postgres.sql("drop database if exists slow with (force)")
    postgres.sql("create database slow")
    postgres.sql("create view slow as select n as id, pg_sleep(0.1)::text from generate_series(1, 1000) n", "slow")
    config = {"host": postgres.host, "port": postgres.port, "user": postgres.user, "password": postgres.password}
    tap = {"name": "tap-postgres", "variant": "headwater", "config": {**config, "database": "slow"}}
    loader = {"name": "target-duckdb", "variant": "headwater"}
    hw.write("headwater.yml", json.dumps({"plugins": {"extractors": [tap], "loaders": [loader]}}))
    process = hw.start("run", "tap-postgres", "target-duckdb", TAP_POSTGRES__IDLE_TIMEOUT_SECONDS=2)
    reads = "select 1 from pg_stat_activity where application_name like 'headwater: reading %' and state = 'active'"
    until(lambda: postgres.sql(reads), what="the query")
    rest(0.5)
    with stopped(postgres):
        assert wait_for_end(process, until, group_members, hw.root) == 1
    said_so = f"error: PostgreSQL at 127.0.0.1:{postgres.port} did nothing for 2.0 s [no-sign-of-life]"
    assert said_so in hw.stderr
    figures("hang", "source server × postgres")
