"""A load into a table that was empty goes the short way, as long as no key comes twice."""

from __future__ import annotations

A, B, C = {"id": 1, "name": "a"}, {"id": 2, "name": "b"}, {"id": 3, "name": "c"}


def ordered(place):
    return sorted(place.rows("users"), key=lambda row: row["id"])


def test_each_commit_brings_new_keys(place, send):
    place.need("upsert")
    session = place.open()
    for number, row in enumerate([A, B, C]):
        send(session, [row], keys=["id"])
        session.commit(b"%d" % number)
    assert ordered(place) == [A, B, C]


def test_a_key_that_comes_again_in_a_later_commit_has_its_last_value(place, send):
    place.need("upsert")
    session = place.open()
    for number, rows in enumerate([[A, B], [C, {"id": 1, "name": "x"}], [{"id": 2, "name": "y"}]]):
        send(session, rows, keys=["id"])
        session.commit(b"%d" % number)
    assert ordered(place) == [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}, C]


def test_a_field_that_was_not_sent_later_keeps_its_value(place, send):
    place.need("upsert")
    session = place.open()
    send(session, [A], keys=["id"])
    session.commit(b"1")
    nameless = [{"id": 2, "name": None}, {"id": 1, "name": None}]
    send(session, nameless[:1], keys=["id"], missing=[["name"]])
    session.commit(b"2")
    send(session, nameless[1:], keys=["id"], missing=[["name"]])
    session.commit(b"3")
    assert ordered(place) == [A, {"id": 2, "name": None}]


def test_rows_of_another_load_that_came_meanwhile_are_met(place, send):
    place.need("upsert")
    ours, theirs = place.open(), place.open("run-2", "dev:other")
    send(ours, [A], keys=["id"])
    ours.commit(b"1")
    send(theirs, [B], keys=["id"])
    theirs.commit(b"1")
    send(ours, [{"id": 2, "name": "ours"}], keys=["id"])
    ours.commit(b"2")
    assert ordered(place) == [A, {"id": 2, "name": "ours"}]
