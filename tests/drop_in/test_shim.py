"""A program named `meltano` that starts Headwater is all that a script needs."""

from __future__ import annotations

import sys
from pathlib import Path

from drop_in import ASPECTS, Case, play

SCRIPT = ("config print tap-notes", "run tap-notes target-lines", "run nope", "state list", "invoke say:fail")


def test_a_shim_of_meltanos_name_answers_as_headwater_does(tmp_path):
    headwater = Path(sys.executable).parent / "headwater"
    shim = tmp_path / "bin" / "meltano"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {headwater} "$@"\n')
    shim.chmod(0o755)
    case = Case(name="shim", command="", says="", script=SCRIPT, project="running")
    ours = play(case, (str(headwater),), tmp_path / "headwater")
    theirs = play(case, (str(shim),), tmp_path / "shim")
    assert ASPECTS["exit"](theirs) == [0, 0, 1, 0, 5]
    for aspect in ("exit", "lines", "loaded", "files"):
        assert ASPECTS[aspect](theirs) == ASPECTS[aspect](ours), aspect
