"""What a tap may send and in which order. Numbers are those of the loading cases."""

import pytest

from headwater.connect.contract import ActivateVersion, Checkpoint, Rejected, Rows, Schema

INT = {"type": ["null", "integer"]}


def test_a_stream_is_a_schema_then_rows_then_a_checkpoint(tap, shown):
    found = tap.read(tap.schema(["id"], id=INT), tap.record('{"id":1}'), tap.record('{"id":2}'), tap.state('{"a":1}'))
    assert shown(found) == ["Schema s", "Rows s 2", 'Checkpoint {"a":1}']
    assert found[0].keys == ("id",)
    assert found[1].batch.to_pylist() == [{"id": 1}, {"id": 2}]
    assert found[1].size == len('{"id":1}') * 2


def test_lines_may_be_cut_anywhere(tap):
    data = "\n".join([tap.schema(id=INT), tap.record('{"id":1}'), tap.record('{"id":2}'), ""]).encode()
    for size in (1, 3, 7, 50):
        chunks = [data[start : start + size] for start in range(0, len(data), size)]
        rows = [row for m in tap.read(chunks=chunks) if isinstance(m, Rows) for row in m.batch.to_pylist()]
        assert rows == [{"id": 1}, {"id": 2}]


def test_1_a_malformed_line_fails_with_its_place_and_keeps_what_a_state_covers(tap, shown):
    before = [tap.schema(id=INT), tap.record('{"id":1}'), tap.state("1"), tap.record('{"id":2}')]
    found = tap.read(*before, '{"type":"RECORD", name: "Anna"}')
    assert shown(found)[:3] == ["Schema s", "Rows s 1", "Checkpoint 1"]
    assert tap.error.reference == "bad-message"
    assert tap.error.what == "line 5 of the tap's output is not JSON"
    assert f"at byte {sum(len(line) + 1 for line in before) + 18}: JSON is malformed" in tap.error.why
    assert "Anna" not in tap.error.why
    assert '"type":' in tap.error.why


def test_2_a_cut_last_line_is_told_from_bad_json(tap, shown):
    found = tap.read(tap.schema(id=INT), tap.record('{"id":1}'), tap.state("1"), b'{"type":"RECORD","str')
    assert shown(found) == ["Schema s", "Rows s 1", "Checkpoint 1"]
    assert tap.error.reference == "cut-line"
    assert tap.error.what == "the tap's output ends in the middle of line 4"


def test_a_last_line_without_line_end_counts(tap):
    assert tap.rows(tap.schema(id=INT), tap.record('{"id":1}').encode()) == [{"id": 1}]


def test_3_blank_lines_are_ignored(tap):
    assert tap.rows("", tap.schema(id=INT), "   ", "\t", tap.record('{"id":1}'), "") == [{"id": 1}]


def test_4_a_byte_order_mark_is_stripped(tap):
    assert tap.rows(b"\xef\xbb\xbf" + tap.schema(id=INT).encode() + b"\n", tap.record('{"id":1}')) == [{"id": 1}]


def test_5_crlf_line_ends_are_fine(tap):
    data = (tap.schema(id=INT) + "\r\n" + tap.record('{"id":1}') + "\r\n").encode()
    assert tap.rows(data) == [{"id": 1}]


def test_6_invalid_utf8_fails_with_its_offset(tap):
    schema = tap.schema(v={"type": "string"})
    tap.read(schema, b'{"type":"RECORD","stream":"s","record":{"v":"a\xffb"}}\n')
    assert tap.error.what == "line 2 of the tap's output is not UTF-8"
    assert f"at byte {len(schema) + 1 + 46}" in tap.error.why


def test_6_invalid_utf8_is_replaced_where_that_is_allowed(tap):
    line = b'{"type":"RECORD","stream":"s","record":{"v":"a\xffb"}}\n'
    assert tap.rows(tap.schema(v={"type": "string"}), line, replace_invalid_utf8=True) == [{"v": "a\ufffdb"}]
    assert tap.notices == ["1 invalid UTF-8 bytes were replaced by U+FFFD"]


def test_7_two_messages_on_one_line_fail(tap):
    tap.read(tap.schema(id=INT), tap.record('{"id":1}') + tap.record('{"id":2}'))
    assert tap.error.what == "line 2 of the tap's output is not JSON"


@pytest.mark.parametrize("line", ["[]", "1", "null", '"x"'])
def test_8_a_line_that_is_no_object_fails(tap, line):
    tap.read(line)
    assert (tap.error.reference, tap.error.what) == ("bad-message", "line 1 of the tap's output is not an object")


@pytest.mark.parametrize("line", ["INFO starting", "[2024-01-01] starting", "2024-01-01 starting"])
def test_9_log_text_on_stdout_is_recognised(tap, line):
    tap.read(line)
    assert tap.error.reference == "tap-logs-to-stdout"
    assert "stderr" in tap.error.hint


def test_9_log_text_can_be_tolerated(tap):
    rows = tap.rows(tap.schema(id=INT), "INFO starting", tap.record('{"id":1}'), tolerate_stdout_noise=True)
    assert rows == [{"id": 1}]
    assert tap.notices == ["the tap wrote to stdout: INFO starting"]


def test_10_types_in_lower_case_count(tap):
    assert tap.rows(
        tap.schema(id=INT).replace("SCHEMA", "schema"), tap.record('{"id":1}').replace("RECORD", "record")
    ) == [{"id": 1}]


def test_11_unknown_types_are_told_once(tap):
    assert tap.rows('{"type":"FOO"}', '{"type":"FOO","x":1}') == []
    assert tap.notices == ["messages of type `FOO` are ignored"]


def test_13_a_record_before_its_schema_fails(tap):
    tap.read(tap.record('{"id":1}'))
    assert tap.error.reference == "record-before-schema"


def test_14_missing_and_single_key_properties_are_taken(tap):
    found = tap.read('{"type":"SCHEMA","stream":"a","schema":{"properties":{"id":{}}}}')
    assert found[0].keys == ()
    found = tap.read('{"type":"SCHEMA","stream":"a","schema":{"properties":{"id":{}}},"key_properties":"id"}')
    assert found[0].keys == ("id",)
    assert tap.notices == [
        "stream `a`: its SCHEMA has no list of `key_properties`; it is loaded as if it had none",
        "stream `a`: `key_properties` is one name, not a list; it is taken as `[id]`",
    ]


def test_16_a_key_that_is_no_property_fails(tap):
    tap.read(tap.schema(["idd"], id=INT))
    assert (tap.error.reference, tap.error.hint) == ("unknown-key", "did you mean `id`?")


def test_17_a_schema_without_properties_fails(tap):
    tap.read('{"type":"SCHEMA","stream":"a","schema":{"type":"object"},"key_properties":[]}')
    assert (tap.error.reference, tap.error.what) == (
        "bad-schema",
        "stream `a`: the stream's schema has no `properties`",
    )


def test_18_the_same_schema_again_is_nothing(tap, shown):
    pair = [tap.schema(id=INT), tap.record('{"id":1}')]
    assert shown(tap.read(*pair * 3)) == ["Schema s", "Rows s 3"]


def test_19_another_order_of_properties_is_nothing(tap, shown):
    found = tap.read(tap.schema(a=INT, b=INT), tap.record('{"a":1}'), tap.schema(b=INT, a=INT), tap.record('{"a":2}'))
    assert shown(found).count("Schema s") == 1


def test_20_a_new_schema_comes_after_the_rows_of_the_old_one(tap, shown):
    found = tap.read(
        tap.schema(["id"], id=INT),
        tap.record('{"id":1}'),
        tap.schema(["id"], id=INT, b=INT),
        tap.record('{"id":1,"b":2}'),
    )
    assert shown(found) == ["Schema s", "Rows s 1", "Schema s", "Rows s 1"]
    assert found[2].columns.names == ["id", "b"]


def test_21_alternating_schemas_make_their_union_once(tap):
    one, two = tap.schema(a=INT), tap.schema(b=INT)
    found = tap.read(*[one, tap.record('{"a":1}'), two, tap.record('{"b":2}')] * 4)
    assert [m.columns.names for m in found if isinstance(m, Schema)] == [["a"], ["a", "b"]]
    assert sum(m.batch.num_rows for m in found if isinstance(m, Rows)) == 8


def test_23_interleaved_streams_come_together_and_the_last_state_vouches_for_all(tap, shown):
    lines = [tap.schema(stream="a", id=INT), tap.schema(stream="b", id=INT)]
    for number in range(3):
        lines += [tap.record(f'{{"id":{number}}}', stream) for stream in "ab"] + [tap.state(str(number))]
    found = tap.read(*lines, tap.record('{"id":9}', "a"))
    assert shown(found) == ["Schema a", "Rows a 3", "Schema b", "Rows b 3", "Checkpoint 2", "Rows a 1"]


def test_24_a_bad_record_leaves_the_states_before_it(tap, shown):
    lines = [tap.schema(id=INT), tap.record('{"id":1}'), tap.state("1"), tap.record('{"id":{}}'), tap.state("2")]
    assert shown(tap.read(*lines)) == ["Schema s", "Rows s 1", "Checkpoint 1"]
    assert tap.error.reference == "bad-record"
    assert tap.error.what == "line 4 of the tap's output: a record of stream `s` cannot be loaded"
    assert tap.error.why == "column `id`: it is an object, not `integer`"


def test_26_states_without_records_end_in_the_last(tap, shown):
    assert shown(tap.read(tap.state("1"), tap.state("2"))) == ["Checkpoint 2"]


def test_27_no_state_is_no_checkpoint(tap, shown):
    assert shown(tap.read(tap.schema(id=INT), tap.record('{"id":1}'))) == ["Schema s", "Rows s 1"]


@pytest.mark.parametrize(
    "state",
    ["null", "{}", "[1]", '"x"', '{"a":1.0,"b":100000000000000000000,"c":"é","a":2}', '{"n":NaN,"s":"\\ud800"}'],
)
def test_28_and_29_a_state_is_passed_on_as_it_came(tap, state):
    assert tap.read(tap.state(state)) == [Checkpoint(state=state.encode())]


def test_35_versions_come_after_the_rows_before_them(tap, shown):
    line = '{"type":"ACTIVATE_VERSION","stream":"s","version":5}'
    assert shown(tap.read(tap.schema(id=INT), tap.record('{"id":1}'), line)) == [
        "Schema s",
        "Rows s 1",
        "ActivateVersion s",
    ]


def test_37_a_version_of_an_unknown_stream_is_told_and_ignored(tap):
    assert tap.read('{"type":"ACTIVATE_VERSION","stream":"x","version":5}') == []
    assert tap.notices == ["ACTIVATE_VERSION of stream `x` is ignored: the stream has no SCHEMA"]


def test_41_a_bad_extraction_time_is_no_crash(tap):
    line = '{"type":"RECORD","stream":"s","record":{"id":1},"time_extracted":{"x":1}}'
    assert tap.rows(tap.schema(id=INT), line) == [{"id": 1}]


@pytest.mark.parametrize("version", ["5", '"5"', "5.0"])
def test_42_versions_are_integers_in_any_dress(tap, version):
    record = f'{{"type":"RECORD","stream":"s","version":{version},"record":{{"id":1}}}}'
    activate = f'{{"type":"ACTIVATE_VERSION","stream":"s","version":{version}}}'
    found = tap.read(tap.schema(id=INT), record, activate)
    assert found[1].version == 5
    assert found[2] == ActivateVersion(stream="s", version=5)


def test_42_other_versions_fail(tap):
    tap.read(tap.schema(id=INT), '{"type":"RECORD","stream":"s","version":"x","record":{"id":1}}')
    assert tap.error.what == "the version of stream `s` is not an integer"


def test_rows_of_two_versions_do_not_mix(tap):
    lines = [f'{{"type":"RECORD","stream":"s","version":{v},"record":{{"id":1}}}}' for v in (1, 1, 2)]
    found = tap.read(tap.schema(id=INT), *lines)
    assert [(m.version, m.batch.num_rows) for m in found if isinstance(m, Rows)] == [(1, 2), (2, 1)]


def test_43_nothing_is_nothing(tap):
    assert tap.read() == []


def test_45_a_line_that_is_too_long_names_stream_and_setting(tap):
    line = tap.record('{"v":"' + "x" * 3000 + '"}', "big")
    tap.read(chunks=[line[start : start + 100].encode() for start in range(0, len(line), 100)], max_message_bytes=2000)
    assert tap.error.reference == "message-too-long"
    assert "stream `big`" in tap.error.what
    assert tap.error.hint.endswith("headwater config set TAP _max_message_bytes N")


def test_more_columns_than_are_taken(tap):
    tap.read(tap.schema(stream="wide", **{f"c{n}": INT for n in range(1200)}), max_columns=1000)
    assert tap.error.reference == "too-many-columns"
    assert tap.error.what == "stream `wide` has 1,200 columns, and at most 1,000 are taken"
    assert tap.error.hint.endswith("headwater config set TAP _max_columns N")


def test_batches_are_cut_by_bytes(tap):
    lines = [tap.schema(id=INT), *(tap.record(f'{{"id":{n}}}') for n in range(100))]
    found = tap.read(*lines, batch_bytes=1000)
    assert len([m for m in found if isinstance(m, Rows)]) == 3
    assert [row["id"] for m in found if isinstance(m, Rows) for row in m.batch.to_pylist()] == list(range(100))


def test_203_bad_records_can_be_set_aside(tap):
    lines = [
        tap.schema(["id"], id=INT),
        tap.record('{"id":1}'),
        tap.record('{"id":null}'),
        tap.record('{"id":[]}'),
        tap.record("[]"),
    ]
    found = tap.read(*lines, on_bad_record="quarantine")
    assert {m.record: m.reason for m in found if isinstance(m, Rejected)} == {
        b'{"id":null}': "the key `id` has no value",
        b'{"id":[]}': "column `id`: it is an array, not `integer`",
        b"[]": "the record is not an object",
    }
    assert [m.batch.to_pylist() for m in found if isinstance(m, Rows)] == [[{"id": 1}]]


def test_141_and_142_a_key_without_value_fails(tap):
    for record in ("{}", '{"id":null}'):
        tap.read(tap.schema(["id"], id=INT), tap.record(record))
        assert tap.error.why == "the key `id` has no value"


def test_114_a_required_field_that_is_missing_fails(tap):
    line = tap.schema(id=INT).replace('"type": "object"', '"type": "object", "required": ["id"]')
    tap.read(line, tap.record("{}"))
    assert tap.error.why == "the required field `id` is missing"
    tap.error = None
    assert tap.rows(line, tap.record("{}"), check_required=False) == [{"id": None}]


def test_a_record_message_without_a_record_is_not_passed_over(tap, shown):
    found = tap.read(tap.schema(id=INT), tap.state("1"), '{"type": "RECORD", "stream": "s", "rekord": {"id": 1}}')
    assert shown(found) == ["Schema s", "Checkpoint 1"]
    assert tap.error.what == "a RECORD message of stream `s` has no `record`"


def test_a_schema_with_a_number_that_nobody_can_hold_is_refused(tap):
    tap.read('{"type": "SCHEMA", "stream": "s", "schema": {}, "key_properties": 1e400}')
    assert tap.error.what == "a SCHEMA message of stream `s` cannot be read"
