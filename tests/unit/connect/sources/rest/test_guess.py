"""What a first look at an API finds out."""

from __future__ import annotations

import msgspec
import pytest

from headwater.connect.sources.rest.answer import Answer
from headwater.connect.sources.rest.guess import guess

ROWS = [{"id": n, "name": f"n{n}", "created_at": "2024-01-01", "updated_at": "2024-01-02T00:00:00Z"} for n in range(50)]


def look(api, parameters=None, headers=None):
    def ask(added):
        body = api({**(parameters or {}), **added})
        return None if body is None else Answer(msgspec.json.encode(body), headers or {}, "http://x/")

    first = ask({})
    return guess(first, parameters or {}, ask)


def paged(parameters):
    first = 10 * (int(parameters.get("page", 1)) - 1)
    return {"data": {"orders": ROWS[first : first + 10]}, "meta": {"total_pages": 5}, "tags": [{"a": 1}]}


def by_offset(parameters):
    first = int(parameters.get("offset", 0))
    return {"items": ROWS[first : first + 10], "total": 50}


def by_cursor(parameters):
    first = int(parameters.get("cursor", 0))
    return {"results": ROWS[first : first + 10], "meta": {"next_cursor": str(first + 10)}}


@pytest.mark.parametrize(
    ("api", "records", "pagination"),
    [
        (lambda _: ROWS[:7], "", None),
        (paged, "data.orders", {"type": "page", "total": "meta.total_pages"}),
        (
            by_offset,
            "items",
            {"type": "offset", "parameter": "offset", "size": 10, "total": "total", "size_parameter": None},
        ),
        (by_cursor, "results", {"type": "cursor", "parameter": "cursor", "path": "meta.next_cursor"}),
        (
            lambda p: {"value": ROWS[:10], "links": {"next": {"href": "/orders?at=2"}}},
            "value",
            {"type": "next_url", "path": "links.next.href"},
        ),
        (
            lambda p: {"data": {"orders": {"edges": [{"node": one} for one in ROWS[:3]]}}},
            "data.orders.edges[].node",
            None,
        ),
    ],
)
def test_records_and_pages_are_found(api, records, pagination):
    found = look(api)
    assert (found.records, found.pagination, found.key, found.cursor) == (records, pagination, "id", "updated_at")


def test_a_link_header_says_it_all():
    found = look(lambda _: ROWS[:10], headers={"link": '<http://x/?page=2>; rel="next"'})
    assert found.pagination == {"type": "link"}
    assert [(one.what, one.sure) for one in found.findings] == [
        ("records", "sure"),
        ("key", "sure"),
        ("cursor", "likely"),
        ("pages", "sure"),
    ]


@pytest.mark.parametrize("body", [[], {}, {"data": []}, {"error": "no"}, [1, 2], "text"])
def test_nothing_to_see_is_no_error(body):
    found = look(lambda _: body)
    assert (found.key, found.cursor, found.pagination) == (None, None, None)


def test_a_name_that_comes_twice_is_no_key():
    assert look(lambda _: [{"name": "a", "shop_id": 1}, {"name": "a", "shop_id": 2}]).key == "shop_id"
