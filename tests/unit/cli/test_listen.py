import io
import json
import re
from textwrap import dedent

import pytest
from rich.console import Console

from headwater.cli.listen import Live, Plain, listening
from headwater.cli.settings import Settings
from headwater.cli.words import ORDER
from headwater.model import event as e

STEP = "tap → target"
FIGURES = (e.StreamFigures(stream="users", read=1200, loaded=1199, rejected=1, seconds=2.0, size=4_000_000),)
FINISHED = e.StepFinished(step=STEP, outcome=e.Outcome.SUCCESS, seconds=2, streams=FIGURES)
SAVED = e.CheckpointSaved(step=STEP, state_id="dev:tap-to-target", state="{}")
STARTED = e.StepStarted(step=STEP)


def progress(seconds=3.0):
    return e.Progress(step=STEP, phase="extracting", streams=FIGURES, size=4_000_000, seconds=seconds)


def settings(**changes):
    given = {"cwd": None, "environment": None, "no_environment": False, "env_file": None}
    return Settings(**{**given, "log_level": "info", "log_format": "plain", **changes})


def heard(*events, **changes):
    out = io.StringIO()
    with listening(settings(**changes), out) as emit:
        for event in events:
            emit(event)
    return out.getvalue()


def undated(text):
    return re.sub(r"^\d{4}-\S+Z ", "", text, flags=re.MULTILINE)


def test_plain_lines_have_a_time_a_level_and_who_speaks():
    text = heard(STARTED, e.PluginLine(step=STEP, plugin="tap", level=e.Level.WARNING, text="slow"))
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \[info     \] headwater", text)
    assert undated(text) == ("[info     ] headwater    tap → target: started\n[warning  ] tap          slow\n")


def test_a_step_ends_with_a_table_of_its_streams():
    assert undated(heard(SAVED, FINISHED)) == dedent(
        """\
        [info     ] headwater    tap → target: done in 2.0 s
          stream   read  loaded  filtered  rejected  repaired  seconds  checkpoint
          ──────  ─────  ──────  ────────  ────────  ────────  ───────  ──────────
          users   1,200   1,199                   1                2.0  saved
          hint: headwater rejects list
        """
    )


def test_the_hint_below_rejected_records_names_their_pipeline():
    started = e.StepStarted(step=STEP, state_id="dev:tap-to-target")
    assert heard(started, FINISHED).endswith("\n  hint: headwater rejects list --state-id dev:tap-to-target\n")


def test_a_step_without_rejected_records_has_no_hint():
    figures = (e.StreamFigures(stream="users", read=1, loaded=1, rejected=0),)
    finished = e.StepFinished(step=STEP, outcome=e.Outcome.SUCCESS, seconds=2, streams=figures)
    assert "hint" not in heard(finished)


def test_only_the_step_whose_checkpoint_was_saved_says_so():
    other = e.CheckpointSaved(step="other", state_id="x", state="{}")
    assert "saved" not in heard(other, FINISHED)


@pytest.mark.parametrize("log_format", ["plain", "live", "json"])
def test_levels_below_the_chosen_one_are_left_out(log_format):
    warning = e.Notice(step=None, level=e.Level.WARNING, text="look here")
    text = heard(STARTED, warning, FINISHED, log_level="warning", log_format=log_format)
    assert "look here" in text
    assert "done in" not in text
    assert "users" not in text


@pytest.mark.parametrize("log_format", ["plain", "json"])
def test_disabled_is_silent(log_format):
    failed = e.Notice(step=None, level=e.Level.ERROR, text="x")
    assert heard(failed, FINISHED, log_level="disabled", log_format=log_format) == ""


def test_json_lines_hold_the_event_with_its_words():
    first, second = map(json.loads, heard(STARTED, SAVED, log_format="json", log_level="debug").splitlines())
    assert re.match(r"\d{4}-", first.pop("timestamp"))
    assert first == {
        "level": "info",
        "event": "tap → target: started",
        "kind": "step-started",
        "step": STEP,
        "road": None,
        "state_id": None,
        "streams": [],
    }
    assert (second["kind"], second["level"], second["state"]) == ("checkpoint-saved", "debug", "{}")


def test_plain_progress_comes_at_most_every_five_seconds():
    out = io.StringIO()
    at = iter([100.0, 104.9, 105.0, 106.0, 109.9, 110.0])
    plain = Plain(ORDER["info"], out, now=lambda: next(at))
    for second in range(6):
        plain.show(progress(float(second)))
    assert [line.rsplit(", ", 1)[1] for line in out.getvalue().splitlines()] == ["2.0 s", "5.0 s"]


def live(width=100, **kwargs):
    console = Console(file=io.StringIO(), record=True, width=width, force_terminal=True, **kwargs)
    return console, Live(ORDER["info"], console)


def drawn(listener, console):
    """What stands below the log now."""
    with console.capture() as capture:
        console.print(listener._draw())
    return [line.rstrip() for line in re.sub(r"\x1b\[[\d;]*m", "", capture.get()).splitlines()]


def test_live_draws_what_runs_now():
    console, listener = live()
    listener.show(progress())
    assert drawn(listener, console) == [
        "extracting: 1 stream, 1,200 rows, 400 rows/s, 1.3 MB/s, 3.0 s",
        "stream     rows  rows/s     speed  elapsed",
        "users     1,200     600  2.0 MB/s    2.0 s",
    ]


def test_live_draws_nothing_between_steps():
    console, listener = live()
    listener.show(progress())
    listener.show(FINISHED)
    assert drawn(listener, console) == [""]


def test_live_scrolls_lines_and_the_table():
    console, listener = live()
    with listener:
        for event in (STARTED, progress(), SAVED, FINISHED):
            listener.show(event)
    lines = [line.rstrip() for line in console.export_text().splitlines() if line.strip()]
    assert lines == [
        "headwater    tap → target: started",
        "headwater    tap → target: done in 2.0 s",
        "  stream   read  loaded  filtered  rejected  repaired  seconds  checkpoint",
        "  ──────  ─────  ──────  ────────  ────────  ────────  ───────  ──────────",
        "  users   1,200   1,199                   1                2.0  saved",
        "  hint: headwater rejects list",
    ]


def test_live_takes_what_plugins_say_as_text_not_as_markup():
    console, listener = live()
    listener.show(e.PluginLine(step=STEP, plugin="tap", level=e.Level.INFO, text="[red]no[/red] [1]"))
    assert "[red]no[/red] [1]" in console.export_text()


@pytest.mark.parametrize("width", [20, 40])
def test_live_stays_within_a_narrow_terminal(width):
    console, listener = live(width)
    listener.show(progress())
    assert all(len(line) <= width for line in drawn(listener, console))
    assert len(drawn(listener, console)) == 3


def test_live_shows_the_latest_streams_of_many():
    console, listener = live()
    many = tuple(e.StreamFigures(stream=f"s{n}", read=n) for n in range(40))
    listener.show(e.Progress(step=STEP, phase="extracting", streams=many, seconds=1))
    lines = drawn(listener, console)
    assert len(lines) == 14
    assert lines[-1].startswith("s39")
