from __future__ import annotations

import json
import signal
import sys
import time

import duckdb
import pyarrow as pa
import pytest
from msgspec import Struct

from headwater.connect import registry
from headwater.connect.contract import Checkpoint, Rows, Schema
from headwater.connect.sources import files
from headwater.model.catalog import Catalog, CatalogStream, Metadata
from headwater.model.event import Adjusted, Outcome
from headwater.store import states
from headwater.testing.sessions import contents

THREE = "say(schema); record(1); record(2); state(2); record(3); state(3)"


@pytest.fixture
def into(lab, monkeypatch):
    """A native loader that keeps its rows in a file."""
    monkeypatch.setitem(registry.DESTINATIONS, "memory", "headwater.testing.sessions")

    def block(**config):
        return lab.block("loader", native="memory", argv=(), config={"path": str(lab.root / "there")} | config)

    return block


def there(lab):
    return contents(lab.root / "there")


def ids(lab):
    return [row["id"] for _, row in there(lab)["rows"]]


def test_rows_state_and_figures_agree(lab, into):
    assert lab.run(THREE, into()) is Outcome.SUCCESS
    assert (ids(lab), there(lab)["checkpoint"], there(lab)["final"]) == ([1, 2, 3], '{"n":3}', True)
    figures = lab.figures["s"]
    assert (figures.read, figures.loaded, figures.rejected, figures.filtered) == (3, 3, 0, 0)
    assert figures.size > 0
    assert (lab.state, lab.checkpoints) == ('{"n":3}', ['{"n":3}'])
    assert [event.change for event in lab.of(Adjusted)] == ["table-created"]


def test_the_state_is_the_text_that_the_tap_wrote(lab, into):
    lab.run("""say(schema, '{"type":"STATE","value": {"a" : 1.0, "é":100000000000000000000} }')""", into())
    assert lab.state == '{"a" : 1.0, "é":100000000000000000000}'


def test_rows_after_the_last_state_are_loaded_when_the_tap_ends_well(lab, into):
    lab.run(THREE + "; record(4)", into())
    assert (ids(lab), lab.state) == ([1, 2, 3, 4], '{"n":3}')


def test_without_any_state_rows_are_loaded_and_no_state_is_made_up(lab, into):
    assert lab.run("say(schema); record(1)", into()) is Outcome.SUCCESS
    assert (ids(lab), there(lab)["checkpoint"], lab.state) == ([1], None, None)


@pytest.mark.parametrize(
    "end", ["sys.exit('no more')", "os.kill(os.getpid(), 9)", "print('{\"type\"', end='', flush=True); os._exit(1)"]
)
def test_of_a_tap_that_dies_only_what_a_state_covers_is_loaded(lab, into, end):
    assert lab.run(f"say(schema); record(1); state(1); record(2); {end}", into()) is Outcome.FAILED
    assert lab.problem.reference == "extractor-failed"
    assert (ids(lab), lab.state, there(lab)["final"]) == ([1], '{"n":1}', False)


def test_a_tap_that_dies_before_any_state_leaves_nothing(lab, into):
    assert lab.run("say(schema); record(1); sys.exit(1)", into()) is Outcome.FAILED
    assert there(lab)["commits"] == 0


def test_log_lines_on_stdout_are_shown_and_end_the_run(lab, into):
    assert (
        lab.run("say(schema); record(1); state(1); record(2); say('INFO working'); record(3)", into()) is Outcome.FAILED
    )
    assert lab.problem.reference == "tap-logs-to-stdout"
    assert ids(lab) == [1]


def test_when_the_destination_fails_no_state_is_written(lab, into):
    assert lab.run(THREE, into(fails_at=1)) is Outcome.FAILED
    assert (lab.problem.reference, there(lab)["commits"], lab.state, lab.checkpoints) == ("disk-full", 0, None, [])


ID = pa.schema([("id", pa.int64())])


class Waiting:
    """A native source that has a row, and waits for more until it is told to stop."""

    class Settings(Struct):
        pass

    was_told = False

    @staticmethod
    def discover(_settings):
        selected = Metadata(breadcrumb=[], metadata={"selected": True})
        return Catalog(streams=[CatalogStream(tap_stream_id="s", metadata=[selected])])

    @staticmethod
    def signature(_settings):
        return None

    @classmethod
    def read(cls, _settings, request):
        yield Schema(stream="s", columns=ID)
        yield Rows(stream="s", batch=pa.RecordBatch.from_pylist([{"id": 1}], ID))
        yield Checkpoint(state=b'{"n":1}')
        until = time.monotonic() + 30
        while not request.should_stop() and time.monotonic() < until:
            time.sleep(0.01)
        cls.was_told = time.monotonic() < until


@pytest.mark.parametrize("when", [{"commit_bytes": 1}, {"commit_seconds": 0.2}], ids=["at a state", "while it waits"])
def test_a_native_source_is_told_to_stop_when_the_destination_fails(lab, into, monkeypatch, when):
    monkeypatch.setitem(sys.modules, "waiting", Waiting)
    monkeypatch.setitem(registry.SOURCES, "waiting", "waiting")
    monkeypatch.setattr(Waiting, "was_told", False)
    tap = lab.block("extractor", native="waiting", argv=(), config={})
    assert lab.run(tap, into(fails_at=1), **when) is Outcome.FAILED
    assert (lab.problem.reference, Waiting.was_told) == ("disk-full", True)


def test_a_receipt_that_misses_rows_fails_the_run(lab, into):
    assert lab.run(THREE, into(loses=1)) is Outcome.FAILED
    assert (lab.problem.reference, lab.problem.what) == (
        "count-mismatch",
        "stream `s`: 3 rows were given to `target-x`, its receipt says 2 in, 2 taken, 0 set aside",
    )
    assert lab.state is None


def test_a_commit_comes_after_enough_bytes_or_seconds_but_only_at_a_state(lab, into):
    lab.run("say(schema)\nfor n in range(4): record(n); state(n); time.sleep(0.2)", into(), commit_bytes=1)
    assert there(lab)["commits"] == 5
    lab.run("say(schema); record(1); time.sleep(0.5); state(1); time.sleep(0.5); record(2)", into(), commit_seconds=0.2)
    assert there(lab)["commits"] == 7


def test_a_silent_tap_does_not_hold_back_what_its_state_covers(lab, into):
    seen = []
    lab.later(lambda: there(lab)["commits"] == 1, lambda: (seen.append(ids(lab)), lab.cancel.set(signal.SIGTERM)))
    tap = "say(schema); record(1); state(1); time.sleep(0.1); record(2); time.sleep(60)"
    assert lab.run(tap, into(), commit_seconds=0.5) is Outcome.CANCELLED
    assert (seen, ids(lab)) == ([[1]], [1])


def test_a_cancelled_run_commits_what_its_last_state_covers(lab, into):
    lab.later(lambda: "ready" in lab.lines, lambda: lab.cancel.set(signal.SIGINT))
    tap = "say(schema); record(1); state(1); record(2); log('ready'); time.sleep(60)"
    assert lab.run(tap, into()) is Outcome.CANCELLED
    assert (lab.problem.exit_code, ids(lab), lab.state) == (130, [1], '{"n":1}')


def test_an_aborted_run_writes_nothing_more(lab, into):
    lab.later(lambda: "ready" in lab.lines, lambda: (lab.cancel.set(signal.SIGINT), lab.cancel.abort()))
    assert lab.run("say(schema); record(1); state(1); log('ready'); time.sleep(60)", into()) is Outcome.CANCELLED
    assert there(lab)["commits"] == 0


def test_a_hang_is_ended(lab, into):
    tap = "say(schema); record(1); state(1); time.sleep(60)"
    assert lab.run(tap, into(), idle_timeout_seconds=1.5) is Outcome.FAILED
    assert (lab.problem.reference, ids(lab)) == ("no-sign-of-life", [1])


STATE = "a = sys.argv; log(open(a[a.index('--state') + 1]).read() if '--state' in a else 'none')"


def test_the_checkpoint_that_stands_with_the_data_outranks_the_copy(lab, into):
    lab.run(THREE, into())
    states.save(lab.keeping.states, "dev:tap-x-to-target-x", '{"n":99}', run_id="other")
    lab.run(STATE, into())
    assert lab.lines == ['{"n":3}']
    assert any("the destination's counts" in text for text in lab.notices)


def test_what_a_person_sets_outranks_it_once(lab, into):
    lab.run(THREE, into())
    states.set_state(lab.keeping.states, "dev:tap-x-to-target-x", '{"singer_state":{"n":1}}')
    lab.run(STATE + "; say(schema); state(5)", into())
    assert lab.lines == ['{"n":1}']
    lab.run(STATE, into())
    assert lab.lines == ['{"n":5}']


def test_a_cleared_state_starts_from_the_beginning(lab, into):
    lab.run(THREE, into())
    states.clear_state(lab.keeping.states, "dev:tap-x-to-target-x")
    lab.run(STATE, into())
    assert lab.lines == ["none"]


def test_a_destination_that_lost_its_data_is_loaded_from_the_beginning(lab, into):
    lab.run(THREE, into())
    (lab.root / "there").unlink()
    lab.run(STATE, into())
    assert lab.lines == ["none"]
    assert any("no data of this pipeline any more" in text for text in lab.notices)


def test_a_state_from_another_loader_is_taken_over(lab, into):
    states.save(lab.keeping.states, "dev:tap-x-to-target-x", '{"n":7}', run_id="pipe")
    lab.run(STATE, into())
    assert lab.lines == ['{"n":7}']


def test_an_empty_state_replaces_nothing(lab, into):
    lab.run(THREE, into())
    lab.run("""say(schema); record(4); say('{"type":"STATE","value":{}}')""", into())
    assert (there(lab)["checkpoint"], lab.state, ids(lab)) == ('{"n":3}', '{"n":3}', [1, 2, 3, 4])


def test_a_full_refresh_keeps_the_bookmarks_of_other_streams(lab, into):
    lab.run("""say(schema, '{"type":"STATE","value":{"s":1,"t":5}}')""", into())
    lab.run("""say(schema, '{"type":"STATE","value":{"s":2}}')""", into(), full_refresh=True)
    assert lab.state == there(lab)["checkpoint"] == '{"s":2,"t":5}'


def test_records_pass_through_a_mapper_on_their_way(lab, into):
    mapper = (
        'import sys\nfor line in sys.stdin: print(line.replace(\'"record":{"id":\', \'"record":{"id":10\'), end=\'\')'
    )
    assert lab.run(THREE, into(), mapper=mapper) is Outcome.SUCCESS
    assert ids(lab) == [101, 102, 103]


def test_rejected_records_are_counted(lab, into):
    tap = lab.block(
        "extractor",
        'say(schema); record(1); say(\'{"type":"RECORD","stream":"s","record":{"id":null}}\')',
        extras={"on_bad_record": "quarantine"},
    )
    assert lab.run(tap, into()) is Outcome.SUCCESS
    figures = lab.figures["s"]
    assert figures.read == figures.loaded + figures.rejected + figures.filtered == 2


def test_a_wrong_setting_is_the_users_to_fix(lab, into):
    assert lab.run(THREE, into(pth="x")) is Outcome.FAILED
    assert (lab.problem.exit_code, lab.problem.hint) == (2, "did you mean `path`?")


def test_a_tap_loads_into_duckdb_and_again_without_a_row_moving(lab):
    file = lab.root / "w.duckdb"
    target = lab.block("loader", native="duckdb", argv=(), config={"filepath": str(file)})
    assert lab.run(THREE, target) is Outcome.SUCCESS
    assert lab.run(THREE, target) is Outcome.SUCCESS
    with duckdb.connect(str(file), read_only=True) as connection:
        assert connection.sql("select id from tap_x.s order by id").fetchall() == [(1,), (2,), (3,)]


KEYLESS = """say(schema.replace('["id"]', '[]')); record(1); record(2); state(2)"""


def warehouse_ids(lab):
    with duckdb.connect(str(lab.root / "w.duckdb"), read_only=True) as connection:
        return [row[0] for row in connection.sql("select id from tap_x.s order by id").fetchall()]


def test_a_full_refresh_replaces_a_stream_without_keys(lab):
    loader = lab.block("loader", native="duckdb", argv=(), config={"filepath": str(lab.root / "w.duckdb")})
    lab.run(KEYLESS, loader)
    lab.run(KEYLESS, loader)
    assert warehouse_ids(lab) == [1, 1, 2, 2]
    assert lab.run(KEYLESS, loader, full_refresh=True) is Outcome.SUCCESS
    assert warehouse_ids(lab) == [1, 2]


def test_so_does_a_load_whose_state_a_person_cleared(lab):
    loader = lab.block("loader", native="duckdb", argv=(), config={"filepath": str(lab.root / "w.duckdb")})
    lab.run(KEYLESS, loader)
    states.clear_state(lab.keeping.states, "dev:tap-x-to-target-x")
    assert lab.run(KEYLESS, loader) is Outcome.SUCCESS
    assert (warehouse_ids(lab), lab.state) == ([1, 2], '{"n":2}')


def test_a_tap_without_states_adds_its_rows_each_time(lab):
    loader = lab.block("loader", native="duckdb", argv=(), config={"filepath": str(lab.root / "w.duckdb")})
    silent = KEYLESS.replace("; state(2)", "")
    assert "state(" not in silent
    lab.run(silent, loader)
    lab.run(silent, loader)
    assert warehouse_ids(lab) == [1, 1, 2, 2]


def test_a_replaced_stream_and_its_state_wait_for_the_end(lab):
    loader = lab.block("loader", native="duckdb", argv=(), config={"filepath": str(lab.root / "w.duckdb")})
    lab.run(KEYLESS, loader)
    failing = KEYLESS.replace("state(2)", "state(7)") + "; sys.exit(1)"
    assert lab.run(failing, loader, full_refresh=True, commit_seconds=0) is Outcome.FAILED
    assert (warehouse_ids(lab), lab.state) == ([1, 2], '{"n":2}')


def test_a_loader_that_overwrites_keeps_no_state_of_a_failed_run(lab):
    config = {"filepath": str(lab.root / "w.duckdb"), "load_method": "overwrite"}
    loader = lab.block("loader", native="duckdb", argv=(), config=config)
    lab.run(THREE, loader)
    assert lab.run("say(schema); record(9); state(9); sys.exit(1)", loader, commit_seconds=0) is Outcome.FAILED
    assert (warehouse_ids(lab), lab.state) == ([1, 2, 3], '{"n":3}')
    assert lab.run("say(schema); record(9); state(9)", loader) is Outcome.SUCCESS
    assert (warehouse_ids(lab), lab.state) == ([9], '{"n":9}')


def test_what_is_not_selected_is_dropped_when_the_tap_sends_it_all_the_same(lab, into):
    properties = {"properties": {"id": {"type": "integer"}}}
    streams = [
        {
            "tap_stream_id": name,
            "schema": properties,
            "metadata": [{"breadcrumb": [], "metadata": {"selected": wanted}}],
        }
        for name, wanted in {"s": True, "other": False}.items()
    ]
    (lab.root / "catalog.json").write_text(json.dumps({"streams": streams}))
    other = """say(schema.replace('"s"', '"other"'), '{"type":"RECORD","stream":"other","record":{"id":9}}'); """
    assert lab.run(other + THREE, into(), catalog_file="catalog.json") is Outcome.SUCCESS
    assert ids(lab) == [1, 2, 3]
    assert lab.figures["other"].filtered == 1


BATCH = """
import gzip
with gzip.open('batches/1.jsonl.gz', 'wt') as file: file.write('{"id":1}\\n{"id":2}\\n')
say(schema, '{"type":"BATCH","stream":"s","encoding":{"format":"jsonl","compression":"gzip"},"manifest":["file://%s"]}'
    % os.path.abspath('batches/1.jsonl.gz'))
"""


def test_batch_files_are_read_from_the_folder_the_tap_is_told(lab, into):
    (lab.root / "batches").mkdir()
    config = {"batch_config": {"storage": {"root": f"file://{lab.root}/batches"}}}
    assert lab.run(BATCH, into(), tap_fields={"config": config}) is Outcome.SUCCESS
    assert ids(lab) == [1, 2]


def test_batch_files_are_read_from_nowhere_else(lab, into):
    (lab.root / "batches").mkdir()
    assert lab.run(BATCH, into()) is Outcome.FAILED
    assert lab.problem.reference == "batch-outside-roots"


def test_a_full_refresh_puts_narrower_values_into_a_column_that_once_grew(lab):
    loader = lab.block("loader", native="duckdb", argv=(), config={"filepath": str(lab.root / "w.duckdb")})
    text = """say(schema.replace('["id"]', '[]').replace('integer', 'string')); """
    lab.run(text + """say('{"type":"RECORD","stream":"s","record":{"id":"x"}}'); state(1)""", loader)
    assert lab.run(KEYLESS, loader).value == "failed"
    assert lab.run(KEYLESS, loader, full_refresh=True) is Outcome.SUCCESS
    assert warehouse_ids(lab) == ["1", "2"]


def a_large_csv(lab, monkeypatch, values):
    monkeypatch.setattr(files.delivery, "SAMPLE", 256)
    monkeypatch.setattr(files, "_LEAST_SAMPLE", 256)
    monkeypatch.setattr(files.delivery.csv, "_BLOCK", 1024)
    lines = "\n".join(["id,v", *(f"{number},{value}" for number, value in enumerate(values))])
    (lab.root / "s.csv").write_text(lines + "\n")
    tap = lab.block("extractor", native="files", argv=(), config={"path": str(lab.root / "s.csv")})
    return tap, lab.block("loader", native="jsonl", argv=(), config={"destination_path": str(lab.root / "out")})


def found(lab):
    lines = [line for path in sorted((lab.root / "out" / "s").glob("*.jsonl")) for line in path.open()]
    return [(row["id"], row["v"]) for row in map(json.loads, lines)]


def test_a_file_that_turns_out_otherwise_is_read_again_and_stands_once(lab, monkeypatch):
    tap, target = a_large_csv(lab, monkeypatch, [*["1.50"] * 400, "n/a"])
    assert lab.run(tap, target) is Outcome.SUCCESS
    assert found(lab) == [*((number, "1.50") for number in range(400)), (400, "n/a")]
    assert (lab.figures["s"].read, lab.figures["s"].loaded) == (401, 401)
    assert any("reading again from the last checkpoint" in text for text in lab.notices)
    assert lab.run(tap, target) is Outcome.SUCCESS
    assert len(found(lab)) == 401


def test_a_file_that_is_stopped_in_the_middle_leaves_nothing(lab, monkeypatch):
    tap, target = a_large_csv(lab, monkeypatch, ["1.50"] * 400)
    seen = []

    def rows(*given):
        for one in original(*given):
            seen.append(one)
            if len(seen) == 3:
                lab.cancel.set(signal.SIGTERM)
            yield one

    original = files.delivery._messages
    monkeypatch.setattr(files.delivery, "_messages", rows)
    assert lab.run(tap, target) is Outcome.CANCELLED
    assert len(seen) == 3
    assert found(lab) == []
