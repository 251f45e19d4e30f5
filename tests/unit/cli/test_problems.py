from textwrap import dedent

import click

from headwater.base.errors import InputError, RunFailedError, Where
from headwater.cli.problems import error_text, usage_error
from headwater.model.event import Problem


def screen(text):
    return dedent(text).strip()


def test_an_error_says_what_where_why_and_the_next_command():
    error = InputError("bad-thing", "it is wrong", where=Where("a.yml", 3), why="because\nof this", hint="do that")
    assert error_text(error) == screen("""
    error: a.yml:3: it is wrong [bad-thing]
      because
      of this
    hint: do that
    """)


def test_a_problem_of_an_event_reads_like_the_error_it_was():
    assert error_text(Problem(reference="r", what="x", where="f:1")) == "error: f:1: x [r]"


def test_colour_is_an_addition():
    text = error_text(RunFailedError("r", "x", hint="y"), colour=True)
    assert text != click.unstyle(text) == "error: x [r]\nhint: y"


def test_a_long_explanation_keeps_its_end():
    lines = error_text(RunFailedError("r", "x", why="\n".join(map(str, range(100))))).splitlines()
    assert lines[1:3] == ["  … 84 lines left out", "  84"]
    assert lines[-1] == "  99"


def test_a_very_long_line_is_cut():
    assert len(error_text(RunFailedError("r", "x", why="a" * 5000)).splitlines()[1]) == 503


def test_usage_errors_are_told_like_all_others():
    context = click.Context(click.Command("run"), info_name="run", parent=click.Context(click.Group(), info_name="hw"))
    error = usage_error(click.UsageError("No such option '--foo'. Did you mean '--force'?", ctx=context))
    assert error_text(error) == screen("""
    error: no such option `--foo` [bad-usage]
    hint: did you mean `--force`? or: hw run --help
    """)
