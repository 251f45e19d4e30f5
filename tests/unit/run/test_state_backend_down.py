"""What a run does when the place of its states does not answer."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import pytest

from headwater.base.errors import EnvironmentProblemError
from headwater.connect import registry
from headwater.model.event import Outcome, StepFinished
from headwater.model.run import State
from headwater.store.locks import Lock
from headwater.store.states import StateBackend

ID = "dev:tap-x-to-target-x"


class Flaky:
    """A backend whose next answers may fail: one letter each, `x` for one that does."""

    label = "object store s3://b"

    def __init__(self, backend: StateBackend) -> None:
        self.backend = backend
        self.script = ""

    def _answer(self) -> None:
        now, self.script = self.script[:1], self.script[1:]
        if now == "x":
            raise EnvironmentProblemError("store-unreachable", "`s3://b` can't be reached", why="nobody there")

    def read(self, state_id: str) -> State | None:
        self._answer()
        return self.backend.read(state_id)

    def update(self, state_id: str, change: Callable[[State | None], State | None]) -> State | None:
        self._answer()
        return self.backend.update(state_id, change)

    def ids(self) -> list[str]:
        return self.backend.ids()

    def hold(self, state_id: str, owner: str) -> Lock | None:
        return self.backend.hold(state_id, owner)

    def close(self) -> None:
        self.backend.close()


@pytest.fixture
def flaky(lab):
    flaky = Flaky(lab.keeping.states)
    lab.keeping = msgspec.structs.replace(lab.keeping, states=flaky)
    return flaky


@pytest.fixture
def into(lab, monkeypatch):
    """A native loader that keeps rows and checkpoint in a file."""
    monkeypatch.setitem(registry.DESTINATIONS, "memory", "headwater.testing.sessions")
    return lab.block("loader", native="memory", argv=(), config={"path": str(lab.root / "there")})


def problem(lab):
    return lab.of(StepFinished)[-1].problem


TAP = "say(schema); record(1); state(1)"
STATE = "a = sys.argv; log(open(a[a.index('--state') + 1]).read() if '--state' in a else 'none')"


def test_nothing_starts_when_the_state_can_not_be_read(lab, flaky):
    flaky.script = "x"
    assert lab.run(TAP) is Outcome.FAILED
    assert (problem(lab).reference, problem(lab).exit_code) == ("store-unreachable", 3)
    assert not (lab.root / "loaded").exists()


def test_a_state_that_a_program_reached_and_nobody_took_is_set_aside(lab, flaky):
    flaky.script = ".x"
    assert lab.run(TAP) is Outcome.FAILED
    (file,) = (lab.home / "unkept").iterdir()
    assert (problem(lab).reference, problem(lab).exit_code) == ("state-not-kept", 3)
    assert problem(lab).what == "the state that `target-x` reached was not kept: `s3://b` can't be reached"
    assert problem(lab).hint == f"headwater state set --force '{ID}' --input-file {file}"
    assert json.loads(file.read_text()) == {"singer_state": {"n": 1}}


def test_the_copy_of_a_checkpoint_is_tried_again_at_the_end(lab, flaky, into):
    flaky.script = "..x"  # two reads, a write
    assert lab.run(TAP, into) is Outcome.SUCCESS
    assert lab.state == '{"n":1}'
    assert any("was not kept" in text for text in lab.notices)


def test_a_run_fails_without_its_copy_and_the_checkpoint_counts_at_the_next_start(lab, flaky, into):
    flaky.script = "..xx"
    assert lab.run(TAP, into) is Outcome.FAILED
    assert (problem(lab).reference, problem(lab).exit_code) == ("state-not-kept", 3)
    assert lab.figures["s"].loaded == 1
    assert lab.run(STATE, into) is Outcome.SUCCESS
    assert (lab.lines, lab.state) == (['{"n":1}'], '{"n":1}')
