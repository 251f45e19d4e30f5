"""What holds wherever states are kept."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from headwater.base.errors import EnvironmentProblemError, InputError
from headwater.model.run import State
from headwater.store import states

ID = "dev:tap-a-to-target-b:with suffix"
RAW = '{"bookmarks": {"a": {"n": 1.0, "big": 100000000000000000000, "u": "é"}}}'


def ids(backend):
    return [found.state_id for found in states.listed(backend)]


def test_a_state_comes_back_and_is_listed(backend):
    assert backend.read(ID) is None
    assert states.save(backend, ID, RAW, run_id="r1", with_data=True)
    kept = backend.read(ID)
    assert json.loads(states.merged(kept)) == json.loads(RAW)
    assert (kept.with_data, kept.by_user, kept.run_id) == (True, False, "r1")
    assert ids(backend) == [ID]


def test_a_full_refresh_is_merged_over_what_stands(backend):
    states.save(backend, ID, '{"a":1,"b":{"x":1}}', run_id="r1")
    states.save(backend, ID, '{"b":{"x":2}}', run_id="r2", partial=True)
    assert json.loads(states.shown(backend.read(ID))) == {"singer_state": {"a": 1, "b": {"x": 2}}}


def test_what_a_person_cleared_is_remembered_as_a_wish_but_not_listed(backend):
    states.save(backend, ID, RAW, run_id="r1")
    assert states.clear_state(backend, ID)
    assert (states.merged(backend.read(ID)), backend.read(ID).by_user, ids(backend)) == (None, True, [])
    assert not states.clear_state(backend, ID)


def test_what_is_no_singer_state_is_shown_and_never_used(backend):
    states.set_state(backend, ID, '{"bookmarks":1}', validate=False)
    assert (states.merged(backend.read(ID)), states.shown(backend.read(ID))) == (None, '{"bookmarks":1}')
    assert ids(backend) == [ID]
    with pytest.raises(InputError, match="no `singer_state`"):
        states.set_state(backend, ID, '{"bookmarks":1}')


def test_nothing_is_lost_between_those_who_change_a_state_at_once(everywhere, opened):
    def count(backend):
        def one_more(old):
            number = json.loads(old.value)["n"] if old else 0
            return State(state_id=ID, value=json.dumps({"n": number + 1}), run_id=None)

        for _ in range(8):
            backend.update(ID, one_more)

    opened(everywhere).read(ID)  # makes what has to be made
    backends = [opened(everywhere) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, backends))
    assert states.merged(backends[0].read(ID)) == '{"n": 32}' or states.merged(backends[0].read(ID)) == '{"n":32}'


def test_a_state_that_has_changed_meanwhile_is_not_replaced(backend):
    states.set_state(backend, ID, '{"singer_state":{"n":1}}')
    shown = states.shown(backend.read(ID))
    states.replace_state(backend, ID, '{"singer_state":{"n":2}}', instead_of=shown)
    with pytest.raises(InputError, match="has changed meanwhile"):
        states.replace_state(backend, ID, '{"singer_state":{"n":3}}', instead_of=shown)
    assert json.loads(states.merged(backend.read(ID))) == {"n": 2}


def test_what_stood_before_can_be_set_again(backend):
    for n in range(3):
        states.save(backend, ID, f'{{"n":{n}}}', run_id=f"r{n}")
    states.clear_state(backend, ID)
    if backend.label == "Attic":  # a package keeps one
        assert [states.is_cleared(state) for state in backend.generations(ID)] == [True]
        with pytest.raises(InputError, match="no readable state"):
            states.restore_state(backend, ID)
        return
    assert [states.merged(state) for state in backend.generations(ID)] == [None, '{"n":2}', '{"n":1}', '{"n":0}']
    states.restore_state(backend, ID)
    assert (states.merged(backend.read(ID)), backend.read(ID).by_user) == ('{"n":2}', True)
    states.restore_state(backend, ID, 4)
    assert [states.merged(state) for state in backend.generations(ID)][:3] == ['{"n":0}', '{"n":2}', None]
    assert backend.generations("nothing") == []
    with pytest.raises(InputError) as caught:
        states.restore_state(backend, ID, 5)
    assert caught.value.reference == "no-such-generation"


@pytest.mark.parametrize("kind", ["postgres", "folder", "elsewhere"])
def test_a_pipeline_is_held_for_all_machines_where_the_place_has_locks(kind, place, opened):
    where = place(kind)
    one, other = opened(where), opened(where)
    held = one.hold(ID, "run r1")
    assert held is not None
    assert other.hold(ID, "run r2") is None
    assert other.hold("another", "run r2") is not None
    held.release()
    again = other.hold(ID, "run r2")
    assert again is not None
    again.release()


@pytest.mark.parametrize("kind", ["s3", "gs", "azure"])
def test_a_damaged_object_gives_way_to_the_generation_before(kind, place, opened):
    said = []
    backend = opened(place(kind), said)
    for n in range(8):
        states.save(backend, ID, f'{{"n":{n}}}', run_id=f"r{n}")
    prefix = backend._prefix + ID
    found = sorted(path.removeprefix(prefix) for path in backend._paths(prefix))
    assert found == ["/state.json", *(f"/state.json.{n}" for n in (4, 5, 6, 7))]
    backend._store.put(f"{prefix}/state.json", b"\0\0")
    backend._store.put(f"{prefix}/state.json.7", b"")
    assert states.merged(backend.read(ID)) == '{"n":5}'
    assert ["is damaged" in text for text in said] == [True, True]
    states.save(backend, ID, '{"n":9}', run_id="r9")
    assert states.merged(backend.read(ID)) == '{"n":9}'
    for path in backend._paths(prefix):
        backend._store.put(path, b"{")
    with pytest.raises(EnvironmentProblemError, match="no readable state"):
        backend.read(ID)
    states.set_state(backend, ID, '{"singer_state":{}}')
    assert states.merged(backend.read(ID)) == "{}"


@pytest.mark.parametrize("kind", ["s3", "gs", "azure"])
def test_objects_lie_where_meltano_has_them_and_hold_what_it_reads(kind, place, opened):
    backend = opened(place(kind))
    path = f"{backend._prefix}{ID}/state.json"
    theirs = b'{"completed": {"singer_state": {"n": 1.0}}, "partial": {"singer_state": {"m": 1}}}'
    backend._store.put(path, theirs)
    assert states.shown(backend.read(ID)) == '{"singer_state":{"n":1.0,"m":1}}'
    states.save(backend, ID, '{"n": 2.0}', run_id="r1")
    ours = json.loads(bytes(backend._store.get(path).bytes()))
    assert (ours["completed"], ours["partial"]) == ({"singer_state": {"n": 2.0}}, {})
    assert bytes(backend._store.get(f"{path}.1").bytes()) == theirs
