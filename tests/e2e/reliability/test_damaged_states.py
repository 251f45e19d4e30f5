"""State files that were cut or had bits flipped: never a silent start from the beginning, never an older bookmark than
the data have."""

from __future__ import annotations

import json

import pytest

from .conftest import times


def damaged(chance, data):
    data = bytearray(data)
    if chance.random() < 0.4:
        return bytes(data[: chance.randrange(len(data))])
    for _ in range(chance.randint(1, 3)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


@pytest.mark.parametrize("warehouse", ["duckdb"], indirect=True)
@pytest.mark.parametrize("generations", [1, 3])
def test_with_the_data_stands_a_checkpoint_that_counts(pipeline, warehouse, generations, chance, figures, hw):
    made = pipeline("append")
    hw.environ["MELTANO_STATE_BACKEND_URI"] = f"file://{hw.root}/states"
    upto = 0
    for _ in range(generations):
        upto += 50
        hw.ok(*made.argv(anew=False), TAP_NUMBERS_UPTO=upto, TAP_NUMBERS_PAUSE=0)
    (file,) = (hw.root / "states").glob("*/state.json")
    for _ in range(times(10, 100)):
        file.write_bytes(damaged(chance, file.read_bytes()))
        upto += 50
        done = hw(*made.argv(anew=False), TAP_NUMBERS_UPTO=upto, TAP_NUMBERS_PAUSE=0)
        assert done.code == 0, done.err
        assert warehouse.rows() == made.expected("number", upto)
        assert made.kept_state() == upto
        figures("state corruption", "native destination")


@pytest.mark.parametrize("generations", [1, 3])
def test_without_a_checkpoint_the_run_stops_or_goes_on_from_a_generation_and_says_so(hw, chance, figures, generations):
    """Into a program that keeps no checkpoint, the kept state is all there is."""
    hw.script("tap_numbers")
    hw.script("target_lines")
    plugins = {
        "extractors": [
            {
                "name": "tap-numbers",
                "namespace": "numbers",
                "executable": "./bin/tap_numbers",
                "capabilities": ["discover", "catalog", "state"],
                "settings": [{"name": "upto", "kind": "integer"}],
            }
        ],
        "loaders": [{"name": "target-lines", "namespace": "lines", "executable": "./bin/target_lines"}],
    }
    hw.write("headwater.yml", json.dumps({"plugins": plugins}))
    hw.environ["MELTANO_STATE_BACKEND_URI"] = f"file://{hw.root}/states"
    reached = []
    for number in range(1, generations + 1):
        reached.append(number * 10)
        hw.ok("run", "tap-numbers", "target-lines", TAP_NUMBERS_UPTO=reached[-1])
    (file,) = (hw.root / "states").glob("*/state.json")
    good = {path: path.read_bytes() for path in file.parent.glob("state.json*")}
    for _ in range(times(40, 400)):
        for path, data in good.items():
            path.write_bytes(data)
        (hw.root / "loaded.jsonl").write_text("")
        file.write_bytes(damaged(chance, good[file]))
        done = hw("run", "tap-numbers", "target-lines", TAP_NUMBERS_UPTO=reached[-1] + 5)
        begun = [json.loads(line)["id"] for line in (hw.root / "loaded.jsonl").read_text().splitlines()][:1]
        figures("state corruption", "Singer target")
        if done.code:
            assert "[damaged-state]" in done.err
            assert not begun
        elif begun != [reached[-1] + 1]:
            # An older generation, and a warning that says so.
            assert begun[0] - 1 in reached
            assert "is damaged" in done.err
