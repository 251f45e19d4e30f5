"""A discovery ends when it takes too long, and with the run."""

from __future__ import annotations

import threading

import pytest

from headwater.base.errors import CancelledError, RunFailedError
from headwater.run.cancel import Cancel
from headwater.run.looking import Patience


def test_what_is_found_is_the_answer_and_what_goes_wrong_is_raised() -> None:
    patience = Patience(60.0, Cancel())
    assert patience.look(lambda: [1], name="tap") == [1]
    with pytest.raises(ZeroDivisionError):
        patience.look(lambda: 1 / 0, name="tap")


def test_a_look_that_takes_too_long_is_given_up() -> None:
    is_let_go = threading.Event()
    with pytest.raises(RunFailedError, match="`tap` did not say within") as caught:
        Patience(0.0, Cancel()).look(is_let_go.wait, name="tap")
    assert caught.value.hint == "to allow more time: headwater config set tap _discovery_timeout_seconds N"
    is_let_go.set()


def test_a_run_that_is_stopped_waits_for_no_look() -> None:
    cancel, is_let_go = Cancel(), threading.Event()
    cancel.set(2)
    with pytest.raises(CancelledError):
        Patience(60.0, cancel).look(is_let_go.wait, name="tap")
    is_let_go.set()
