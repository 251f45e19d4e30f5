"""What is set aside, seen and changed from the command line."""

from __future__ import annotations

import json
import sys

import duckdb
import pytest

TAP = f"""#!{sys.executable}
import json
say = lambda **message: print(json.dumps(message), flush=True)
number = {{"type": ["null", "integer"]}}
text = {{"type": ["null", "string"]}}
properties = {{"id": number, "name": text, "price": text}}
say(type="SCHEMA", stream="things", schema={{"type": "object", "properties": properties}}, key_properties=["id"])
for row in json.load(open("rows.json")):
    say(type="RECORD", stream="things", record=row)
say(type="STATE", value={{"n": 1}})
"""
PROJECT = """\
default_environment: dev
environments: [{name: dev}]
plugins:
  extractors:
  - name: tap-things
    executable: ./bin/tap
    settings: [{name: token, sensitive: true}]
    config: {_on_bad_record: quarantine, token: canary-4711}
  mappers:
  - name: meltano-map-transformer
    variant: headwater
    mappings:
    - name: dear
      config:
        stages: {things: [{cast: {price: integer}}, {rename: {price: cents}}]}
  loaders:
  - name: target-duckdb
    variant: headwater
  - name: target-csv
    variant: headwater
"""
RUN = ("tap-things", "target-duckdb")


@pytest.fixture
def things(project, hw):
    def things(*rows):
        hw.write("rows.json", json.dumps(rows))
        return hw

    project(PROJECT)
    hw.write("bin/tap", TAP).chmod(0o755)
    return things


def execute(hw, statement):
    with duckdb.connect(str(hw.root / "warehouse.duckdb")) as connection:
        connection.execute(statement)


def listed(hw, *options):
    return json.loads(hw.ok("rejects", "list", "--json", *options).out)


def test_the_list_says_how_much_and_shows_the_newest(things):
    hw = things({"id": 1}, {"id": None, "name": "canary-4711 " + "x" * 100}, {"id": None, "name": "b"})
    hw.ok("run", *RUN)
    text = hw.ok("rejects", "list", "--limit", "1")
    first, _, third, *_ = text.out.splitlines()
    assert first.split() == ["run", "stream", "rejects", "set", "aside", "at", "pipeline"]
    assert third.split()[1:3] == ["things", "2"]
    assert "the key `id` has no value" in text.out
    start = '{"id": null, "name": "(redacted) '
    assert start + "x" * (80 - len(start)) + "…" in text.out
    assert "only the newest 1 of 2 are shown; --limit shows more" in text.err
    assert "canary" not in text.out + text.err
    found = listed(hw, *RUN, "--stream", "things")
    assert found["count"] == 2
    assert found["left"][0]["state_id"] == "dev:tap-things-to-target-duckdb"
    assert listed(hw, "--stream", "others")["count"] == listed(hw, "--run", "0-none")["count"] == 0
    assert listed(hw, "--run", found["left"][0]["run_id"][:8])["count"] == 2
    assert listed(hw, "--state-id", "dev:tap-things-to-target-duckdb")["count"] == 2


def test_one_record_is_shown_as_a_whole(things):
    hw = things({"id": None, "name": "x" * 200})
    hw.ok("run", *RUN)
    (one,) = listed(hw)["rejects"]
    text = hw.ok("rejects", "show", one["id"][:6]).out
    assert f"id            {one['id']}\n" in text
    assert "reason        the key `id` has no value\n" in text
    assert f"run           {one['run_id']}, commit 1\n" in text
    assert text.endswith('\n\n{"id": null, "name": "' + "x" * 200 + '"}\n')
    assert json.loads(hw.ok("rejects", "show", one["id"], "--json").out)["key"] == "id=null"
    done = hw("rejects", "show", "nope")
    assert (done.code, done.error) == (
        2,
        "error: there is no reject `nope` [no-such-reject]\nhint: headwater rejects list\n",
    )


def test_where_nothing_is_set_aside_every_command_says_so(things):
    hw = things({"id": 1})
    for command in ("list", "replay", "drop"):
        assert hw.ok("rejects", command).err == "nothing is set aside\n"
    hw.ok("run", *RUN)
    for command in ("list", "replay", "drop"):
        assert hw.ok("rejects", command).err == "nothing is set aside\n"


def test_dropping_asks_first(things):
    hw = things({"id": None}, {"id": None})
    hw.ok("run", *RUN)
    done = hw("rejects", "drop")
    assert done.code == 2
    assert "forget 2 rejected records for ever?" in done.out
    first, _ = listed(hw)["rejects"]
    assert hw.ok("rejects", "drop", "--id", first["id"], "--yes").err == "1 rejected record forgotten\n"
    assert listed(hw)["count"] == 1
    assert hw.ok("rejects", "drop", *RUN, "--yes").err == "1 rejected record forgotten\n"
    assert listed(hw)["count"] == 0
    assert hw.state("dev:tap-things-to-target-duckdb") == {"n": 1}


def test_what_a_stage_failed_on_goes_through_it_again(things):
    hw = things({"id": 1, "price": "10"}, {"id": 2, "price": "ten"}, {"id": 3})
    hw.ok("run", "tap-things", "dear", "target-duckdb")
    (one,) = listed(hw)["rejects"]
    assert json.loads(one["record"])["price"] == "ten"
    assert "cents" not in one["record"]
    done = hw("rejects", "replay")
    assert done.code == 2
    assert "[stages-missing]" in done.error
    hw.ok("rejects", "replay", "tap-things", "dear", "target-duckdb")
    assert listed(hw)["rejects"][0]["reason"] == one["reason"]
    hw.write("headwater.yml", PROJECT.replace("{cast: {price: integer}}, ", ""))
    done = hw.ok("rejects", "replay", "tap-things", "dear", "target-duckdb")
    assert listed(hw)["count"] == 0
    found = hw.query("select id, cents from tap_things.things order by id")
    assert [(number, None if cents is None else str(cents)) for number, cents in found] == [
        (1, "10"),
        (2, "ten"),
        (3, None),
    ]
    assert "rejects replay" in hw.ok("logs", "list").out


def test_what_a_database_refused_is_loaded_once_its_rule_is_gone(things):
    hw = things({"id": 1, "name": "good"})
    hw.ok("run", *RUN)
    execute(hw, "create table tap_things.fresh (id bigint, name varchar check (name <> 'bad'), price varchar)")
    execute(hw, "insert into tap_things.fresh select id, name, price from tap_things.things")
    execute(hw, "drop table tap_things.things")
    execute(hw, "alter table tap_things.fresh rename to things")
    things({"id": 2, "name": "bad"}, {"id": 3, "name": "fine"})
    hw.ok("run", *RUN)
    hw.ok("rejects", "replay", *RUN)
    assert [one["key"] for one in listed(hw)["rejects"]] == ["id=2"]
    execute(hw, "create table tap_things.fresh as from tap_things.things")
    execute(hw, "drop table tap_things.things")
    execute(hw, "alter table tap_things.fresh rename to things")
    things({"id": 3, "name": "later"})
    hw.ok("run", *RUN)
    hw.ok("rejects", "replay", *RUN)
    assert listed(hw)["count"] == 0
    assert hw.query("select id, name from tap_things.things order by id") == [(1, "good"), (2, "bad"), (3, "later")]


def test_a_column_that_was_declared_otherwise_since_stays_as_it_is(things):
    hw = things()
    required = TAP.replace('"type": "object", ', '"type": "object", "required": ["name"], ')
    hw.write("bin/tap", required.replace('"price": text', '"price": number').replace("rows.json", "first.json"))
    hw.write("first.json", json.dumps([{"id": 1, "name": "a", "price": 1}, {"id": 2, "price": 2}]))
    hw.ok("run", *RUN)
    hw.write("bin/tap", TAP)
    things({"id": 3, "price": "three"})
    hw.ok("run", *RUN)
    hw.ok("rejects", "replay", TAP_THINGS__CHECK_REQUIRED="false")
    prices = "select id, price from tap_things.things order by id"
    assert hw.query(prices) == [(1, "1"), (2, "2"), (3, "three")]
    hw.ok("run", *RUN)


def test_rejects_of_several_loaders_are_listed_and_replayed_together(things):
    hw = things({"id": None, "name": "a"})
    hw.ok("run", *RUN)
    hw.ok("run", "tap-things", "target-csv")
    assert {one["loader"] for one in listed(hw)["rejects"]} == {"target-duckdb", "target-csv"}
    done = hw.ok("rejects", "replay")
    assert "tap-things → target-csv: done" in done.err
    assert "tap-things → target-duckdb: done" in done.err
    assert listed(hw)["count"] == 2


def test_a_pipeline_that_keeps_no_rejects_is_refused(things):
    hw = things({"id": 1})
    done = hw("rejects", "list", "--state-id", "prod:tap-things-to-target-duckdb")
    assert (done.code, "[other-environment]" in done.error) == (2, True)
    done = hw("rejects", "replay", "--state-id", "dev:tap-x-to-target-y")
    assert (done.code, "[unknown-pipeline]" in done.error) == (2, True)
