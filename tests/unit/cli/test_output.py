import io

import pytest

from headwater.cli.output import cut, wants_colour


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "colour"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
        (io.StringIO(), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, True),
    ],
)
def test_who_gets_colour(stream, environ, colour):
    assert wants_colour(stream, environ) is colour


def test_lines_are_cut_at_the_edge():
    assert cut("short\nmuch longer than that", 10) == "short\nmuch long…"
