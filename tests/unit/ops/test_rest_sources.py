"""`tap new rest`: what it asks of an API, what it writes, and where secrets go."""

from __future__ import annotations

import pytest

from headwater.base.errors import InputError
from headwater.ops import rest_sources
from headwater.ops.rest_sources import Wish

ITEMS = [{"id": 1, "at": "2024-01-01"}, {"id": 2, "at": "2024-01-02"}]


def test_the_file_says_what_was_seen(lab, api):
    project = lab()
    api.answer = lambda asked: ITEMS
    made = rest_sources.new(project.workspace(), "shop", Wish(url=f"{api.url}/v1/items.json?status=open"))
    assert (made.plugin, made.stream, made.stored, made.trouble) == ("tap-shop", "items", (), None)
    assert project.text("sources/shop.yml") == (
        "# A source described in YAML. `{{ config.NAME }}` is a setting of the plugin: headwater config set\n"
        f"base_url: {api.url}/v1\n"
        "\n"
        '# auth: {type: bearer, token: "{{ config.token }}"}\n'
        "\n"
        "# pagination: {type: page, size: 100, size_parameter: per_page}\n"
        "# limits: {requests: 10, per: second}\n"
        "\n"
        "streams:\n"
        "  items:\n"
        "    path: /items.json\n"
        "    # records: data.items\n"
        "    keys: id\n"
        "    parameters:\n"
        "      status: open\n"
        "    # incremental: {cursor: updated_at, start: 2024-01-01}\n"
    )
    assert project.text() == "plugins:\n  extractors:\n    - name: tap-shop\n      source: sources/shop.yml\n"


def test_a_secret_of_the_address_is_one_of_the_plugin(lab, api):
    project = lab()
    api.answer = lambda asked: ITEMS if asked.query.get("api_key") == "hush-hush" else api.reply(b"", 401)
    made = rest_sources.new(project.workspace(), "shop", Wish(url=f"{api.url}/items?api_key=hush-hush"))
    assert (made.stored, made.trouble) == (("api_key",), None)
    assert "hush" not in project.text() + project.text("sources/shop.yml")
    assert project.text(".env").strip() == "TAP_SHOP_API_KEY=hush-hush"
    assert 'in: query\n  name: api_key\n  value: "{{ config.api_key }}"\n' in project.text("sources/shop.yml")


@pytest.mark.parametrize(
    ("login", "secret", "header", "value"),
    [
        ("bearer", "hush", "authorization", "Bearer hush"),
        ("basic", "me:hush", "authorization", "Basic bWU6aHVzaA=="),
        ("api_key", "hush", "x-api-key", "hush"),
    ],
)
def test_a_login_is_used_and_stored(lab, api, login, secret, header, value):
    project = lab()
    api.answer = lambda asked: ITEMS
    rest_sources.new(project.workspace(), "shop", Wish(url=f"{api.url}/items", login=login, secret=secret))
    assert {one.headers[header] for one in api.asked} == {value}
    assert "hush" in project.text(".env")
    assert "hush" not in project.text("sources/shop.yml")


def test_an_api_that_does_not_answer_gets_its_file_all_the_same(lab, api):
    project = lab()
    api.answer = lambda asked: api.reply({"message": "not today"}, 403)
    made = rest_sources.new(project.workspace(), "shop", Wish(url=f"{api.url}/items", records="data"))
    assert made.trouble == f"`GET {api.url}/items` was answered with status 403: not today"
    assert "    records: data\n" in project.text("sources/shop.yml")


def test_nothing_is_asked_when_it_is_not_to_be_tried(lab, api):
    rest_sources.new(lab().workspace(), "shop", Wish(url=f"{api.url}/items", is_tried=False))
    assert api.asked == []


@pytest.mark.parametrize(
    ("name", "url", "reference"),
    [
        ("shop", "api.example/items", "bad-url"),
        ("shop", "https://me:pw@api.example/items", "bad-url"),
        ("Shop!", "https://api.example/items", "bad-name"),
        ("taken", "https://api.example/items", "plugin-exists"),
    ],
)
def test_what_can_not_be_made_leaves_nothing_behind(lab, name, url, reference):
    project = lab()
    project.write("headwater.yml", "plugins: {extractors: [{name: tap-taken, namespace: t, executable: t}]}\n")
    before = project.text()
    with pytest.raises(InputError) as caught:
        rest_sources.new(project.workspace(), name, Wish(url=url))
    assert (caught.value.reference, project.text(), (project.root / "sources").exists()) == (reference, before, False)
