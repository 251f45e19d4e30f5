"""The form of a state in a file, and what is no longer one that was kept."""

import pytest

from headwater.model.run import State
from headwater.store import state_form

STATE = State(state_id="dev:tap-to-target", value='{"bookmarks":{"users":{"id":10}}}', run_id="a-run", updated_at="now")


def test_what_was_kept_is_read():
    assert state_form.read(STATE.state_id, state_form.written(STATE, 3)) == (STATE, 3)


def test_what_others_wrote_has_no_digest_and_is_taken_as_it_is():
    found, generation = state_form.read("other", b'{"completed":{"singer_state":{"a":1}}}')
    assert (found.value, generation) == ('{"a":1}', 0)


def test_no_flipped_bit_and_no_cut_makes_another_state_of_it():
    text = state_form.written(STATE)
    cut = [text[:end] for end in range(len(text))]
    flipped = [
        text[:place] + bytes([byte ^ 1 << bit]) + text[place + 1 :]
        for place, byte in enumerate(text)
        for bit in range(8)
    ]
    for one in (*cut, *flipped):
        try:
            found, _ = state_form.read(STATE.state_id, one)
        except ValueError:
            continue
        assert (found.value, found.partial, found.raw) == (STATE.value, STATE.partial, STATE.raw)


@pytest.mark.parametrize("name", ['"digest"', '"singer_state"'])
def test_a_name_that_is_damaged_is_noticed(name):
    text = state_form.written(STATE).replace(b'"digest"', b'"digust"').replace(name.encode(), b'"damaged"')
    with pytest.raises(ValueError, match="digest"):
        state_form.read(STATE.state_id, text)
