"""Missing and unknown fields, objects, names. Numbers are those of the loading cases."""

import gzip
import json

import pytest

from headwater.connect import members
from headwater.connect.contract import Rows, Schema
from headwater.connect.names import digest
from headwater.connect.singer.batch import opener

INT = {"type": ["null", "integer"]}
STRING = {"type": ["null", "string"]}


def an_object(**properties):
    return {"type": ["null", "object"], "properties": properties}


def test_110_and_111_unknown_fields_are_kept_and_told_once(tap):
    lines = [
        tap.schema(a=INT),
        tap.record('{"a":1}'),
        tap.record('{"a":2,"x":{"y": 1.0},"z":null}'),
        tap.record('{"x":5}'),
    ]
    found = tap.read(*lines)
    assert found[0].columns.field("_extra").metadata == members.FIELD
    assert found[1].batch["_extra"].to_pylist() == [None, '{"x":{"y": 1.0},"z":null}', '{"x":5}']
    assert tap.notices == [
        "stream `s`: the field `x` is not in its schema; it is kept in `_extra`",
        "stream `s`: the field `z` is not in its schema; it is kept in `_extra`",
    ]


def test_a_property_named_extra_never_meets_the_unknown_fields(tap):
    lines = [tap.schema(_extra=INT, keys=["_extra"]), tap.record('{"_extra":1,"x":2}'), tap.record('{"_extra":2}')]
    schema, rows = tap.read(*lines)
    (key,) = schema.keys
    assert rows.batch.to_pylist() == [{key: 1, "_extra": '{"x":2}'}, {key: 2, "_extra": None}]
    assert rows.missing.to_pylist() == [None, ["_extra"]]
    assert key == "_extra__23339f47"


def test_an_unknown_field_that_a_schema_names_later_gets_its_column(tap):
    rows = tap.rows(
        tap.schema(a=INT), tap.record('{"a":1,"x":2}'), tap.schema(a=INT, x=INT), tap.record('{"a":1,"x":2}')
    )
    assert rows == [{"a": 1, "_extra": '{"x":2}'}, {"a": 1, "x": 2, "_extra": None}]


def test_113_a_missing_field_is_not_a_null(tap):
    lines = [tap.schema(["id"], id=INT, a=INT, b=INT), tap.record('{"id":1,"a":null,"b":1}'), tap.record('{"id":2}')]
    found = tap.read(*lines, tap.record('{"id":3,"b":2}'))
    assert found[1].batch.to_pylist() == [
        {"id": 1, "a": None, "b": 1},
        {"id": 2, "a": None, "b": None},
        {"id": 3, "a": None, "b": 2},
    ]
    assert found[1].missing.to_pylist() == [None, ["a", "b"], ["a"]]


def test_113_nothing_missing_is_no_mask_and_without_keys_there_is_none(tap):
    assert tap.read(tap.schema(["id"], id=INT), tap.record('{"id":1}'))[1].missing is None
    assert tap.read(tap.schema(id=INT, a=INT), tap.record('{"id":1}'))[1].missing is None


def test_113_an_object_is_missing_as_a_whole(tap):
    shape = tap.schema(["id"], id=INT, o=an_object(a=INT, b=INT))
    found = tap.read(shape, *(tap.record(text) for text in ('{"id":1}', '{"id":2,"o":null}', '{"id":3,"o":{"a":1}}')))
    assert found[1].missing.to_pylist() == [["o__a", "o__b"], None, None]
    assert found[1].batch.to_pylist()[2] == {"id": 3, "o__a": 1, "o__b": None}


def test_116_a_stream_without_properties_has_only_its_extra(tap):
    assert tap.rows(tap.schema(), tap.record('{"a":1}'), tap.record("{}")) == [{"_extra": '{"a":1}'}, {"_extra": None}]


def test_119_a_property_that_left_the_schema_keeps_its_column(tap):
    found = tap.read(tap.schema(["id"], id=INT, a=INT), tap.schema(["id"], id=INT), tap.record('{"id":1}'))
    assert found[0].columns.names == ["id", "a"]
    assert found[1].missing.to_pylist() == [["a"]]


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("integer", "number", "double"),  # 120
        ("integer", "string", "string"),  # 121
        ("number", "integer", "int64"),  # 122: passed on, the destination refuses it
        ("string", "integer", "int64"),  # 123
    ],
)
def test_120_to_123_a_schema_that_changes(tap, old, new, kind):
    found = tap.read(tap.schema(v={"type": old}), tap.state("1"), tap.schema(v={"type": new}), tap.state("2"))
    assert str(found[-2].columns.field("v").type) == kind


def test_126_a_scalar_that_becomes_an_object_gets_new_columns(tap):
    lines = [
        tap.schema(v=INT),
        tap.record('{"v":1}'),
        tap.schema(v=an_object(k=INT)),
        tap.record('{"v":{"k":2}}'),
        tap.record('{"v":3}'),
    ]
    assert tap.rows(*lines) == [{"v": 1}, {"v": None, "v__k": 2}, {"v": 3, "v__k": None}]


def test_a_value_where_an_object_was_announced_is_kept(tap):
    assert tap.rows(tap.schema(o=an_object(a=INT)), tap.record('{"o":"plain"}'), tap.record('{"o":{"a":1}}')) == [
        {"o__a": None, "_extra": '{"o":"plain"}'},
        {"o__a": 1, "_extra": None},
    ]


def test_153_to_160_names_come_through_as_they_are(tap):
    names = ['a"b', "a\\b", "a\nb", "", "a b", "a.b", "select", "😈", "x'); drop table y; --"]
    record = {name: number for number, name in enumerate(names)}
    assert tap.rows(tap.schema(**dict.fromkeys(names, INT)), tap.record(json.dumps(record))) == [record]


def test_164_two_columns_that_flatten_to_one_name_are_both_kept(tap):
    for order in ([("a__b", INT), ("a", an_object(b=INT))], [("a", an_object(b=INT)), ("a__b", INT)]):
        rows = tap.rows(tap.schema(**dict(order)), tap.record('{"a__b":1,"a":{"b":2}}'))
        assert rows == [{"a__b": 1, "a__b__" + digest("a\0b"): 2}]


def test_one_cursor_is_named(tap):
    line = json.loads(tap.schema(id=INT, at=STRING)) | {"bookmark_properties": ["at"]}
    assert tap.read(json.dumps(line))[0].cursor == "at"


def a_batch(*paths, compression="gzip"):
    encoding = {"format": "jsonl", "compression": compression}
    return json.dumps({"type": "BATCH", "stream": "s", "encoding": encoding, "manifest": [str(path) for path in paths]})


def test_31_batch_files_are_records(tap, tmp_path):
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"id":1}\n{"id":2}\n'))
    lines = [tap.schema(id=INT), tap.record('{"id":0}'), a_batch(file.as_uri()), tap.state("1")]
    found = tap.read(*lines, open_batch=opener([tmp_path]))
    assert [m.batch["id"].to_pylist() for m in found if isinstance(m, Rows)] == [[0], [1, 2]]
    assert isinstance(found[0], Schema)


@pytest.mark.parametrize("path", ["file:///etc/passwd", "{root}/../x.jsonl", "{root}/link"])
def test_32_batch_files_outside_are_refused(tap, tmp_path, path):
    (tmp_path / "link").symlink_to("/etc/passwd")
    tap.read(tap.schema(id=INT), a_batch(path.format(root=tmp_path)), open_batch=opener([tmp_path]))
    assert tap.error.reference == "batch-outside-roots"


def test_33_a_missing_or_cut_batch_file_fails_before_its_state(tap, tmp_path):
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b'{"id":1}\n' * 1000)[:-20])
    for name in ("cut.gz", "none.gz"):
        found = tap.read(tap.schema(id=INT), a_batch(tmp_path / name), tap.state("1"), open_batch=opener([tmp_path]))
        assert tap.error.reference == "batch-file"
        assert not any(type(m).__name__ == "Checkpoint" for m in found)


def test_batch_without_a_folder_is_refused(tap):
    tap.read(tap.schema(id=INT), a_batch("/x"))
    assert tap.error.reference == "batch-not-supported"
