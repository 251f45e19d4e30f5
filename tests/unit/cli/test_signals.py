import os
import signal

import pytest

from headwater.base.errors import CancelledError, ExitCode
from headwater.cli.signals import cancelling, interruptible


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)]
)
def test_the_first_signal_asks_to_stop(number, code):
    with cancelling() as cancel:
        os.kill(os.getpid(), number)
        assert (cancel.is_set(), cancel.is_aborted()) == (True, False)
        with pytest.raises(CancelledError) as caught:
            cancel.check()
    assert caught.value.exit_code == code


def test_the_second_stops_at_once():
    with cancelling() as cancel:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert cancel.is_aborted()


def test_afterwards_signals_mean_what_they_meant_before():
    before = signal.getsignal(signal.SIGTERM)
    with cancelling():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_error_that_a_library_makes_of_a_ctrl_c_is_told_as_the_ctrl_c():
    def query():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError("query interrupted") from None

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible():
        query()
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_without_a_ctrl_c_stays_what_it_is():
    with pytest.raises(RuntimeError), interruptible():
        raise RuntimeError("a fault")
