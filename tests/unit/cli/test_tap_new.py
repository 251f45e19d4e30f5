"""`tap new rest` asks what its options do not say."""

from __future__ import annotations

import io


def test_what_is_not_given_is_asked_for(hw, api, monkeypatch):
    api.answer = lambda asked: [{"id": 1}, {"id": 2}]
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{api.url}/items\nnone\n"))
    done = hw.ok("tap", "new", "rest", "shop")
    assert "address of a list of records: auth (none, bearer, basic, api_key) [none]: " in done.err
    assert done.out.splitlines() == [
        "records  2 records, the answer itself (sure)",
        "key      `id`, once in each record (sure)",
        "pages    `page=2` gives no other records: all seems to come at once (likely)",
        "wrote sources/shop.yml",
        "added extractor `tap-shop` with stream `items`",
    ]
    listed = hw.ok("select", "tap-shop", "--list", "--json").json["streams"]
    assert [(row["stream"], row["property"]) for row in listed] == [("items", "id")]


def test_a_tap_without_an_address_of_a_list_is_told_what_one_is(hw):
    done = hw("tap", "new", "rest", "shop", "--url", "ftp://api.example")
    assert (done.code, done.error.splitlines()) == (
        2,
        [
            "error: the address begins with `https://` and holds no user [bad-url]",
            "hint: headwater tap new rest NAME --url https://api.example.com/orders",
        ],
    )


def test_where_nobody_is_to_ask_an_address_is_wanted_and_a_secret_may_come_later(hw, api, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    done = hw("tap", "new", "rest", "shop")
    assert (done.code, done.error.splitlines()) == (
        2,
        [
            "error: there is nobody to ask for the address and its login [bad-usage]",
            "hint: headwater tap new rest shop --url https://api.example.com/orders --auth none",
        ],
    )
    made = hw.ok("tap", "new", "rest", "shop", "--url", f"{api.url}/items", "--auth", "bearer")
    assert "wrote sources/shop.yml" in made.out
    assert "next: headwater config set tap-shop token VALUE" in made.err
    assert api.asked == []
