"""Two runs of one pipeline that start at the same moment: exactly one of them runs."""

from __future__ import annotations

import subprocess

import pytest

from .conftest import DATABASES, rest, times


@pytest.mark.parametrize("warehouse", DATABASES, indirect=True)
def test_of_two_that_start_at_once_one_runs(pipeline, warehouse, chance, figures, hw):
    made = pipeline("append")
    for number in range(1, times(7, 67) + 1):
        env = hw._env({"TAP_NUMBERS_UPTO": number * 50, "TAP_NUMBERS_PAUSE": 0.02})
        runs = []
        for _ in range(2):
            runs.append(
                subprocess.Popen(
                    hw.argv(*made.argv(anew=False)), cwd=hw.root, env=env, stderr=subprocess.PIPE, text=True
                )
            )
            rest(chance.uniform(0, 0.05))
        told = [run.communicate(timeout=60)[1] for run in runs]
        assert sorted(run.returncode for run in runs) == [0, 1], told
        (refused,) = [text for run, text in zip(runs, told, strict=True) if run.returncode]
        assert "[already-running]" in refused
        assert warehouse.rows() == made.expected("number", number * 50)
        figures("two starts within 50 ms", warehouse.name)
