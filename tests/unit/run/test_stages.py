"""Native mappers on every road."""

from __future__ import annotations

import json
import signal

import pytest

from headwater.connect import registry
from headwater.model.event import Outcome
from headwater.testing.sessions import contents

ROWS = """
say('{"type":"SCHEMA","stream":"s","schema":{"properties":{"id":{"type":"integer"},"name":{"type":["null","string"]},'
    '"address":{"type":"object","properties":{"city":{"type":"string"}}}}},"key_properties":["id"]}')
for n in range(1, 6):
    say('{"type":"RECORD","stream":"s","record":{"id":%d,"name":"n%d","address":{"city":"c%d"}}}' % (n, n, n))
state(5)
"""
STAGES = {"s": [{"rename": {"id": "key"}}, {"filter": "key > 2"}, {"rename_stream": "t"}]}
COPY = "import sys\nfor line in sys.stdin:\n    print(line, end='', flush=True)\n"


@pytest.fixture
def native(lab, monkeypatch):
    monkeypatch.setitem(registry.DESTINATIONS, "memory", "headwater.testing.sessions")
    return lab.block("loader", native="memory", argv=(), config={"path": str(lab.root / "there")})


@pytest.fixture
def mapper(lab):
    def made(stages=STAGES, **config):
        return lab.block("mapper", native="map", argv=(), config={"stages": stages} | config)

    return made


def there(lab):
    return contents(lab.root / "there")


def records(lab, stream="t"):
    found = [json.loads(line) for line in lab.loaded]
    return [message["record"] for message in found if message["type"] == "RECORD" and message["stream"] == stream]


def figures(lab, stream):
    found = lab.figures[stream]
    return found.read, found.loaded, found.filtered, found.rejected


def test_from_a_tap_into_a_native_loader(lab, native, mapper):
    assert lab.run(ROWS, native, mappers=(mapper(),)) is Outcome.SUCCESS, lab.problem
    assert [(stream, row["key"]) for stream, row in there(lab)["rows"]] == [("t", 3), ("t", 4), ("t", 5)]
    assert list(lab.figures) == ["t"]
    assert figures(lab, "t") == (5, 3, 2, 0)
    assert lab.state == '{"n":5}'


def test_from_a_tap_into_a_target(lab, mapper):
    assert lab.run(ROWS, mappers=(mapper(),)) is Outcome.SUCCESS, lab.problem
    assert records(lab)[0] == {"key": 3, "name": "n3", "address": {"city": "c3"}}
    assert len(records(lab)) == 3
    assert figures(lab, "t") == (5, None, 2, None)
    assert lab.state == '{"n": 5}'


def test_before_and_after_a_program(lab, native, mapper):
    first, last = mapper(), mapper({"t": [{"compute": {"twice": "key * 2"}}, {"drop": ["name"]}]})
    program = lab.block("mapper", COPY)
    assert lab.run(ROWS, native, mappers=(first, program, last)) is Outcome.SUCCESS, lab.problem
    assert there(lab)["rows"][0] == ["t", {"key": 3, "address__city": "c3", "twice": 6}]


def test_a_dropped_stream_is_counted_under_its_own_name(lab, native, mapper):
    lab.run(ROWS, native, mappers=(mapper({"s": [{"filter": False}]}),))
    assert (figures(lab, "s"), there(lab)["rows"]) == ((5, 0, 5, 0), [])


def test_what_is_wrong_with_a_stage_is_told_before_the_tap_starts(lab, native, mapper):
    assert lab.run("log('started')", native, mappers=(mapper({"s": [{"fitler": "id > 2"}]}),)) is Outcome.FAILED
    assert (lab.problem.reference, lab.problem.hint, lab.lines) == ("unknown-step", "did you mean `filter`?", [])


@pytest.mark.parametrize("policy", ["fail", "quarantine"])
def test_a_row_that_a_stage_fails_on(lab, native, mapper, policy):
    stages = mapper({"s": [{"compute": {"part": "10 // (id - 3)"}}]})
    fields = {"extras": {"on_bad_record": policy}}
    outcome = lab.run("state(0)\n" + ROWS, native, mappers=(stages,), tap_fields=fields)
    if policy == "fail":
        assert (outcome, lab.problem.reference) == (Outcome.FAILED, "bad-record")
        assert lab.problem.what == "mapper `map-x`: row 3 of stream `s` cannot go on"
        assert "Division by zero" in lab.problem.why
    else:
        assert (outcome, figures(lab, "s")) == (Outcome.SUCCESS, (5, 4, 0, 1))


def test_a_row_that_a_stage_fails_on_ends_a_run_into_a_target_whatever_the_policy(lab, mapper):
    stages = mapper({"s": [{"compute": {"part": "10 // (id - 3)"}}]})
    outcome = lab.run(ROWS, mappers=(stages,), tap_fields={"extras": {"on_bad_record": "quarantine"}})
    assert (outcome, lab.problem.reference, lab.state) == (Outcome.FAILED, "bad-record", None)


def test_a_tap_that_dies_is_blamed_across_the_stages(lab, mapper):
    assert lab.run(ROWS + "\nsys.exit(3)", mappers=(mapper(),)) is Outcome.FAILED
    assert (lab.problem.reference, lab.problem.what) == (
        "extractor-failed",
        "extractor `tap-x` failed with exit code 3",
    )


def test_a_target_that_dies_is_blamed_and_the_tap_is_ended(lab, mapper):
    tap = ROWS + "\nwhile True: record(1); time.sleep(0.01)"
    assert lab.run(tap, "sys.exit('no space')", mappers=(mapper({}),)) is Outcome.FAILED
    assert (lab.problem.reference, lab.problem.why) == ("loader-failed", "no space")


def test_a_cancelled_run_keeps_what_the_target_said(lab, mapper):
    tap = ROWS + "\ntime.sleep(60)"
    lab.later(lambda: len(lab.loaded) > 4, lambda: lab.cancel.set(signal.SIGTERM))
    assert lab.run(tap, mappers=(mapper(),)) is Outcome.CANCELLED
    assert lab.state == '{"n": 5}'


def test_stream_maps_and_flattening_of_a_native_loader(lab, native):
    config = native.config | {"stream_maps": {"s": {"name": "name.upper()", "id": "id", "__else__": None}}}
    lab.run(ROWS, lab.block("loader", native="memory", argv=(), config=config))
    assert there(lab)["rows"][0] == ["s", {"name": "N1", "id": 1}]
    (lab.root / "there").unlink()
    config = native.config | {"flattening_enabled": False}
    lab.run(ROWS, lab.block("loader", native="memory", argv=(), config=config), state_id=None)
    assert there(lab)["rows"][0] == ["s", {"id": 1, "name": "n1", "address": '{"city":"c1"}'}]


def test_stream_maps_between_a_tap_and_a_target(lab):
    maps = {"s": {"city": "address.get('city')", "address": None, "__alias__": "people"}}
    mapper = lab.block("mapper", native="map", argv=(), config={"stream_maps": maps})
    assert lab.run(ROWS, mappers=(mapper,)) is Outcome.SUCCESS, lab.problem
    assert records(lab, "people")[0] == {"id": 1, "name": "n1", "city": "c1"}
