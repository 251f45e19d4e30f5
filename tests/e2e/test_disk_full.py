"""A disk that really is full, and a file that really may not grow: exit 3, and nothing half-written."""

from __future__ import annotations

import subprocess
from contextlib import suppress

import pytest

PROJECT = """\
default_environment: dev
environments: [{name: dev}]
plugins:
  extractors:
  - name: tap-numbers
    namespace: numbers
    executable: ./bin/tap_numbers
    capabilities: [discover, catalog, state]
    settings: [{name: upto, kind: integer}, {name: state_every, kind: integer}]
    config: {upto: 10, padding: 60000, noise: true, state_every: 10}
  loaders:
  - name: target-duckdb
    variant: headwater
    config: {filepath: small/warehouse.duckdb}
  - name: target-jsonl
    variant: headwater
    config: {destination_path: small}
  - name: target-parquet
    variant: headwater
    config: {destination_path: small}
"""


@pytest.fixture
def small(project):
    """A project whose folder `small` is a disk of 8 MB; where none may be mounted, no file may exceed 8 MB."""
    hw = project(PROJECT)
    hw.script("tap_numbers")
    disk = hw.root / "small"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", disk], capture_output=True, check=False)
    if mounted.returncode:
        hw.file_bytes = 8 << 20
    yield hw
    if not mounted.returncode:
        subprocess.run(["umount", "--lazy", disk], check=True)


def warehouse(hw):
    return hw.query("select count(*), max(id) from numbers.numbers", "small/warehouse.duckdb")


def test_a_full_disk_under_the_warehouse_keeps_the_old_rows(small):
    small.ok("run", "tap-numbers", "target-duckdb")
    done = small("run", "tap-numbers", "target-duckdb", TAP_NUMBERS_UPTO=600)
    assert done.code == 3
    assert done.error.replace(str(small.root), "ROOT") == (
        "error: no space left for `ROOT/small/warehouse.duckdb` [disk-full]\n"
        "  nothing of this commit was kept\n"
        "hint: free space, then run it again: df -h ROOT/small\n"
    )
    assert warehouse(small) == [(10, 10)]
    assert small.state("dev:tap-numbers-to-target-duckdb") == {"bookmarks": {"numbers": {"id": 10}}}
    small.ok("run", "tap-numbers", "target-duckdb", TAP_NUMBERS_UPTO=20)
    assert warehouse(small) == [(20, 20)]


def test_a_warehouse_file_that_may_not_grow_keeps_the_old_rows(small):
    small.ok("run", "tap-numbers", "target-duckdb")
    small.file_bytes = 4 << 20
    done = small("run", "tap-numbers", "target-duckdb", TAP_NUMBERS_UPTO=200)
    assert done.code == 3
    assert "Traceback" not in done.err
    assert "warehouse.duckdb" in done.error
    small.file_bytes = None
    assert warehouse(small) == [(10, 10)]


@pytest.mark.parametrize(("loader", "suffix"), [("target-jsonl", ".jsonl"), ("target-parquet", ".parquet")])
def test_a_full_disk_under_files_leaves_no_half_file(small, loader, suffix):
    small.ok("run", "tap-numbers", loader)
    before = files(small, suffix)
    done = small("run", "tap-numbers", loader, TAP_NUMBERS_UPTO=600)
    assert done.code == 3
    assert "[cannot-write]" in done.error
    assert "no space left on device" in done.error or "file too large" in done.error
    assert files(small, suffix) == before
    assert small.state(f"dev:tap-numbers-to-{loader}") == {"bookmarks": {"numbers": {"id": 10}}}
    small.ok("run", "tap-numbers", loader, TAP_NUMBERS_UPTO=20)
    assert len(files(small, suffix)) == 2


def files(hw, suffix):
    return {str(path): path.stat().st_size for path in (hw.root / "small").rglob(f"*{suffix}")}


def test_a_full_disk_under_the_spool_ends_the_run_and_loads_nothing(small):
    small.write("headwater.yml", PROJECT.replace("small/warehouse.duckdb", "warehouse.duckdb"))
    small.ok("run", "tap-numbers", "target-duckdb", HEADWATER_HOME="small")
    # No state for 60 MB, and memory for one: the rest goes to the run's folder.
    done = small(
        *("run", "tap-numbers", "target-duckdb"),
        HEADWATER_HOME="small",
        TARGET_DUCKDB__MEMORY_BYTES=1_000_000,
        TAP_NUMBERS_UPTO=1000,
        TAP_NUMBERS_STATE_EVERY=1_000_000,
    )
    assert done.code == 3
    assert "Traceback" not in done.err
    assert "disk is full" in done.error or "no space left" in done.error or "file too large" in done.error
    assert small.query("select count(*) from numbers.numbers") == [(10,)]
    small.ok("run", "tap-numbers", "target-duckdb", HEADWATER_HOME="small", TAP_NUMBERS_UPTO=20)
    assert small.query("select count(*) from numbers.numbers") == [(20,)]


def test_a_run_on_a_full_disk_says_so_before_it_starts(small):
    small.write("headwater.yml", PROJECT.replace("small/warehouse.duckdb", "warehouse.duckdb"))
    small.ok("run", "tap-numbers", "target-duckdb", HEADWATER_HOME="small")
    if small.file_bytes is not None:
        small.file_bytes = 0
    else:
        with suppress(OSError), (small.root / "small/fill").open("wb", buffering=0) as fill:
            while fill.write(bytes(4096)):
                pass
    done = small("run", "tap-numbers", "target-duckdb", HEADWATER_HOME="small", TAP_NUMBERS_UPTO=20)
    assert done.code == 3
    assert done.err.startswith("error: cannot use `")
    assert "small/headwater.db`: " in done.err
    assert "free space" in done.err
    assert small.query("select count(*) from numbers.numbers") == [(10,)]
