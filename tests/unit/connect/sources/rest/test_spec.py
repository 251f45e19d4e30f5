"""The YAML of a source: errors with their line, the settings that it has, expressions."""

from __future__ import annotations

import datetime as dt

import pytest

from headwater.base import yaml
from headwater.base.errors import InputError
from headwater.connect.sources import rest_definition
from headwater.connect.sources.rest import expressions, spec_file

NAMES = {
    "config": {"token": "t", "repo": "a/b", "ids": [1, 2]},
    "now": dt.datetime(2024, 3, 1, 12, tzinfo=dt.UTC),
    "start": dt.date(2024, 1, 31),
    "parent": {"id": "x/../y"},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain {brace}", "plain {brace}"),
        ("{{ config.token }}", "t"),
        ("token {{config.token}}!", "token t!"),
        ("{{ config.ids }}", [1, 2]),
        ("{{ config.ids | join('+') }}", "1+2"),
        ("{{ config.ids.1 }}", 2),
        ("{{ config.none }}", None),
        ("{{ config.none | default('d') | upper }}", "D"),
        ("{{ now - 30d | date }}", dt.date(2024, 1, 31)),
        ("{{ now | format('%Y/%m') }}", "2024/03"),
        ("{{ now + 500ms }}", dt.datetime(2024, 3, 1, 12, 0, 0, 500_000, tzinfo=dt.UTC)),
        ("at {{ now }}", "at 2024-03-01T12:00:00Z"),
        ("{{ start | epoch }}", 1706659200),
        ("{{ '2024-01-31T01:00:00+01:00' | epoch_ms }}", 1706659200000),
        ("{{ config.token | base64 }}", "dA=="),
    ],
)
def test_an_expression_gives_its_value(text, value):
    expressions.check(text, frozenset(NAMES))
    assert expressions.filled(text, NAMES) == value


def test_parts_of_a_path_stay_parts_of_it():
    assert expressions.filled_path("/repos/{{ config.repo }}/x", NAMES) == "/repos/a/b/x"
    assert expressions.filled_path("/p/{{ parent.id }}", NAMES) == "/p/x%2F..%2Fy"
    assert expressions.filled_path("/p/{{ up }}/x", {"up": ".."}) == "/p/%2E%2E/x"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ config.token", "`{{` and `}}` do not match"),
        ("{{ }}", "`{{ }}` is empty"),
        ("{{ confg.token }}", "nothing here is called `confg`: did you mean `config`?"),
        ("{{ now | dat }}", "there is no filter `dat`: did you mean `date`?"),
        (
            "{{ config.token.__class__() }}",
            "`config.token.__class__()` is no expression: a name, then `| filter` or `- 30d`",
        ),
        ("{{ open('/etc/passwd') }}", "`open('/etc/passwd')` is no expression: a name, then `| filter` or `- 30d`"),
        ("{{ now | format }}", "the filter `format` takes 1 arguments, not 0"),
        ("{{ 1 * 2 }}", "`1 * 2` is no expression"),
    ],
)
def test_what_is_no_expression_is_refused(text, said):
    with pytest.raises(expressions.ExpressionError) as caught:
        expressions.check(text, frozenset(NAMES))
    assert str(caught.value) == said


def test_attributes_of_objects_are_out_of_reach():
    assert expressions.filled("{{ config.__class__ }}", NAMES) is None


GOOD = """base_url: https://api.example
auth: {type: bearer, token: "{{ config.token }}"}
streams:
  orders:
    path: /orders
    parameters: {since: "{{ start }}", kind: "{{ config.kind | default('a') }}"}
    incremental: {cursor: at, start: "{{ config.from }}"}
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "path: /orders",
            "pth: /orders",
            "sources/shop.yml:5: there is nothing called `pth` here; did you mean `path`?",
        ),
        (
            "type: bearer",
            "type: bear",
            "sources/shop.yml:2: invalid value 'bear' in `auth.type`; it is one of `none`, `basic`, ",
        ),
        (
            "auth:",
            "limits: {per: week}\nauth:",
            "sources/shop.yml:2: invalid enum value 'week' in `limits.per`; it is one of `second`",
        ),
        ("token: ", "tokn: ", "sources/shop.yml:2: "),
        ("{{ start }}", "{{ strt }}", "sources/shop.yml:6: nothing here is called `strt`: did you mean `start`?"),
        ("{{ start }}", "{{ parent.id }}", "sources/shop.yml:6: nothing here is called `parent`"),
        ("cursor: at, ", "", "sources/shop.yml:7: `incremental` needs a `cursor`, or a `window`; None"),
        ("cursor: at", "cursor: at, window: 30x", "sources/shop.yml:7: `30x` is no span of time such as"),
        ("path: /orders", "parent: {stream: shops}", "sources/shop.yml:5: there is no stream `shops`"),
        ("path: /orders", "parent: {stream: orders}", "sources/shop.yml:5: stream `orders` is among its own parents"),
        (
            "cursor: at,",
            "window: 1d, lookback: 5,",
            "sources/shop.yml:7: with a `window`, `lookback` is a span of time",
        ),
        ("auth:", "limits: {tries: 0}\nauth:", "sources/shop.yml:2: `tries` is at least 1"),
        (
            "streams:\n  orders:\n",
            "streams:\n  shops: {path: /shops}\n  orders:\n    parent: {stream: shops}\n",
            "sources/shop.yml:6: `orders` has a bookmark for each record of `shops`, which has no `keys`",
        ),
        ("path: /orders", "columns: {id: int}", "sources/shop.yml:5: `int` is no type; types: `integer`, "),
        ("https://api.example", "api.example", "sources/shop.yml:1: `base_url` begins with `https://` or `http://`"),
        ("streams:", "stream:", "sources/shop.yml:1: `streams` names each stream of the source"),
        ("path: /orders", "path: /orders\n    path: /more", "sources/shop.yml:6: `path` is written twice"),
    ],
)
def test_a_mistake_is_told_with_its_line(old, new, said):
    assert old in GOOD
    with pytest.raises(InputError) as caught:
        spec_file.checked(yaml.parse(GOOD.replace(old, new), "sources/shop.yml"))
    assert f"{caught.value.where}: {caught.value.what}; {caught.value.hint}".startswith(said)


def test_what_expressions_need_are_settings(tmp_path):
    (tmp_path / "shop.yml").write_text(
        "description: Orders\nsettings: [{name: kind, label: Which kind}, {name: from, value: '2020-01-01'}]\n" + GOOD
    )
    found = rest_definition.definition(tmp_path, "shop.yml")
    shown = {one.name: (one.sensitive, one.required, one.value) for one in found.settings[:3]}
    assert shown == {
        "kind": (False, False, None),
        "from": (False, False, "2020-01-01"),
        "token": (True, True, None),
    }
    assert (found.native, found.description, found.capabilities) == ("rest", "Orders", ("catalog", "discover", "state"))


def test_a_file_that_is_not_there_is_no_plugin(tmp_path):
    assert rest_definition.definition(tmp_path, "none.yml") is None
