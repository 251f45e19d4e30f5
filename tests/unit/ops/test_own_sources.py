"""`tap new python`, and `tap test` on an own source and on a Singer tap: it finds what is broken and nothing else."""

from __future__ import annotations

import pytest

from headwater.ops import own_sources, selection, tap_tests

SINGER = """\
plugins:
  extractors:
  - name: tap-numbers
    namespace: numbers
    executable: ./bin/tap_numbers
    capabilities: [discover, catalog, state]
    settings:
    - {name: upto, kind: integer}
    - {name: keyed, kind: boolean}
    - {name: chatter, kind: boolean}
    - {name: die_after, kind: integer}
"""


SKIPPING = """
@stream(keys="id")
def a(bookmark=0):
    for n in range(bookmark, 200):
        yield {"id": n}
        if n == 100:
            yield Bookmark(150)
"""
LOOKING_BACK = """
@stream(keys="id", cursor="id", ordered=True)
def a(bookmark=0):
    yield from ({"id": n} for n in range(max(0, bookmark - 2), 200))
"""
HASTY = """
@stream(keys="id")
def a(bookmark=0):
    for n in range(bookmark, 12):
        yield {"id": n}
        yield Bookmark(n + 4 if n == 6 else n + 1)
"""
FALLING = """
@stream(keys="id", cursor="id", ordered=True)
def a(bookmark=0):
    yield from [{"id": 2}, {"id": 1}]
"""


def own(project, code):
    project.write("sources/mine.py", f"from headwater.sources import Bookmark, stream\n{code}")
    project.write("headwater.yml", "plugins: {extractors: [{name: tap-mine, source: sources/mine.py}]}\n")


def outcomes(project, name):
    """The checks that did not pass, and why."""
    checks = tap_tests.run(project.workspace(), name, emit=project.emit, cancel=project.cancel)
    return {check.name: check.detail for check in checks if check.outcome == "failed"}


def test_a_new_source_runs_as_it_is(lab):
    project = lab()
    made = own_sources.new(project.workspace(), "orders")
    assert (made.plugin, made.file, made.wrote) == ("tap-orders", "sources/orders.py", True)
    assert project.text() == "plugins:\n  extractors:\n    - name: tap-orders\n      source: sources/orders.py\n"
    assert len(project.text("sources/orders.py").splitlines()) < 28
    assert outcomes(project, "tap-orders") == {}


def test_a_file_that_is_there_only_gets_its_entry(lab):
    project = lab()
    project.write("sources/my_shop.py", "def a(): ...\n")
    made = own_sources.new(project.workspace(), "tap-my-shop")
    assert (made.plugin, made.file, made.wrote) == ("tap-my-shop", "sources/my_shop.py", False)
    assert project.text("sources/my_shop.py") == "def a(): ...\n"


def test_a_file_that_is_not_there_is_named_with_the_line_of_its_entry(lab):
    project = lab("plugins:\n  extractors:\n  - name: tap-mine\n    source: sources/mine.py\n")
    said = project.refusal(selection.listing, project.workspace(), "tap-mine", refresh=False, emit=project.emit)
    assert said == (
        "error: headwater.yml:4: there is no file `sources/mine.py`, in which the code of `tap-mine` is to stand "
        "[file-not-found]\nhint: headwater tap new python tap-mine, or correct `source`"
    )
    own_sources.new(project.workspace(), "tap-mine")
    assert selection.listing(project.workspace(), "tap-mine", refresh=False, emit=project.emit).streams


@pytest.mark.parametrize("name", ["../x", "class", "Shop", "1st"])
def test_a_name_must_do_for_a_file_and_a_plugin(lab, name):
    project = lab()
    said = project.refusal(own_sources.new, project.workspace(), name)
    assert said.startswith(f"error: `{name}` can't be the name of a Python file and of a plugin [bad-name]")


@pytest.mark.parametrize(
    ("code", "check", "detail"),
    [
        (
            "@stream(schema={'id': int})\ndef a():\n    yield {'id': 1, 'more': 2}\n",
            "data are as the schema says",
            "`more` of stream `a` is not in the catalog",
        ),
        (
            "@stream(keys='id')\ndef a():\n    yield from ({'id': n % 2} for n in range(3))\n",
            "keys are unique and not null",
            "1 rows of stream `a` have the key of another",
        ),
        (
            "@stream(keys='id', cursor='id')\ndef a(bookmark=None):\n    yield from ({'id': n} for n in range(3))\n",
            "a second run sends nothing old",
            "`a` sends rows from before its bookmark again: `id` 0 < 2",
        ),
        (
            SKIPPING,
            "nothing is lost when it is killed",
            "killed in batch 3, `a` never sends 49 of its rows, such as {'id': 101}",
        ),
        (
            HASTY,
            "any state is one to go on from",
            (
                'from the state {"streams":{"a":{"bookmark":10,"columns":{"id":"int64"}}}} on '
                "`a` never sends 3 of its rows, such as {'id': 7}"
            ),
        ),
        (
            FALLING,
            "sends valid messages to the end",
            "the rows of stream `a` do not come by rising `id` [rows-out-of-order]",
        ),
    ],
)
def test_a_broken_promise_is_named(lab, code, check, detail):
    project = lab()
    own(project, code)
    assert outcomes(project, "tap-mine").get(check) == detail


def test_a_source_may_begin_a_little_before_its_bookmark(lab):
    project = lab()
    own(project, LOOKING_BACK)
    found = outcomes(project, "tap-mine")
    assert found == {
        "a second run sends nothing old": "`a` sends rows from before its bookmark again: `id` 197 < 199",
    }


def test_a_singer_tap_is_held_to_the_same(lab, monkeypatch):
    project = lab(SINGER)
    project.program("tap_numbers")
    monkeypatch.setenv("TAP_NUMBERS_KEYED", "true")
    assert outcomes(project, "tap-numbers") == {}
    monkeypatch.setenv("TAP_NUMBERS_DIE_AFTER", "5")
    found = outcomes(project, "tap-numbers")
    assert found["sends valid messages to the end"].startswith("extractor `tap-numbers` failed with exit code 7")


def test_a_stream_without_rows_and_a_boundary_that_does_not_come_again_are_told(lab):
    project = lab()
    nothing = "@stream(keys='id', schema={'id': int})\ndef nothing():\n    return []\n"
    after = (
        "@stream(keys='id', cursor='id')\ndef a(bookmark=-1):\n"
        "    yield from ({'id': n} for n in range(bookmark + 1, 3))\n"
    )
    own(project, f"{nothing}\n{after}")
    checks = tap_tests.run(project.workspace(), "tap-mine", emit=project.emit, cancel=project.cancel)
    found = {check.name: check.detail for check in checks}
    assert found["a stream without rows ends well"] == "end well without rows: `nothing`"
    assert found["any state is one to go on from"] == "from 2 of 2 states on no row is lost"
    assert found["a second run sends nothing old"] == (
        "from the state on nothing old but the boundary: `a`; without it `a`, "
        "so that a later row with the last value may be missed"
    )
