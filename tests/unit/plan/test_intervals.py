from __future__ import annotations

import pytest

from headwater.base.errors import InputError
from headwater.plan import intervals


@pytest.mark.parametrize(
    "text",
    [
        *intervals.ALIASES,
        *("0 0 * * *", "*/5 * * * *", "15 6 * * mon-fri", "15 6 * * FRI-MON", "0 0 L * *", "0 0 ? * 7", "0 0 1 JAN ?"),
        *("0,30 8-18/2 1,15 jan-jun *", "59 23 31 12 6", "1-5/2 * * * *"),
    ],
)
def test_an_interval(text):
    intervals.check(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "@fortnightly", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *"),
        *("* * * 13 *", "* * * * 8", "? * * * *", "L * * * *", "*/0 * * * *", "/2 * * * *", "*/x * * * *"),
        *("5-1 * * * *", "1, * * * *", "1,99 * * * *", "mon * * * *", "-1 * * * *", "* * * sun *"),
    ],
)
def test_no_interval(text):
    with pytest.raises(InputError) as caught:
        intervals.check(text)
    assert caught.value.reference == "bad-interval"


def test_the_cron_behind_an_alias():
    assert [intervals.cron(text) for text in ("@weekly", "@once", "1 2 3 4 5")] == ["0 0 * * 0", None, "1 2 3 4 5"]
