from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from headwater.base.errors import RunFailedError
from headwater.model.event import Level, Notice, Outcome, PluginLine
from headwater.run import chain
from headwater.store import states

THREE = "say(schema); record(1); record(2); state(2); record(3); state(3)"


def test_rows_and_state_arrive(lab):
    assert lab.run(THREE) is Outcome.SUCCESS
    assert [json.loads(line)["type"] for line in lab.loaded] == [
        "SCHEMA",
        "RECORD",
        "RECORD",
        "STATE",
        "RECORD",
        "STATE",
    ]
    assert lab.state == '{"n": 3}'
    assert lab.checkpoints[-1] == '{"n": 3}'


def test_the_next_run_starts_from_the_state_and_gets_config_and_catalog(lab):
    lab.run(THREE)
    lab.run("a = sys.argv; log(' '.join(open(a[a.index(o) + 1]).read() for o in ('--config', '--state')))")
    assert lab.lines == ['{"token": "(redacted)"} {"n": 3}']
    lab.run("catalog = open(sys.argv[sys.argv.index('--catalog') + 1]).read(); log(catalog[:34])")
    assert lab.lines == ['{"streams": [{"tap_stream_id": "s"']


def test_a_full_refresh_starts_from_the_beginning_and_keeps_the_other_bookmarks(lab):
    states.set_state(lab.keeping.states, "dev:tap-x-to-target-x", '{"singer_state":{"n":1,"other":5}}')
    lab.run(THREE + "; log(str('--state' in sys.argv))", full_refresh=True)
    assert lab.lines == ["False"]
    assert lab.state == '{"n":3,"other":5}'


def test_without_a_state_id_no_state_is_read_or_written(lab):
    lab.run(THREE, state_id=None)
    assert (lab.state, lab.keeping.states.ids()) == (None, [])


def test_records_pass_through_a_mapper(lab):
    mapper = (
        'import sys\nfor line in sys.stdin: print(line.replace(\'"record":{"id":\', \'"record":{"id":10\'), end=\'\')'
    )
    assert lab.run(THREE, mapper=mapper) is Outcome.SUCCESS
    assert '"id":103' in lab.loaded[4]


def test_a_tap_that_dies_is_blamed_with_its_last_error(lab):
    tap = "say(schema); record(1); state(1); record(2); log('CRITICAL token hunter22 expired'); log('bye'); sys.exit(3)"
    assert lab.run(tap) is Outcome.FAILED
    assert (lab.problem.reference, lab.problem.what, lab.problem.why) == (
        "extractor-failed",
        "extractor `tap-x` failed with exit code 3",
        "CRITICAL token (redacted) expired",
    )
    assert lab.state == '{"n": 1}'


def test_a_tap_that_is_killed_in_the_middle_of_a_line_is_blamed_and_not_the_target(lab):
    tap = "say(schema); print('{\"type\":', end='', flush=True); os.kill(os.getpid(), 9)"
    assert lab.run(tap) is Outcome.FAILED
    assert lab.problem.what == "extractor `tap-x` was killed by SIGKILL"
    assert "JSONDecodeError" in "".join(lab.lines)


def test_a_target_that_dies_ends_the_run_and_the_tap(lab):
    tap = "say(schema)\nwhile True: record(1)"
    assert lab.run(tap, "sys.stdin.readline(); raise ValueError('disk full')") is Outcome.FAILED
    assert (lab.problem.reference, lab.problem.why) == ("loader-failed", "ValueError: disk full")


def test_a_target_that_ends_early_with_success_has_failed(lab):
    tap = "say(schema)\nwhile True: record(1)"
    assert lab.run(tap, "sys.stdin.readline(); sys.exit(0)") is Outcome.FAILED
    assert (lab.problem.reference, lab.problem.what) == (
        "loader-quit-early",
        "loader `target-x` ended before it had read everything",
    )


def test_a_tap_that_still_tidies_up_after_its_last_line_is_waited_for(lab):
    assert lab.run(THREE + "; os.close(1); time.sleep(0.4); sys.stdout = None; os._exit(0)") is Outcome.SUCCESS


@pytest.mark.parametrize("who", ["tap", "target"])
def test_what_a_program_leaves_running_does_not_hold_up_the_run(lab, monkeypatch, who):
    monkeypatch.setattr(chain, "GRACE", 0.3)
    leave = "; import subprocess; subprocess.Popen(['sleep', '60'], stderr=subprocess.DEVNULL)"
    tap, target = (THREE + leave, "load()") if who == "tap" else (THREE, "load()" + leave)
    started = time.monotonic()
    assert lab.run(tap, target) is Outcome.SUCCESS
    assert (lab.state, time.monotonic() - started < 40) == ('{"n": 3}', True)


def test_a_mapper_that_dies_ends_its_neighbours(lab):
    tap = "say(schema)\nwhile True: record(1)"
    assert lab.run(tap, mapper="import sys; sys.stdin.readline(); sys.exit('no such column')") is Outcome.FAILED
    assert (lab.problem.reference, lab.problem.why) == ("mapper-failed", "no such column")


def test_log_lines_on_stdout_fail_in_the_loader_with_a_hint_at_the_tap(lab):
    assert lab.run("say('INFO starting', schema)") is Outcome.FAILED
    assert lab.problem.reference == "loader-failed"
    assert "the extractor may write something else" in lab.problem.hint


def test_a_missing_program_ends_what_was_started(lab):
    target = lab.block("loader", argv=("/nowhere/target-x",))
    assert lab.run("time.sleep(60)", target) is Outcome.FAILED
    assert (lab.problem.reference, lab.problem.exit_code) == ("cannot-start", 3)


def test_a_hang_is_ended_after_the_time_without_a_sign_of_life(lab):
    assert lab.run("say(schema); time.sleep(60)", idle_timeout_seconds=1.5) is Outcome.FAILED
    assert (lab.problem.reference, lab.problem.what) == ("no-sign-of-life", "`tap-x` did nothing for 1.5 s")


@pytest.mark.parametrize("target", ["time.sleep(60)", "sys.stdin.read(); time.sleep(60)"])
def test_a_target_that_hangs_is_told_from_a_tap_that_does(lab, target):
    assert lab.run(THREE, target, idle_timeout_seconds=1.5) is Outcome.FAILED
    assert (lab.problem.reference, lab.problem.what) == (
        "no-sign-of-life",
        "`target-x` did nothing with its input for 1.5 s",
    )


def test_the_time_limit_ends_a_run(lab):
    assert lab.run("say(schema); record(1); state(1); time.sleep(60)", timeout=5) is Outcome.FAILED
    assert (lab.problem.reference, lab.state) == ("timed-out", '{"n": 1}')


def test_a_cancelled_run_ends_in_order_with_the_states_that_came(lab):
    lab.later(lambda: len(lab.loaded) == 3, lambda: lab.cancel.set(signal.SIGTERM))
    assert lab.run("say(schema); record(1); state(1); time.sleep(60)") is Outcome.CANCELLED
    assert (lab.problem.exit_code, lab.state) == (143, '{"n": 1}')


def test_an_aborted_run_does_not_wait_for_those_who_ignore_it(lab):
    def act():
        lab.cancel.set(signal.SIGINT)
        lab.cancel.abort()

    lab.later(lambda: "ready" in lab.lines, act)
    started = time.monotonic()
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    assert lab.run(ignore + "log('ready'); time.sleep(60)", ignore + "time.sleep(60)") is Outcome.CANCELLED
    assert time.monotonic() - started < 40


def test_a_flood_of_stderr_does_not_block_and_says_what_it_left_out(lab):
    assert lab.run("sys.stderr.write('DEBUG noise\\n' * 50000); " + THREE) is Outcome.SUCCESS
    assert len(lab.lines) < 5000
    assert any("lines left out" in line for line in lab.lines)


def test_lines_have_the_level_they_say(lab):
    lab.run("""log('2026-01-01 WARNING x'); log('{"level":"error","message":"m"}'); log('plain')""")
    assert [(event.level, event.text) for event in lab.of(PluginLine)] == [
        (Level.WARNING, "2026-01-01 WARNING x"),
        (Level.ERROR, "m"),
        (Level.INFO, "plain"),
    ]


def test_counts_are_those_the_tap_gives(lab):
    metric = """'INFO METRIC: {"type": "counter", "metric": "record_count", "value": %d, "tags": {"stream": "s"}}'"""
    lab.run(f"log({metric} % 2); {THREE}; log({metric} % 1)")
    assert (lab.figures["s"].read, lab.figures["s"].loaded) == (3, None)


@pytest.mark.parametrize("line", ["oops", "[1]", "5"])
def test_a_line_that_is_no_state_is_told_and_ignored(lab, line):
    assert lab.run(THREE, f"load(); print({line!r})") is Outcome.SUCCESS
    assert f"the loader wrote a line that is no state, it is ignored: {line}" in lab.notices
    assert lab.state == '{"n": 3}'


def test_an_empty_state_keeps_the_one_before(lab):
    lab.run(THREE)
    assert lab.run(THREE, "load(); time.sleep(0.6); print('{}')") is Outcome.SUCCESS
    assert lab.state == '{"n": 3}'


def test_a_state_file_outranks_the_state_kept(lab):
    lab.run(THREE)
    (lab.root / "my.json").write_text('{"n": 1}')
    lab.run("log(open(sys.argv[sys.argv.index('--state') + 1]).read())", state_file="my.json")
    assert lab.lines == ['{"n": 1}']


def test_a_pipeline_runs_once_at_a_time(lab):
    held = lab.keeping.pipeline_lock("dev:tap-x-to-target-x", "run r0, process 1")
    assert lab.run(THREE) is Outcome.FAILED
    assert (lab.problem.reference, lab.problem.why) == ("already-running", "run r0, process 1")
    assert lab.run(THREE, force=True) is Outcome.SUCCESS
    held.release()
    with pytest.raises(RunFailedError):
        lab.keeping.pipeline_lock("x", "") and lab.keeping.pipeline_lock("x", "")


def test_a_small_run_needs_little_of_our_own_time_and_no_data_library(lab):
    before = os.times()
    lab.run(THREE)
    after = os.times()
    assert after.user + after.system - before.user - before.system < 0.2
    code = "import sys, headwater.run.extract_load; print({'pyarrow', 'duckdb', 'asyncio'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found == "set()\n"


def test_a_plugin_that_changes_its_config_is_told(lab):
    lab.run("open(sys.argv[sys.argv.index('--config') + 1], 'w').write('{}')")
    assert lab.notices[-1] == "`tap-x` changed its config file (a renewed token?); the change is not kept"


def test_a_listener_that_fails_ends_the_run_and_leaves_no_program(lab):
    class Full(list):
        def append(self, event):
            if isinstance(event, PluginLine):
                raise OSError(28, "No space left on device")
            super().append(event)

    lab.events = Full()
    started = time.monotonic()
    assert lab.run("log('a'); log('b' * 100_000); time.sleep(60)") is Outcome.FAILED
    assert (lab.problem.what, time.monotonic() - started < 40) == ("no space left on device", True)


def test_no_thread_stays_behind(lab):
    before = threading.enumerate()  # other tests may have left some
    lab.run(THREE)
    began = [thread for thread in threading.enumerate() if thread not in before]
    for thread in began:
        if "stderr" in thread.name or "wait" in thread.name:
            thread.join(10)
            assert not thread.is_alive(), thread.name


def test_a_target_that_prints_no_state_is_told_of_and_the_state_stays(lab):
    """Singer has no other word for what a target kept."""
    lab.run(THREE)
    assert lab.run("say(schema); record(4); state(4)", "for line in sys.stdin: pass") is Outcome.SUCCESS
    assert lab.state == '{"n": 3}'
    (told,) = [notice for notice in lab.of(Notice) if notice.level is Level.WARNING]
    assert told.text.startswith("`target-x` read everything and printed no state")


@pytest.mark.parametrize(
    ("tap", "how"), [(THREE, {"state_id": None}), ("say(schema); record(1)", {"tap_fields": {"capabilities": ()}})]
)
def test_no_state_is_missed_where_none_is_to_be_expected(lab, tap, how):
    assert lab.run(tap, "for line in sys.stdin: pass", **how) is Outcome.SUCCESS
    assert [notice for notice in lab.of(Notice) if notice.level is Level.WARNING] == []
