"""Files that are either old or new: after a power cut, and under many writers."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from headwater.base.files import unversioned_folder, write_atomic


def test_a_file_has_its_name_only_when_it_is_on_the_disk(tmp_path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor):
        steps.append(("safe", Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def noted_replace(old, new):
        steps.append(("named", Path(old), Path(new)))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_atomic(tmp_path / "state.json", b"{}")
    (_, written), (_, old, new), (_, folder) = steps
    assert [step[0] for step in steps] == ["safe", "named", "safe"]
    assert (written, new, folder) == (old, tmp_path / "state.json", tmp_path)


def test_writers_at_once_never_mix(tmp_path):
    file = tmp_path / "state.json"
    contents = [bytes([65 + number]) * 100_000 for number in range(8)]
    write_atomic(file, contents[0])
    with ThreadPoolExecutor(8) as pool:
        written = [pool.submit(write_atomic, file, contents[number % 8]) for number in range(64)]
        seen = [file.read_bytes() for _ in range(200)]
        for one in written:
            one.result()
    assert {*seen, file.read_bytes()} <= {*contents}
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_git_leaves_a_folder_of_the_programs_own_alone_and_one_that_was_there_as_it_was(tmp_path):
    assert unversioned_folder(tmp_path / "own" / "home") == tmp_path / "own" / "home"
    assert (tmp_path / "own" / "home" / ".gitignore").read_text() == "*\n"
    unversioned_folder(tmp_path / "own")
    assert not (tmp_path / "own" / ".gitignore").exists()
