from __future__ import annotations

import pytest

from headwater.base.errors import InputError, Where
from headwater.plan.expand import expand, expand_setting, undefined

ENV = {"HOST": "db.test", "PORT": "5432", "lower": "low", "EMPTY": "", "DOLLAR": "$HOST"}


@pytest.mark.parametrize(
    ("written", "expanded"),
    [
        ("$HOST", "db.test"),
        ("${HOST}", "db.test"),
        ("${lower}", "low"),
        ("$lower", "$lower"),  # `$` takes upper-case names only
        ("$HOST:$PORT", "db.test:5432"),
        ("a-$HOST-b", "a-db.test-b"),
        ("${HOST}name", "db.testname"),
        ("$HOSTNAME", ""),
        (r"\$HOST", "$HOST"),
        (r"\${HOST}", "${HOST}"),
        (r"\$HOST $HOST", "$HOST db.test"),
        ("$MISSING", ""),
        ("x$MISSING", "x"),
        ("$EMPTY", ""),
        ("${HOST:-x}", "${HOST:-x}"),  # no syntax for defaults
        ("$DOLLAR", "$HOST"),  # once only
        ("100$", "100$"),
        ("$1", "$1"),
        ("", ""),
    ],
)
def test_variables_in_a_text(written, expanded):
    assert expand(written, ENV) == expanded


def test_dicts_and_lists_are_expanded_at_any_depth_and_other_types_stay():
    value = {"$HOST": ["$HOST", {"port": "$PORT", "on": True, "none": None}], "count": 3}
    assert expand(value, ENV) == {"$HOST": ["db.test", {"port": "5432", "on": True, "none": None}], "count": 3}


@pytest.mark.parametrize(
    ("written", "expanded"),
    [("$MISSING", None), ("$MISSING$GONE", None), ("$EMPTY", None), ("", ""), ("x$MISSING", "x"), ("$HOST", "db.test")],
)
def test_a_setting_of_which_nothing_is_left_is_not_set(written, expanded):
    assert expand_setting(written, ENV) == expanded


def test_a_missing_variable_is_an_error_in_strict_mode():
    with pytest.raises(InputError) as caught:
        expand({"a": ["$HOST ${MISSING}"]}, ENV, strict=True, where=Where("headwater.yml", 7))
    assert caught.value.reference == "undefined-variable"
    assert caught.value.what == "the variable `MISSING` is not set"
    assert str(caught.value.where) == "headwater.yml:7"


def test_an_empty_or_escaped_variable_is_no_error_in_strict_mode():
    assert expand(r"$EMPTY\$MISSING", ENV, strict=True) == "$MISSING"


def test_undefined_variables_are_named_once_in_order():
    value = {"a": "$ONE $HOST", "b": ["${two}", r"\$ESCAPED", "$ONE"], "c": 1}
    assert undefined(value, ENV) == ("ONE", "two")
