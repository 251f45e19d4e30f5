"""What a killed process leaves among temporary files is wiped by the next one; what a living one holds is not."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from headwater.base.files import write_atomic
from headwater.base.scratch import scratch

KILLED = """
import os, signal
from pathlib import Path
from headwater.base.scratch import scratch
with scratch() as folder:
    (folder / "rows.arrow").write_text("secret rows")
    os.kill(os.getpid(), signal.SIGKILL)
"""
KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from headwater.base import files
files.reach = lambda _name: os.kill(os.getpid(), signal.SIGKILL)
files.write_atomic(Path(sys.argv[1]), b"half")
"""


def test_the_scratch_folder_of_a_killed_process_is_wiped_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "headwater-notes").mkdir()  # of somebody else
    subprocess.run([sys.executable, "-c", KILLED], check=False)
    (left,) = tmp_path.glob("*/rows.arrow")
    with scratch() as living:
        (living / "rows.arrow").touch()
        assert living.stat().st_mode & 0o777 == 0o700
        assert not left.exists()
        with scratch():
            assert (living / "rows.arrow").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["headwater-notes"]


def test_a_half_written_file_of_a_killed_process_is_wiped_by_the_next_writer(tmp_path):
    path = tmp_path / "state.json"
    (tmp_path / ".state.json.original").touch()  # of somebody else
    subprocess.run([sys.executable, "-c", KILLED_WRITER, path], check=False)
    (left,) = tmp_path.glob(".state.json.headwater-*")
    write_atomic(path, b"one")
    assert left.exists()  # too young to tell
    os.utime(left, (time.time() - 100,) * 2)
    write_atomic(path, b"two")
    assert sorted(one.name for one in tmp_path.iterdir()) == [".state.json.original", "state.json"]
