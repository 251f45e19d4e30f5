"""On a real terminal: the program in a pseudo-terminal of a given width, and what it then shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios

import pytest

_ENV = {"TERM": "xterm-256color", "TAP_NUMBERS_UPTO": "6", "TAP_NUMBERS_PAUSE": "0.2"}


def _without_size(environ):
    """Who runs the tests in several processes names a width there, which counts more than the terminal's own."""
    return {name: value for name, value in environ.items() if name not in ("COLUMNS", "LINES")}


def on_terminal(root, *words, width=80, **environ):
    """Exit code and everything that was written to the terminal, control sequences included."""
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        os.chdir(root)
        argv = [sys.executable, "-m", "headwater", *words]
        os.execve(argv[0], argv, {**_without_size(os.environ), **_ENV, **environ})  # noqa: S606 - a terminal needs a fork of its own
    written = b""
    while True:
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:  # Linux says so when the other side is closed
            break
        if not data:
            break
        written += data
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), written.decode()


def plain(text):
    """Without control sequences; what is written over something else stands below it."""
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text).replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("width", [100, 30])
def test_a_run_draws_its_progress_and_takes_it_away(hw, width):
    code, text = on_terminal(hw.root, "run", "tap-numbers", "target-duckdb", width=width)
    assert code == 0
    assert "\x1b[?25l" in text  # the cursor is hidden
    assert "\x1b[?25h" in text  # and comes back
    shown = plain(text)
    assert "extracting: 1 stream" in shown
    after = shown[shown.index("done in") :]
    assert "extracting" not in after
    assert "elapsed" not in after
    tables = [line for line in shown.splitlines() if line.startswith(("  numbers ", "  stream ", "  ───", "numbers "))]
    assert tables
    assert all(len(line) <= width for line in tables)


def test_no_colour_where_none_is_wanted(hw):
    code, text = on_terminal(hw.root, "run", "tap-numbers", "target-lines", NO_COLOR="1")
    assert code == 0
    assert not re.search(r"\x1b\[3\dm", text)


def test_an_error_is_coloured(hw):
    code, text = on_terminal(hw.root, "nonsense")
    assert code == 2
    assert text == (
        "\x1b[31m\x1b[1merror:\x1b[0m no such command `nonsense` \x1b[2m[bad-usage]\x1b[0m\r\n"
        "\x1b[36mhint:\x1b[0m headwater --help\r\n"
    )


def test_an_error_without_colour(hw):
    code, text = on_terminal(hw.root, "nonsense", NO_COLOR="1")
    assert (code, text) == (2, "error: no such command `nonsense` [bad-usage]\r\nhint: headwater --help\r\n")


def test_tables_end_at_the_edge(hw):
    code, text = on_terminal(hw.root, "plugin", "hub", width=50)
    assert code == 0
    assert max(map(len, plain(text).splitlines())) == 50


def test_a_dumb_terminal_gets_plain_lines(hw):
    code, text = on_terminal(hw.root, "run", "tap-numbers", "target-lines", TERM="dumb")
    assert code == 0
    assert "\x1b" not in text
    assert re.match(r"\d{4}-", text)
