"""Which column a JSON Schema makes. Numbers are those of the loading cases."""

import pyarrow as pa
import pytest

from headwater.base.errors import RunFailedError
from headwater.connect.contract import JSON_FIELD
from headwater.connect.singer import schema
from headwater.connect.singer.schema import json_schema, leaves


def column(member, **definitions):
    """`family type` of a single property."""
    (leaf,) = leaves({"properties": {"v": member}, **definitions})
    return f"{leaf.family} {leaf.type}"


def paths(properties, **options):
    return {"__".join(leaf.path): str(leaf.family) for leaf in leaves({"properties": properties}, **options)}


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ({"type": "integer"}, "integer int64"),
        ({"type": ["null", "number"]}, "number double"),
        ({"type": "boolean"}, "boolean bool"),
        ({"type": "string", "maxLength": 3}, "text string"),
        ({}, "json string"),  # 99
        (True, "json string"),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]}, "text string"),  # 100
        ({"oneOf": [{"type": "integer"}, {"type": "null"}]}, "integer int64"),  # 101
        ({"type": ["integer", "number"]}, "number double"),
        ({"allOf": [{"type": "string"}, {"maxLength": 5}]}, "text string"),  # 102
        ({"type": ["null", "integer", "string", "object"]}, "json string"),  # 106
        ({"type": "null"}, "null string"),  # 107
        ({"enum": ["a", "b", None]}, "text string"),  # 108
        ({"enum": [1, 2.5]}, "number double"),
        ({"const": True}, "boolean bool"),
        ({"type": "array", "items": {"type": "object", "properties": {"a": {}}}}, "json string"),  # 109
        ({"type": ["array", "null"]}, "json string"),
        ({"type": "object"}, "json string"),
        ({"type": ["integer", "boolean"]}, "text string"),
        ({"type": "string", "format": "date-time"}, "timestamp timestamp[us, tz=UTC]"),
        ({"format": "date"}, "date date32[day]"),
        ({"type": "string", "format": "time"}, "time time64[us]"),
        (
            {"anyOf": [{"type": "string", "format": "date-time"}, {"type": ["string", "null"]}]},
            "timestamp timestamp[us, tz=UTC]",
        ),
        (
            {"type": "string", "format": "x-singer.decimal", "precision": 10, "scale": 2},
            "decimal decimal128(10, 2)",
        ),  # 92
        ({"type": "string", "format": "x-singer.decimal"}, "decimal decimal128(38, 9)"),
        ({"type": "string", "format": "x-singer.decimal", "precision": 60, "scale": 2}, "decimal string"),
        ({"type": "number", "multipleOf": 0.01}, "number decimal128(38, 2)"),
        ({"type": "number", "multipleOf": 1e-38}, "number double"),
        ({"type": "number", "multipleOf": 0.05}, "number double"),
    ],
)
def test_one_property(member, expected):
    assert column(member) == expected


def test_103_references_within_the_schema_are_followed():
    assert column({"$ref": "#/definitions/a~1b"}, definitions={"a/b": {"type": "integer"}}) == "integer int64"
    assert (
        column({"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}, **{"$defs": {"n": {"type": "integer"}}})
        == "integer int64"
    )


def test_a_schema_that_contains_itself_ends_as_json():
    node = {"type": "object", "properties": {"name": {"type": "string"}, "next": {"$ref": "#/$defs/node"}}}
    found = leaves({"properties": {"v": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}}, depth=2)
    assert ["__".join(leaf.path) for leaf in found] == ["v__name", "v__next__name", "v__next__next"]
    loop = {"anyOf": [{"$ref": "#/$defs/loop"}]}
    assert column({"$ref": "#/$defs/loop"}, **{"$defs": {"loop": loop}}) == "json string"


@pytest.mark.parametrize("reference", ["http://169.254.169.254/x", "file:///etc/passwd", "other.json#/a"])
def test_105_references_to_elsewhere_are_refused(reference):
    with pytest.raises(RunFailedError) as error:
        column({"$ref": reference})
    assert error.value.what == f"the schema refers to `{reference}`, which is outside of it"


def test_a_reference_to_nothing_is_refused():
    with pytest.raises(RunFailedError, match="which it does not define"):
        column({"$ref": "#/definitions/x"})


def test_objects_flatten_as_deep_as_asked():
    deep = {
        "type": ["null", "object"],
        "properties": {"b": {"type": "object", "properties": {"c": {"type": "integer"}}}},
    }
    assert paths({"a": deep}) == {"a__b__c": "integer"}
    assert paths({"a": deep}, depth=1) == {"a__b": "json"}
    assert paths({"a": deep}, depth=0) == {"a": "json"}
    assert paths({"a": deep}, whole=["a"]) == {"a": "json"}


def test_objects_without_properties_and_among_other_types_stay_json():
    assert paths(
        {"a": {"type": "object", "properties": {}}, "b": {"type": ["object", "string"], "properties": {"c": {}}}}
    ) == {
        "a": "json",
        "b": "json",
    }


def test_columns_and_back():
    columns = pa.schema(
        [
            ("i", pa.int64()),
            ("f", pa.float64()),
            ("d", pa.decimal128(12, 2)),
            ("big", pa.decimal128(38, 0)),
            ("b", pa.bool_()),
            ("s", pa.string()),
            ("day", pa.date32()),
            ("hour", pa.time64("us")),
            ("at", pa.timestamp("us", "UTC")),
            pa.field("j", pa.string(), metadata=JSON_FIELD),
        ]
    )
    shape = json_schema(columns)
    assert shape["properties"]["at"] == {"type": ["null", "string"], "format": "date-time"}
    back = pa.schema([schema.field(leaf.path[0], leaf.family, leaf.type, leaf.type) for leaf in leaves(shape)])
    big = columns.get_field_index("big")
    assert back.set(big, columns.field(big)).equals(columns, check_metadata=True)
    assert back.field("big").type == pa.int64()
