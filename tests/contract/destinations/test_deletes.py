"""What a new table version does to the rows of older ones, marked or deleted, and what it may not do."""

from __future__ import annotations

import pytest

from headwater.base.errors import RunFailedError
from headwater.connect.contract import ActivateVersion

A, B = {"id": 1, "name": "a"}, {"id": 2, "name": "b"}
LOADERS = {"duckdb": "target-duckdb", "postgres": "target-postgres", "mysql": "target-mysql"}


@pytest.fixture
def run(place, send):
    place.need("versions")
    runs = iter(range(1, 100))

    def run(rows, version, *, keys=("id",), activates=True, **settings):
        session = place.open(f"run-{next(runs)}", **{"hard_delete": False, **settings})
        send(session, rows, keys=keys, version=version)
        if activates:
            session.activate(ActivateVersion(stream="users", version=version))
        try:
            return [one for one in session.commit(None, final=True).changes if one.change.startswith("rows-")]
        finally:
            session.close()

    return run


def alive(place):
    return [row["id"] for row in marked(place) if row.get("__deleted_at") is None]


def marked(place):
    return sorted(place.rows("users"), key=lambda row: row["id"])


def many(count, first=0):
    return [{"id": number, "name": "x"} for number in range(first, first + count)]


def test_rows_that_are_gone_are_marked(place, run):
    run([A, B], 1)
    (change,) = run([B], 2)
    assert (change.change, change.count, change.detail) == ("rows-marked", 1, "of versions before 2")
    assert [(row["id"], row["__deleted_at"] is None) for row in marked(place)] == [(1, False), (2, True)]


def test_a_row_that_comes_again_is_alive_again(place, run):
    run([A, B], 1)
    run([B], 2)
    run([A, B], 3)
    assert alive(place) == [1, 2]
    run([{"id": 2, "name": "c"}], 4)
    assert run([A], None, activates=False) == []
    assert alive(place) == [1, 2]


def test_a_mark_stays_what_it_was(place, run):
    run([A, B], 1)
    run([B], 2)
    first = marked(place)[0]["__deleted_at"]
    (change,) = run([B], 3)
    assert change.count == 0
    assert marked(place)[0]["__deleted_at"] == first


def test_a_row_deleted_and_sent_again_in_one_batch_is_alive(place, send, run):
    run([A, B], 1)
    session = place.open("run-9", hard_delete=False)
    send(session, [B], keys=("id",), version=2)
    session.activate(ActivateVersion(stream="users", version=2))
    send(session, [A], keys=("id",), version=2)
    session.commit(None, final=True)
    assert alive(place) == [1, 2]


def test_hard_deletes_take_the_marked_ones_too(place, run):
    run([A, B], 1)
    run([B], 2)
    (change,) = run([B], 3, hard_delete=True)
    assert (change.change, change.count) == ("rows-deleted", 1)
    assert [row["id"] for row in marked(place)] == [2]


@pytest.mark.parametrize("hard", [False, True])
def test_a_version_that_would_take_most_rows_fails_and_changes_nothing(place, run, hard):
    run(many(200), 1, hard_delete=hard)
    with pytest.raises(RunFailedError) as caught:
        run(many(99), 2, hard_delete=hard)
    error = caught.value
    assert (error.reference, error.what) == ("mass-delete", "101 of the 200 rows of stream `users` would be gone")
    loader = LOADERS[place.module.__name__.rpartition(".")[2]]
    assert error.hint.endswith(f"for one run: headwater config set {loader} max_delete_share 1")
    assert alive(place) == list(range(200))
    run(many(99), 2, hard_delete=hard, max_delete_share=1)
    assert alive(place) == list(range(99))


def test_a_failed_deletion_takes_its_rows_and_checkpoint_along(place, send, run):
    run(many(100), 1)
    session = place.open("run-9")
    send(session, [{"id": 1, "name": "new"}], keys=("id",), version=2)
    session.activate(ActivateVersion(stream="users", version=2))
    with pytest.raises(RunFailedError):
        session.commit(b"2", final=True)
    session.close()
    assert {row["name"] for row in place.rows("users")} == {"x"}
    assert place.open("run-10").checkpoint() is None


def test_half_of_the_rows_may_go_and_of_few_rows_all_but_one(place, run):
    run(many(200), 1)
    run(many(100), 2)
    assert alive(place) == list(range(100))
    run(many(99), 3)
    run(many(1), 4)
    assert alive(place) == [0]


def test_marked_rows_do_not_count_as_rows_that_stood(place, run):
    run(many(160), 1)
    run(many(80), 2)
    run(many(10), 3)
    assert alive(place) == list(range(10))


def test_the_share_is_a_setting(place, run):
    run(many(1000), 1)
    with pytest.raises(RunFailedError) as caught:
        run(many(899), 2, max_delete_share=0.1)
    assert caught.value.reference == "mass-delete"
    run(many(900), 2, max_delete_share=0.1)
    assert len(alive(place)) == 900


def test_without_keys_a_new_version_takes_the_place_of_the_old_one(place, run):
    run(many(200), 1, keys=())
    run(many(150), 2, keys=())
    assert alive(place) == list(range(150))
    with pytest.raises(RunFailedError) as caught:
        run(many(10), 3, keys=())
    assert caught.value.what == "140 of the 150 rows of stream `users` would be gone"
