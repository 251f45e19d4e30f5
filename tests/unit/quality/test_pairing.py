"""Which columns are compared, and in which form."""

from __future__ import annotations

import pytest

from headwater.connect.digest import Column, Relation
from headwater.quality.pairing import paired


def relation(keys=(), **kinds):
    columns = {name: Column(sql=name, kind=kind, type=kind) for name, kind in kinds.items()}
    return Relation(place="here", sql="t", columns=columns, keys=keys)


@pytest.mark.parametrize(
    ("here", "there", "is_text"),
    [
        ("int64", "decimal", False),
        ("float64", "float64", False),
        ("string", "string", True),
        ("int64", "string", True),
        ("timestamp", "string", True),
        ("json", "string", True),
        ("float64", "decimal", None),
        ("decimal", "string", False),
        ("string", "int64", None),
        ("date32", "timestamp", None),
    ],
)
def test_types_are_compared_where_they_have_a_common_form(here, there, is_text):
    pairing = paired(relation(a=here), relation(a=there))
    assert [item.is_text for item in pairing.source] == ([] if is_text is None else [is_text])
    assert pairing.left_out == ((f"`a` is {here} here and {there} there",) if is_text is None else ())


def test_columns_of_one_end_are_left_out_and_said():
    pairing = paired(relation(a="bool", b="bool"), relation(a="bool", c="bool"))
    assert pairing.columns == ("a",)
    assert pairing.left_out == ("`c` is only in the destination", "`b` is not in the destination")


def test_a_key_is_an_index_when_it_is_one_integer_at_both_ends():
    assert paired(relation(("a",), a="int64"), relation(a="int64")).is_indexed
    assert not paired(relation(("a",), a="int64"), relation(a="decimal")).is_indexed
    assert not paired(relation(("a", "b"), a="int64", b="int64"), relation(a="int64", b="int64")).is_indexed
    assert paired(relation(("a", "b"), a="int64", b="int64"), relation(a="int64")).keys == ()


def test_json_is_compared_as_jsonb_writes_it_where_one_end_is_jsonb():
    here = Relation(
        place="", sql="t", columns={"a": Column(sql="x", kind="json", type="json", normal="x::jsonb::text")}
    )
    there = Relation(place="", sql="t", columns={"a": Column(sql="y", kind="json", type="jsonb", normal="y::text")})
    pairing = paired(here, there)
    assert pairing.source[0].column.sql == "x::jsonb::text"
    assert paired(relation(a="json"), there).left_out == ("`a` is json here and jsonb there",)
