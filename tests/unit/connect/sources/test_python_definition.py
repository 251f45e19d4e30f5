"""Settings and packages of a source's file, read without running it."""

from __future__ import annotations

import pytest

from headwater.base.errors import InputError
from headwater.connect.sources.python_definition import definition
from headwater.connect.stages.definitions import STREAM_MAPS

CODE = '''\
# /// script
# dependencies = ["httpx>=0.27", "polars"]
# ///
"""Orders of the shop.

More.
"""
raise SystemExit("nobody runs this")

@stream(keys="id")
def orders(
    token: Secret,
    since: dt.datetime | None = None,
    page: Annotated[int, "Rows a page"] = 100,
    region: Literal["eu", "us"] = "eu",
    *,
    strict: bool,
    bookmark: int = 0,
): ...

@stream
def refunds(token: Secret): ...

def helper(anything): ...
'''


def shown(tmp_path, code):
    (tmp_path / "orders.py").write_text(code)
    found = definition(tmp_path, "orders.py")
    assert found is not None
    return found


def test_parameters_are_settings(tmp_path):
    found = shown(tmp_path, CODE)
    own = found.settings[: -len(STREAM_MAPS) - 1]
    assert [(one.name, one.kind.value, one.value, one.required, one.sensitive) for one in own] == [
        ("token", "string", None, True, True),
        ("since", "date_iso8601", None, False, False),
        ("page", "integer", 100, False, False),
        ("region", "options", "eu", False, False),
        ("strict", "boolean", None, True, False),
    ]
    assert own[2].description == "Rows a page"
    assert [option.value for option in own[3].options] == ["eu", "us"]


def test_packages_and_description_stand_at_the_top(tmp_path):
    found = shown(tmp_path, CODE)
    assert (found.pip_url, found.description) == ("httpx>=0.27 polars", "Orders of the shop.")


def test_a_file_that_is_not_there_has_no_definition(tmp_path):
    assert definition(tmp_path, "no.py") is None


@pytest.mark.parametrize(
    ("code", "line", "what"),
    [
        ("def a(:", 1, "`orders.py` is not Python"),
        ("\ndef a(source: str): ...", 2, "no setting can be called `source`"),
        ("def a(x: int): ...\ndef b(x: str): ...", 2, "`x` is `integer` in one function and `string` in another"),
        ("# /// script\n# dependencies = [\n", 1, "has no end"),
        ("# /// script\n# dependencies = [\n# ///\n", 1, "are not TOML"),
    ],
)
def test_what_can_not_be_read_is_named_with_its_line(tmp_path, code, line, what):
    (tmp_path / "orders.py").write_text(code)
    with pytest.raises(InputError, match=what) as caught:
        definition(tmp_path, "orders.py")
    assert caught.value.where == ("orders.py", line)
