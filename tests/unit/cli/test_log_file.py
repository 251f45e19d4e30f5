"""A project's `logging.yaml`, and its settings `cli.log_level` and `cli.log_format`."""

from __future__ import annotations

import json
from textwrap import dedent

import pytest

FORMATTERS = """\
formatters:
  lines: {(): meltano.core.logging.console_log_formatter, colors: true}
  json: {(): meltano.core.logging.json_formatter}
  cloud: {(): meltano.core.logging.json_formatter, preset: google-cloud-logging}
  pairs: {(): meltano.core.logging.key_value_formatter, key_order: [level, event]}
  bare: {(): meltano.core.logging.plain_formatter}
  own: {format: "%(levelname)s %(name)s %(message)s"}
handlers:
  console: {class: logging.StreamHandler, formatter: lines, stream: ext://sys.stderr, level: WARNING}
"""


@pytest.fixture
def logged(hw):
    """Runs a command with this below the handlers; gives what it said and the folder."""

    def run(text, *words):
        (hw.root / "logging.yaml").write_text(FORMATTERS + dedent(text))
        return hw(*(words or ("run", "say:hi")))

    return run


def lines(hw, name):
    return (hw.root / name).read_text().splitlines()


def test_a_file_handler_gets_json_and_the_console_only_what_it_asks_for(hw, logged):
    done = logged("""\
      file: {class: logging.FileHandler, filename: log.json, formatter: json}
    root: {level: DEBUG, handlers: [console, file]}
    """)
    assert (done.code, done.err) == (0, "")
    said = [json.loads(line) for line in lines(hw, "log.json")]
    assert "hi there" in [line["event"] for line in said]
    assert len({line["run_id"] for line in said}) == 1


@pytest.mark.parametrize(
    ("formatter", "line"),
    [
        ("pairs", 'level="info" event="hi there" '),
        ("bare", "hi there"),
        ("own", "INFO meltano.plugin.stdout.utilities.say hi there"),
    ],
)
def test_each_formatter_writes_its_lines(hw, logged, formatter, line):
    logged(f"""\
      file: {{class: logging.handlers.RotatingFileHandler, filename: log, formatter: {formatter}, maxBytes: 100000}}
    root: {{level: INFO, handlers: [file]}}
    """)
    assert any(found.startswith(line) for found in lines(hw, "log"))


def test_the_cloud_finds_its_own_names(hw, logged):
    logged("""\
      file: {class: logging.FileHandler, filename: log, formatter: cloud}
    root: {level: INFO, handlers: [file]}
    """)
    first = json.loads(lines(hw, "log")[0])
    assert (first["severity"], "event" in first, "level" in first) == ("INFO", False, False)


def test_loggers_have_levels_and_handlers_of_their_own(hw, logged):
    done = logged(
        """\
      tap: {class: logging.FileHandler, filename: tap.log, formatter: bare}
    root: {level: INFO, handlers: [console]}
    loggers:
      meltano.plugin.stderr.extractors.tap-numbers: {handlers: [tap], propagate: false}
      meltano.plugin.stdout: {level: error}
    """,
        "run",
        "tap-numbers",
        "target-lines",
        "say:hi",
    )
    assert (done.code, done.err) == (0, "")
    assert set(lines(hw, "tap.log")) == {"INFO counting from 1"}


def test_what_cannot_be_had_is_said_with_its_line_and_the_rest_stands(hw, logged):
    done = logged("""\
      odd: {class: nowhere.Handler}
      far: {class: logging.FileHandler, filename: no/such/folder/log}
      file: {class: logging.FileHandler, filename: log, formatter: bare, level: loud}
    root: {level: INFO, handlers: [file, odd, far, none]}
    """)
    far = hw.root / "no/such/folder/log"
    assert done.code == 0
    assert done.err.splitlines() == [
        "note: logging.yaml:10: `odd` can't be had (No module named 'nowhere'): it is left out",
        f"note: logging.yaml:11: `far` can't be had ([Errno 2] No such file or directory: '{far}'): it is left out",
        "note: logging.yaml:12: `loud` is no level: `info` counts",
        "note: logging.yaml:13: there is no handler `none`",
    ]
    assert "hi there" in lines(hw, "log")


def test_a_formatter_with_options_it_has_not_writes_plain_lines(hw):
    hw.write(
        "logging.yaml",
        """\
formatters:
  a: {(): meltano.core.logging.json_formatter, preset: sky}
  b: {(): meltano.core.logging.plain_formatter, shape: round}
handlers: {file: {class: logging.FileHandler, filename: log, formatter: a}}
root: {level: INFO, handlers: file}
""",
    )
    first, second = hw.ok("run", "say:hi").err.splitlines()
    assert first.startswith("note: logging.yaml:2: `a` can't be had (there is no preset `sky`): plain lines")
    assert second.startswith("note: logging.yaml:3: `b` can't be had (")
    assert any(line.endswith("[info     ] say          hi there") for line in lines(hw, "log"))


def test_a_file_that_is_no_yaml_is_an_error_with_its_line(hw):
    hw.write("logging.yaml", "version: 1\nroot: {level: ]\n")
    done = hw("run", "say:hi")
    assert (done.code, done.error.startswith("error: logging.yaml:2")) == (2, True), done.err


def test_an_error_is_a_json_line_where_the_console_has_them(logged):
    done = logged("""\
      screen: {class: meltano.core.logging.SafeStreamHandler, stream: ext://sys.stderr, formatter: json}
    root: {level: INFO, handlers: [screen]}
    """)
    assert {json.loads(line)["level"] for line in done.err.splitlines()} == {"info"}


def test_another_file_may_be_named(hw):
    (hw.root / "other.yml").write_text("root: {level: INFO, handlers: []}")
    assert hw.ok("--log-config", str(hw.root / "other.yml"), "run", "say:hi").err == ""
    assert "there is no" in hw.ok("--log-config", str(hw.root / "gone.yml"), "run", "say:hi").err


def test_the_project_says_level_and_format_unless_a_flag_or_variable_does(hw, monkeypatch):
    file = hw.root / "headwater.yml"
    file.write_text("cli: {log_level: warning, log_format: json}\n" + file.read_text())
    assert hw.ok("run", "say:hi").err == ""
    told = hw.ok("--log-level", "info", "run", "say:hi").err
    assert json.loads(told.splitlines()[0])["kind"] == "run-started"
    monkeypatch.setenv("MELTANO_CLI_LOG_FORMAT", "plain")
    assert "[info     ] say          hi there" in hw.ok("--log-level", "info", "run", "say:hi").err


def test_a_wrong_level_does_not_stop_the_command_that_puts_it_right(hw):
    file = hw.root / "headwater.yml"
    file.write_text("cli: {log_level: loud}\n" + file.read_text())
    assert "note: the project setting `cli.log_level`" in hw.ok("job", "list").err
