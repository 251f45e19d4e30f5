from __future__ import annotations

import random

import pyarrow as pa
import pytest

from headwater.connect.contract import StartOverError
from headwater.connect.spool import Spool


def batch(number):
    return pa.record_batch({"n": [number] * (1 + number % 3)})


def numbers(found):
    return [one.column(0)[0].as_py() for one in found]


@pytest.mark.parametrize("seed", range(20))
def test_it_gives_back_what_was_added_and_not_let_go_of(tmp_path, seed):
    chance = random.Random(seed)  # noqa: S311 - the same choices each time
    spool, there, forgotten, added = Spool(tmp_path, "s"), [], 0, 0
    for _ in range(200):
        match chance.choice(["add", "add", "add", "spill", "forget", "drop", "look"]):
            case "add":
                spool.add(batch(added))
                there.append(added)
                added += 1
            case "spill":
                spool.spill()
                assert spool.memory == 0
            case "forget":
                count = chance.randint(0, len(there))
                spool.forget(count)
                forgotten = max(forgotten, count)
            case "drop":
                count = chance.randint(0, len(there))
                spool.drop(count)
                there, forgotten = there[count:], max(0, forgotten - count)
            case _:
                start = chance.randint(0, len(there))
                end = chance.randint(start, len(there))
                if start < end and start < forgotten:
                    with pytest.raises(StartOverError):
                        list(spool.between(start, end))
                else:
                    assert numbers(spool.between(start, end)) == there[start:end]
        assert (len(spool), spool.has_forgotten()) == (len(there), forgotten > 0)
        assert spool.rows(len(there)) == sum(1 + number % 3 for number in there)
        assert spool.bytes() == sum(batch(number).nbytes for number in there)
        held = [batch(number).nbytes for number in there[forgotten:]]
        assert spool.memory <= sum(held)
        if not any(tmp_path.iterdir()):
            assert spool.memory == sum(held)
    spool.drop(len(spool))
    assert (list(tmp_path.iterdir()), spool.memory) == ([], 0)
