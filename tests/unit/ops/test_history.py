"""Runs and states, as they are looked at afterwards."""

import pytest

from headwater.base.errors import InputError
from headwater.model.event import Adjusted, Outcome
from headwater.ops import logs, states
from headwater.ops.logs import opened


def stored_run(project, run_id, name="tap target", events=()):
    with opened(project.workspace()) as runs:
        log = runs.begin(run_id, name, trigger="cli", environment=None)
        for event in events:
            log.append(event)
        log.finish(Outcome.SUCCESS)


@pytest.fixture
def project(lab):
    made = lab()
    change = Adjusted(step="s", stream="a", column="b", change="column-added", detail="bigint")
    stored_run(made, "aaaa1111", events=[change])
    stored_run(made, "aaaa2222")
    return made


def test_runs_are_listed_newest_first(project):
    assert [row.run_id for row in logs.listing(project.workspace(), 1)] == ["aaaa2222"]


def test_a_run_is_found_by_the_beginning_of_its_id(project):
    (stored,) = logs.show(project.workspace(), "aaaa1")
    assert stored.event.change == "column-added"
    assert logs.show(project.workspace(), "last") == []


@pytest.mark.parametrize(
    ("text", "what"), [("aaaa", "`aaaa` is the beginning of 2 runs"), ("b", "there is no run `b`")]
)
def test_an_id_that_is_not_clear(project, text, what):
    assert project.refusal(logs.show, project.workspace(), text) == (
        f"error: {what} [no-such-run]\nhint: headwater logs list"
    )


def test_a_run_is_explained_by_the_beginning_of_its_id(project):
    assert logs.explain(project.workspace(), "aaaa1") == []
    with pytest.raises(InputError, match="no run `b`"):
        logs.explain(project.workspace(), "b")


def test_a_state_is_set_shown_and_forgotten(project):
    states.set_value(project.workspace(), "dev:a-to-b", '{"singer_state": {"x": 1.50}}')
    assert states.get(project.workspace(), "dev:a-to-b", warn=print) == '{"singer_state":{"x": 1.50}}'
    (row,) = states.listing(project.workspace(), "dev:*", warn=print)
    assert (row.state_id, row.state.by_user) == ("dev:a-to-b", True)
    states.clear(project.workspace(), "dev:a-to-b")
    assert states.get(project.workspace(), "dev:a-to-b", warn=print) == "{}"


def test_states_are_copied_and_moved(project):
    states.set_value(project.workspace(), "a", '{"singer_state": {"x": 1}}')
    states.copy(project.workspace(), "a", "b")
    states.move(project.workspace(), "a", "c")
    assert [row.state_id for row in states.listing(project.workspace(), warn=print)] == ["b", "c"]


def test_an_unknown_state_is_guessed(project):
    states.set_value(project.workspace(), "dev:tap-to-target", '{"singer_state": {"x": 1}}')
    assert project.refusal(states.copy, project.workspace(), "dev:tap-to-targt", "b") == (
        "error: there is no state `dev:tap-to-targt`: did you mean `dev:tap-to-target`? [no-such-state]\n"
        "hint: headwater state list"
    )
    assert not states.clear(project.workspace(), "dev:tap-to-targt")
