from __future__ import annotations

import json

import pytest

from headwater.base.errors import EnvironmentProblemError, InputError
from headwater.store import states
from headwater.store.state_backends import Place, open_backend
from headwater.store.state_folder import FolderStates
from headwater.store.system_db import SystemDb

RAW = '{"bookmarks": {"a": {"n": 1.0, "big": 100000000000000000000, "u": "é"}, "a": 2}}'


@pytest.fixture(params=["systemdb", "folder"])
def backend(request, tmp_path):
    db = SystemDb(tmp_path / "home")
    uri = "systemdb" if request.param == "systemdb" else f"file://{tmp_path}/states"
    yield open_backend(Place(home=tmp_path / "home", uri=uri), db)
    db.close()


def listed(backend):
    return [found.state_id for found in states.listed(backend)]


def value(backend, state_id="dev:a-to-b"):
    return states.merged(backend.read(state_id))


def save(backend, text, run_id="r1", **kw):
    return states.save(backend, "dev:a-to-b", text, run_id=run_id, **kw)


def test_a_state_comes_back_byte_for_byte(backend):
    assert save(backend, RAW)
    assert value(backend) == RAW
    assert backend.ids() == ["dev:a-to-b"]


@pytest.mark.parametrize("empty", ["{}", " null\n", "{}\n"])
def test_an_empty_state_never_replaces_one_that_says_something(backend, empty):
    save(backend, RAW)
    assert not save(backend, empty, "r2")
    assert value(backend) == RAW


def test_an_empty_state_is_kept_where_nothing_stands(backend):
    assert save(backend, "{}")
    assert value(backend) == "{}"


def test_a_full_refresh_is_merged_over_what_stands_until_the_next_whole_state(backend):
    save(backend, '{"bookmarks":{"a":1,"b":{"x":1}}}')
    save(backend, '{"bookmarks":{"b":{"x":2}}}', "r2", partial=True)
    save(backend, '{"bookmarks":{"c":[3]}}', "r2", partial=True)
    assert value(backend) == '{"bookmarks":{"a":1,"b":{"x":2},"c":[3]}}'
    save(backend, '{"bookmarks":{}}', "r3")
    assert value(backend) == '{"bookmarks":{}}'


def test_what_a_person_sets_is_marked_until_a_run_writes(backend):
    states.set_state(backend, "dev:a-to-b", '{"singer_state": {"x": 1.0}}')
    state = backend.read("dev:a-to-b")
    assert (state.value, state.by_user) == ('{"x": 1.0}', True)
    save(backend, '{"x": 2}')
    assert not backend.read("dev:a-to-b").by_user


def test_a_person_may_set_an_empty_state(backend):
    save(backend, RAW)
    states.set_state(backend, "dev:a-to-b", '{"singer_state": {}}')
    assert value(backend) == "{}"


def test_a_cleared_state_is_remembered_as_a_wish_but_not_listed(backend):
    save(backend, RAW)
    assert states.clear_state(backend, "dev:a-to-b")
    assert (value(backend), backend.read("dev:a-to-b").by_user, listed(backend)) == (None, True, [])
    assert not states.clear_state(backend, "dev:a-to-b")


def test_states_are_copied_moved_and_merged(backend):
    save(backend, '{"a":1}')
    states.copy_state(backend, "dev:a-to-b", "dev:c-to-d")
    states.move_state(backend, "dev:c-to-d", "dev:e/../f")
    states.merge_state(backend, "dev:e/../f", '{"singer_state":{"b":2}}')
    assert listed(backend) == ["dev:a-to-b", "dev:e/../f"]
    assert value(backend, "dev:e/../f") == '{"a":1,"b":2}'
    with pytest.raises(InputError, match="there is no state for `nope`"):
        states.copy_state(backend, "nope", "x")


@pytest.mark.parametrize("text", ["", "{", "[1]", "1"])
def test_what_is_not_a_json_object_is_refused(backend, text):
    with pytest.raises(InputError) as error:
        states.set_state(backend, "x", text)
    assert error.value.reference == "invalid-state"


def test_a_damaged_file_is_passed_over_for_the_generation_before(tmp_path):
    said = []
    backend = FolderStates(tmp_path, said.append)
    for n in range(8):
        save(backend, f'{{"n":{n}}}', f"r{n}")
    folder = tmp_path / "dev:a-to-b"
    assert sorted(path.name for path in folder.iterdir()) == [
        ".lock",
        *(["state.json"] + [f"state.json.{n}" for n in range(1, 5)]),
    ]
    (folder / "state.json").write_bytes(b"\0\0")
    (folder / "state.json.1").write_bytes(b"")
    assert value(backend) == '{"n":5}'
    assert len(said) == 2
    for path in folder.glob("state.json*"):
        path.write_bytes(b"{")
    with pytest.raises(EnvironmentProblemError, match="no readable state"):
        backend.read("dev:a-to-b")
    states.set_state(backend, "dev:a-to-b", '{"singer_state": {}}')
    assert value(backend) == "{}"


def test_within_a_run_only_its_newest_state_takes_a_generation(tmp_path):
    backend = FolderStates(tmp_path, print)
    for n in range(8):
        save(backend, f'{{"n":{n}}}', "r1" if n < 4 else "r2")
    assert json.loads((tmp_path / "dev:a-to-b/state.json.1").read_text())["completed"] == {"singer_state": {"n": 3}}


def test_a_file_that_meltano_wrote_is_read(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x/state.json").write_text('{"completed": {"singer_state": {"a": 1}}, "partial": {}}')
    assert states.merged(FolderStates(tmp_path, print).read("x")) == '{"a": 1}'


def test_an_unknown_backend_is_refused(tmp_path):
    with pytest.raises(InputError, match="`redis://\\(redacted\\)@x`") as error:
        open_backend(Place(home=tmp_path, uri="redis://me:word@x"), SystemDb(tmp_path))
    assert error.value.why == "known here: systemdb, file, s3, gs, azure"


@pytest.mark.parametrize("kind", ["systemdb", "folder"])
def test_a_state_whose_value_was_tampered_with_gives_way_to_the_one_before(tmp_path, kind):
    db, told = SystemDb(tmp_path / "home"), []
    uri = "systemdb" if kind == "systemdb" else f"file://{tmp_path}/states"
    backend = open_backend(Place(home=tmp_path / "home", uri=uri), db, warn=told.append)
    save(backend, '{"n":1}', "r1")
    save(backend, '{"n":2}', "r2")
    if kind == "systemdb":
        with db.transaction() as connection:
            connection.execute("""update states set value = '{"n":9}' where generation = 2""")
    else:
        (file,) = (tmp_path / "states").glob("*/state.json")
        file.write_text(file.read_text().replace('{"n":2}', '{"n":9}'))
    assert value(backend) == '{"n":1}'
    assert ["is damaged" in text for text in told] == [True]
    db.close()
