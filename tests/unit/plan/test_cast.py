from __future__ import annotations

from datetime import UTC, datetime

import pytest

from headwater.model.setting import Option, Setting, SettingKind
from headwater.plan.cast import WrongTypeError, cast, parse_date

KIND = SettingKind


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (None, "1", "1"),
        (None, {"a": 1}, {"a": 1}),
        (KIND.STRING, "x", "x"),
        (KIND.STRING, 123, 123),  # what a YAML file gives stays: the plugin knows better than its definition
        (KIND.EMAIL, "a@b.c", "a@b.c"),
        (KIND.FILE, "a/b", "a/b"),
        (KIND.PASSWORD, "p", "p"),
        (KIND.INTEGER, "42", 42),
        (KIND.INTEGER, " -7 ", -7),
        (KIND.INTEGER, "1_000", 1000),
        (KIND.INTEGER, 0.5, 0.5),
        (KIND.DECIMAL, "0.1", 0.1),
        (KIND.DECIMAL, "1e3", 1000.0),
        (KIND.DECIMAL, "3", 3),
        (KIND.BOOLEAN, "true", True),
        (KIND.BOOLEAN, "Yes", True),
        (KIND.BOOLEAN, "1", True),
        (KIND.BOOLEAN, "ON", True),
        (KIND.BOOLEAN, "false", False),
        (KIND.BOOLEAN, "0", False),
        (KIND.BOOLEAN, "", False),
        (KIND.BOOLEAN, 1, True),
        (KIND.ARRAY, '["a", 1]', ["a", 1]),
        (KIND.ARRAY, "['a', 'b']", ["a", "b"]),
        (KIND.ARRAY, ("a",), ["a"]),
        (KIND.OBJECT, '{"a": {"b": 1}}', {"a": {"b": 1}}),
        (KIND.OBJECT, "{'a': True}", {"a": True}),
        (KIND.OBJECT, {"a": 1}, {"a": 1}),
        (KIND.DATE, "2026-01-31", "2026-01-31"),
        (KIND.DATE, "2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"),
        (KIND.DATE, "2026-01-31 10:00:00.5+01:00", "2026-01-31 10:00:00.5+01:00"),
        (KIND.DATE, "yesterday", "yesterday"),
        (KIND.DATE, "3 days ago", "3 days ago"),
        (KIND.DATE, datetime(2026, 1, 31, 10, tzinfo=UTC), "2026-01-31T10:00:00+00:00"),
        (KIND.INTEGER, None, None),
    ],
)
def test_what_each_kind_takes(kind, given, value):
    result = cast(Setting(name="s", kind=kind), given)
    assert (result, type(result)) == (value, type(value))


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (KIND.INTEGER, "4.2", "a whole number such as `42`"),
        (KIND.INTEGER, "", "a whole number such as `42`"),
        (KIND.INTEGER, True, "a whole number such as `42`"),
        (KIND.INTEGER, [1], "a whole number such as `42`"),
        (KIND.DECIMAL, "nan", "a number such as `0.5`"),
        (KIND.DECIMAL, "much", "a number such as `0.5`"),
        (KIND.BOOLEAN, "flase", "`true` or `false`"),
        (KIND.BOOLEAN, 2, "`true` or `false`"),
        (KIND.ARRAY, "a,b", 'a list such as `["a", "b"]`'),
        (KIND.ARRAY, '{"a": 1}', 'a list such as `["a", "b"]`'),
        (KIND.OBJECT, "[1]", 'an object such as `{"key": "value"}`'),
        (KIND.OBJECT, "__import__('os')", 'an object such as `{"key": "value"}`'),
        (KIND.DATE, "soon", "a date such as `2026-01-31`, or words such as `3 days ago`"),
        (KIND.DATE, "3 days", "a date such as `2026-01-31`, or words such as `3 days ago`"),
    ],
)
def test_what_each_kind_refuses(kind, given, expected):
    with pytest.raises(WrongTypeError) as caught:
        cast(Setting(name="s", kind=kind), given)
    assert str(caught.value) == expected


def test_an_option_keeps_the_type_its_definition_gives_it():
    setting = Setting(name="s", kind=KIND.OPTIONS, options=(Option(value=1), Option(value="two")))
    assert (cast(setting, "1"), cast(setting, "two")) == (1, "two")
    assert cast(Setting(name="s", kind=KIND.OPTIONS), "anything") == "anything"


@pytest.mark.parametrize(
    ("words", "instant"),
    [
        ("now", "2026-03-31T12:00:00+00:00"),
        ("today", "2026-03-31T12:00:00+00:00"),
        ("Yesterday", "2026-03-30T12:00:00+00:00"),
        ("tomorrow", "2026-04-01T12:00:00+00:00"),
        ("3 days ago", "2026-03-28T12:00:00+00:00"),
        ("1 day ago", "2026-03-30T12:00:00+00:00"),
        ("an hour ago", "2026-03-31T11:00:00+00:00"),
        ("2 weeks ago", "2026-03-17T12:00:00+00:00"),
        ("1 month ago", "2026-02-28T12:00:00+00:00"),
        ("a year ago", "2025-03-31T12:00:00+00:00"),
        ("in 2 months", "2026-05-31T12:00:00+00:00"),
        ("in 9 months", "2026-12-31T12:00:00+00:00"),
        ("in 3 days ago", "in 3 days ago"),
        ("2026-01-31", "2026-01-31"),
        ("soon", "soon"),
    ],
)
def test_dates_in_words(words, instant):
    assert parse_date(words, datetime(2026, 3, 31, 12, tzinfo=UTC)) == instant
