"""The two programs, and `same`: plays a case with both and compares."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import stand_in_hub

from drop_in import MODE, Case, Program, answer, check, play, record, recorded

MELTANO = "meltano==4.4.1"
CONSTRAINTS = Path(__file__).parent / "constraints.txt"


@pytest.fixture(scope="session")
def meltano() -> Program:
    """Meltano in an environment of its own, built once on a machine for each state of constraints.txt."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "headwater-tests" / hashlib.sha256(CONSTRAINTS.read_bytes()).hexdigest()[:16]
    program = folder / "bin" / "meltano"
    if not (folder / "complete").exists():
        uv = [sys.executable, "-m", "uv", "--no-config"]  # the pins of this project are not those of Meltano
        subprocess.run([*uv, "venv", "--clear", "--python", sys.executable, folder], check=True)
        install = ["pip", "install", "--python", folder / "bin" / "python", "--constraint", CONSTRAINTS, MELTANO]
        subprocess.run([*uv, *install], check=True)
        (folder / "complete").touch()
    return (str(program),)


@pytest.fixture(scope="session")
def hub_url() -> Iterator[str]:
    with stand_in_hub.served() as url:
        yield url


@pytest.fixture
def same(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Case], None]:
    """Fails where Headwater's answer is not Meltano's and `differs` does not say so."""

    def compare(case: Case) -> None:
        # Nobody is there: a case that wants the hub says so.
        hub = {"MELTANO_HUB_URL": request.getfixturevalue("hub_url") if case.hub else "http://127.0.0.1:9"}
        # Headwater has the same plugins in its own index, and native ones: cases about a hub are elsewhere.
        mine = {**hub, "HEADWATER_HUB_OFFLINE": "1"}
        ours = answer(case, play(case, (str(Path(sys.executable).parent / "headwater"),), tmp_path / "headwater", mine))
        if MODE in ("record", "live"):
            program = request.getfixturevalue("meltano")
            theirs = answer(case, play(case, program, tmp_path / "meltano", hub))
            if MODE == "record":
                record(case, theirs)
            assert recorded(case) == theirs, "Meltano's answer is not the one that is kept"
        check(case, ours, recorded(case))

    return compare
