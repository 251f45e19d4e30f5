"""What is asked for, in what order, and what becomes of it: pages, windows, parents, states, columns."""

from __future__ import annotations

import json

import msgspec
import pytest

from headwater.base.errors import HeadwaterError
from headwater.connect.contract import Schema

NUMBERS = list(range(1, 8))


def ids(rows):
    return [row["id"] for row in rows]


def part(asked, first, size):
    return [{"id": n} for n in NUMBERS[first : first + size]]


def linked(asked):
    """With `Link` headers."""
    at = int(asked.query.get("at", 0))
    more = {"link": f'</orders?at={at + 3}>; rel="next", </orders?at=0>; rel="first"'} if at < 6 else {}
    return part(asked, at, 3), 200, more


def cursors(asked):
    at = int(asked.query.get("after", 0))
    return {"data": part(asked, at, 3), "meta": {"next": at + 3, "more": at < 4}}


def next_urls(asked):
    at = int(asked.query.get("at", 0))
    return {"data": part(asked, at, 3), "next": f"?at={at + 3}" if at < 6 else None}


# How the API answers, where its records are, and how many calls it takes.
PAGINATIONS = {
    "{type: page, size: 3, size_parameter: n}": (
        lambda asked: part(asked, 3 * (int(asked.query["page"]) - 1), int(asked.query["n"])),
        "",
        3,
    ),
    "{type: page, start: 0, total: pages}": (
        lambda asked: {"data": part(asked, 3 * int(asked.query["page"]), 3), "pages": 3},
        "data",
        3,
    ),
    "{type: offset, size: 3}": (
        lambda asked: part(asked, int(asked.query["offset"]), int(asked.query["limit"])),
        "",
        3,
    ),
    "{type: offset, size: 100, total: total}": (
        lambda asked: {"data": part(asked, int(asked.query["offset"]), 3), "total": 7},
        "data",
        3,
    ),
    "{type: cursor, parameter: after, path: meta.next, more: meta.more}": (cursors, "data", 3),
    "{type: cursor, parameter: after, record: id}": (
        lambda asked: part(asked, int(asked.query.get("after", 0)), 3),
        "",
        4,
    ),
    "{type: link}": (linked, "", 3),
    "{type: next_url, path: next}": (next_urls, "data", 3),
    "{type: page, in: body}": (lambda asked: part(asked, 3 * (asked.json["page"] - 1), 3), "", 4),
}


@pytest.mark.parametrize("pagination", PAGINATIONS)
def test_every_page_is_read_and_none_twice(source, pagination):
    answer, records, calls = PAGINATIONS[pagination]
    source.api.answer = lambda asked: source.api.reply(*found) if isinstance(found := answer(asked), tuple) else found
    source.write(
        f"pagination: {pagination}\n"
        f"streams: {{orders: {{path: /orders, records: '{records}', columns: {{id: integer}}}}}}\n"
    )
    rows, _ = source.read()
    assert ids(rows) == NUMBERS
    assert len(source.api.asked) == calls


def test_a_server_that_gives_less_than_asked_for_is_asked_on(source):
    source.write(
        "pagination: {type: page, size: 500, size_parameter: n}\nstreams: {orders: {path: /, columns: {id: integer}}}\n"
    )
    source.api.answer = lambda asked: [{"id": n} for n in range(250)][(int(asked.query["page"]) - 1) * 100 :][:100]
    assert ids(source.read()[0]) == list(range(250))


def test_graphql_pages_by_its_connection(source):
    source.write("""
streams:
  orders:
    path: /graphql
    graphql:
      query: "query($first: Int, $after: String) { orders(first: $first, after: $after) { … } }"
      variables: {first: 3}
    records: data.orders.edges[].node
    pagination: {type: relay, page_info: data.orders.pageInfo}
    columns: {id: integer}
""")

    def answer(asked):
        assert (asked.method, asked.json["variables"]["first"]) == ("POST", 3)
        at = int(asked.json["variables"].get("after", 0))
        info = {"hasNextPage": at + 3 < 7, "endCursor": str(at + 3)}
        return {"data": {"orders": {"edges": [{"node": one} for one in part(asked, at, 3)], "pageInfo": info}}}

    source.api.answer = answer
    assert ids(source.read()[0]) == NUMBERS
    source.api.answer = lambda asked: {"data": None, "errors": [{"message": "Field 'x' does not exist"}]}
    with pytest.raises(HeadwaterError) as caught:
        source.read()
    assert (caught.value.reference, caught.value.why) == ("graphql-error", "Field 'x' does not exist")
    assert caught.value.hint == "correct `graphql` of stream `orders`"


WINDOWED = """
concurrency: 1
streams:
  orders:
    path: /orders
    keys: id
    parameters: {from: "{{ start | date }}", to: "{{ end | date }}"}
    incremental: {cursor: at, start: "2024-01-01", end: "2024-03-05", window: 30d}
    columns: {id: integer, at: timestamp}
"""


def test_windows_follow_one_another_and_are_noted_one_by_one(source):
    source.write(WINDOWED)
    source.api.answer = lambda asked: [{"id": len(source.api.asked), "at": f"{asked.query['from']}T01:00:00Z"}]
    rows, state = source.read()
    assert [(one.query["from"], one.query["to"]) for one in source.api.asked] == [
        ("2024-01-01", "2024-01-31"),
        ("2024-01-31", "2024-03-01"),
        ("2024-03-01", "2024-03-05"),
    ]
    assert len(rows) == 3
    # To the last record, not to the end: what belongs after it may come later.
    assert source.bookmark(state) == {"$datetime": "2024-03-01T01:00:00+00:00"}
    source.read(state)
    assert [one.query["from"] for one in source.api.asked] == ["2024-03-01"]


def test_an_empty_last_window_is_asked_for_again(source):
    source.write(WINDOWED)
    source.api.answer = lambda asked: []
    _, state = source.read()
    assert source.bookmark(state) == {"$datetime": "2024-03-01T00:00:00+00:00"}


def test_a_cursor_goes_on_a_little_before_the_bookmark(source):
    source.write("""
streams:
  orders:
    path: /orders
    keys: id
    parameters: {since: "{{ start | epoch }}"}
    incremental: {cursor: at, start: "2024-01-01", lookback: 1h, cursor_format: epoch}
""")
    source.api.answer = lambda asked: [{"id": 1, "at": 1_710_000_000}, {"id": 2, "at": 1_700_000_000}]
    _, state = source.read()
    assert source.api.asked[0].query == {"since": "1704067200"}
    assert source.bookmark(state) == 1_710_000_000
    source.read(state)
    assert source.api.asked[0].query == {"since": "1709996400"}


def test_rows_from_before_the_bookmark_are_left_out_where_the_api_has_no_word_for_it(source):
    source.write("streams: {orders: {path: /orders, keys: id, incremental: {cursor: at}}}\n")
    source.api.answer = lambda asked: [{"id": 1, "at": "2024-01-01"}, {"id": 2, "at": "2024-01-02"}]
    _, state = source.read()
    source.api.answer = lambda asked: [{"id": n, "at": f"2024-01-0{n}"} for n in (1, 2, 3)]
    assert ids(source.read(state)[0]) == [2, 3]


CHILDREN = """
concurrency: 3
streams:
  shops: {path: /shops, keys: id, columns: {id: string}, pagination: {type: page}}
  orders:
    path: /shops/{{ parent.id }}/orders
    parent: {stream: shops, fields: {shop: "{{ parent.id }}"}}
    keys: [shop, id]
    empty_statuses: [404]
    columns: {id: integer}
"""


def children(source, missing=()):
    def answer(asked):
        if asked.path == "/shops":
            first = 4 * (int(asked.query["page"]) - 1)
            return [{"id": f"s/{n}"} for n in range(first, min(first + 4, 10))]
        shop = asked.path.split("/")[2]
        return source.api.reply(b"", 404) if shop in missing else [{"id": 1, "since": asked.query.get("since")}]

    return answer


def test_children_are_asked_for_by_each_parent_and_come_in_its_order(source):
    source.write(CHILDREN)
    source.api.answer = children(source, missing=["s%2F3"])
    rows, _ = source.read()
    assert [row["shop"] for row in rows if "shop" in row] == [f"s/{n}" for n in range(10) if n != 3]


def test_each_child_has_a_bookmark_of_its_own(source):
    source.write(
        CHILDREN.replace("integer}", "integer, at: date}")
        + '    parameters: {since: "{{ start }}"}\n    incremental: {cursor: at, start: "2020-01-01"}\n'
    )
    at = {"s%2F0": "2024-01-05", "s%2F1": "2024-01-09"}

    def answer(asked):
        if asked.path == "/shops":
            return [{"id": "s/0"}, {"id": "s/1"}] if asked.query["page"] == "1" else []
        return [{"id": 1, "at": at[asked.path.split("/")[2]]}]

    source.api.answer = answer
    _, state = source.read()
    assert source.bookmark(state) == {'["","s/0"]': {"$date": "2024-01-05"}, '["","s/1"]': {"$date": "2024-01-09"}}
    rows, _ = source.read(state)
    since = [one.query.get("since") for one in source.api.asked if "orders" in one.path]  # asked for side by side
    assert sorted(since) == ["2024-01-05", "2024-01-09"]
    assert [row["shop"] for row in rows if "shop" in row] == ["s/0", "s/1"]


def test_a_grandchild_knows_all_above_it(source):
    source.write("""
streams:
  a: {path: /a, keys: id, selected: false}
  b: {path: "/a/{{ parent.id }}/b", keys: id, selected: false, parent: {stream: a}}
  orders:
    path: /a/{{ parent.parent.id }}/b/{{ parent.id }}/c
    parent: {stream: b, fields: {a: "{{ parent.parent.id }}", b: "{{ parent.id }}"}}
""")
    source.api.answer = lambda asked: [{"id": len(asked.path.split("/"))}]
    rows, _ = source.read()
    assert rows == [{"id": 6, "a": 2, "b": 4}]


def test_objects_flatten_and_lists_are_json(source):
    source.write("streams: {orders: {path: /orders}}\n")
    source.api.answer = lambda asked: [
        {"id": 1, "who": {"name": "A", "tags": ["x"]}, "big": 12345678901234567890, "none": None, "d": "2024-01-31"},
        {"id": 2, "who": None, "big": 1, "none": None, "d": None},
    ]
    found = source.messages()
    schema = next(m for m in found if isinstance(m, Schema))
    assert [f"{one.name} {one.type}" for one in schema.columns] == [
        "id int64",
        "who__name string",
        "who__tags string",
        "big decimal128(20, 0)",
        "d date32[day]",
    ]
    rows = [row for m in found if hasattr(m, "batch") for row in m.batch.to_pylist()]
    assert (rows[0]["who__tags"], rows[0]["big"]) == ('["x"]', 12345678901234567890)


def test_columns_are_kept_for_the_next_run(source):
    source.write("streams: {orders: {path: /orders}}\n")
    source.api.answer = lambda asked: [{"id": 1, "who": {"name": "A"}, "n": 1.5}]
    _, state = source.read()
    source.api.answer = lambda asked: [{"id": 1, "n": 2}]
    rows, again = source.read(state)
    assert rows == [{"id": 1, "who__name": None, "n": 2.0}]
    assert msgspec.json.decode(again)["streams"] == msgspec.json.decode(state)["streams"]


def test_a_field_that_was_not_sent_is_told_from_a_null(source):
    source.write("streams: {orders: {path: /orders, keys: id}}\n")
    source.api.answer = lambda asked: [{"id": 1, "a": 1, "b": None}, {"id": 2, "b": "x"}]
    missing = next(m.missing for m in source.messages() if hasattr(m, "missing"))
    assert missing.to_pylist() == [None, ["a"]]


def test_an_object_of_records_is_a_list_with_their_names(source):
    source.write("streams: {rates: {path: /, records: rates, key_field: date, keys: date}}\n")
    source.api.answer = lambda asked: {"rates": {"2024-01-01": {"USD": 1.1}, "2024-01-02": {}}}
    rows, _ = source.read()
    assert [(str(row["date"]), row["USD"]) for row in rows] == [("2024-01-01", 1.1), ("2024-01-02", None)]


def test_nan_and_lone_surrogates_are_mended(source):
    source.write("streams: {orders: {path: /, columns: {id: integer, n: number, t: string}}}\n")
    source.api.answer = lambda asked: source.api.reply(b'[{"id": 1, "n": NaN, "t": "a\\ud800"}]')
    rows, _ = source.read()
    assert str(rows) == str([{"id": 1, "n": float("nan"), "t": "a\ufffd"}])


def test_calls_are_not_faster_than_allowed(source):
    source.write(
        "limits: {requests: 20, per: second}\npagination: {type: page}\n"
        "streams: {orders: {path: /, columns: {id: integer}}}\n"
    )
    source.api.answer = lambda asked: [{"id": asked.query["page"]}] if asked.query["page"] < "4" else []
    from headwater.base.clock import monotonic

    before = monotonic()
    source.read()
    assert monotonic() - before >= 0.15


def test_answers_are_kept_only_when_asked_for_and_tell_nothing_by_their_names(source, tmp_path):
    source.write(
        "auth: {type: api_key, value: '{{ config.key }}', name: key, in: query}\nstreams: {orders: {path: /}}\n"
    )
    source.given, source.secrets = {"key": "hush-hush"}, ("hush-hush",)
    source.api.answer = lambda asked: [{"id": len(source.api.asked)}]
    source.read()
    assert not (tmp_path / ".headwater").exists()
    source.cache_seconds = 60
    first, _ = source.read()
    again, _ = source.read()
    assert (first, source.api.asked) == (again, [])
    kept = list((tmp_path / ".headwater" / "rest-cache").iterdir())
    assert {oct(path.stat().st_mode)[-3:] for path in kept} == {"600"}
    assert not any(b"hush" in path.read_bytes() or "hush" in path.name for path in kept)
    source.given, source.secrets = {"key": "another"}, ("another",)
    source.discovered()
    assert source.api.asked


def test_the_query_of_a_call_holds_lists_numbers_and_no_empty_values(source):
    source.write("""
parameters: {api: 2}
streams:
  orders: {path: "/o?fixed=1", parameters: {ids: ["a b", "c&d"], none: "{{ config.none }}", yes: true}}
""")
    source.api.answer = lambda asked: []
    source.read()
    assert source.api.asked[0].query == {"fixed": "1", "api": "2", "ids": "c&d", "yes": "true"}


def test_a_body_is_json_with_its_expressions_filled(source):
    source.write(
        "streams: {orders: {path: /, body: {filter: {region: '{{ config.region }}', n: [1, '{{ config.n }}']}}}}\n"
    )
    source.given = {"region": "eu", "n": 5}
    source.api.answer = lambda asked: []
    source.read()
    (asked,) = source.api.asked
    assert (asked.method, json.loads(asked.body)) == ("POST", {"filter": {"region": "eu", "n": [1, 5]}})


def test_children_come_whole_where_the_api_has_no_word_for_what_is_new(source):
    source.write(CHILDREN.replace("integer}", "integer, at: date}") + "    incremental: {cursor: at}\n")

    def answer(asked):
        if asked.path == "/shops":
            return [{"id": "s0"}] if asked.query["page"] == "1" else []
        return [{"id": 1, "at": "2024-01-01"}, {"id": 2, "at": "2024-01-02"}]

    source.api.answer = answer
    _, state = source.read()
    assert [row["id"] for row in source.read(state)[0] if "shop" in row] == [1, 2]


def test_values_that_were_changed_are_counted(source):
    source.write("streams: {orders: {path: /, columns: {id: integer, t: string}}}\n")
    source.api.answer = lambda asked: source.api.reply(b'[{"id": 1, "t": "a\\ud800"}, {"id": 2, "t": "b"}]')
    assert [m.repaired for m in source.messages() if hasattr(m, "repaired")] == [{"t": 1}]


def test_calls_go_through_the_proxy_of_the_environment(source, api, monkeypatch):
    monkeypatch.setenv("http_proxy", api.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    source.write("streams: {orders: {path: /orders}}\n")
    text = (source.folder / "shop.yml").read_text()
    (source.folder / "shop.yml").write_text(text.replace(api.url, "http://api.example"))
    api.answer = lambda asked: [{"id": 1}]
    rows, _ = source.read()
    assert rows == [{"id": 1}]
    assert {one.headers["host"] for one in api.asked} == {"api.example"}


def test_each_way_to_lack_a_field_is_told(source):
    source.write("streams: {orders: {path: /orders, keys: id}}\n")
    source.api.answer = lambda asked: [
        {"id": 1, "a": {"x": 1, "y": 2}, "b": 1},
        {"id": 2, "b": None},
        {"id": 3},
        {"id": 4, "a": None, "b": 1},
    ]
    missing = next(m.missing for m in source.messages() if hasattr(m, "missing"))
    assert missing.to_pylist() == [None, ["a__x", "a__y"], ["a__x", "a__y", "b"], None]
