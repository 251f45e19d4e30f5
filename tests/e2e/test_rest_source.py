"""An API that nobody has described, asked and described by `tap new rest`, tested, and loaded into DuckDB."""

from __future__ import annotations

import json

PROJECT = """\
plugins:
  loaders:
  - {name: target-duckdb, variant: headwater, commit_seconds: 0}
"""
TOKEN = "tok-canary-7Hq2"
COUNTS = "select count(*), count(distinct id), sum(amount) from tap_shop.orders"


def orders(asked, reply, broken=()):
    if asked.headers.get("authorization") != f"Bearer {TOKEN}":
        return reply({"message": "who are you?"}, 401)
    page = int(asked.query.get("page", 1))
    if page in broken:
        return reply({"message": f"page {page} is broken for {TOKEN}"}, 400)
    found = range((page - 1) * 100, min(page * 100, 1050))
    return {
        "result": {
            "orders": [
                {
                    "id": n,
                    "amount": n / 4,
                    "updated_at": f"2024-01-01T{n // 60:02}:{n % 60:02}:00Z",
                    "to": {"city": "Ulm"},
                }
                for n in found
            ]
        }
    }


def test_an_unknown_api_is_a_source_in_one_command(project, api):
    hw = project(PROJECT)
    broken: set[int] = set()
    api.answer = lambda asked: orders(asked, api.reply, broken)

    untried = hw.ok("tap", "new", "rest", "other", "--url", f"{api.url}/v1/orders", TAP_OTHER_TOKEN="wrong")
    assert "warning: the API could not be tried" in untried.err
    assert "who are you?" in untried.err

    url = f"{api.url}/v1/orders?status=open&token={TOKEN}"
    refused = hw("tap", "new", "rest", "other", "--url", url)
    assert (refused.code, "plugin-exists" in refused.err) == (2, True)

    made = hw.ok(
        "tap", "new", "rest", "shop", "--url", f"{api.url}/v1/orders", "--auth", "bearer", TAP_SHOP_TOKEN=TOKEN
    )
    assert made.out.splitlines() == [
        "records  100 records, at `result.orders` (sure)",
        "key      `id`, once in each record (sure)",
        "cursor   `updated_at`, by its name when a record changed (likely)",
        "pages    `page=2` gives other records (sure)",
        "wrote sources/shop.yml",
        "added extractor `tap-shop` with stream `orders`",
    ]
    hw.ok("config", "set", "tap-shop", "token", TOKEN)
    assert TOKEN not in (hw.root / "headwater.yml").read_text() + (hw.root / "sources" / "shop.yml").read_text()

    # Refused in the middle: the server's words are there, without the secret.
    text = (hw.root / "sources" / "shop.yml").read_text()
    assert text.count("cursor: updated_at") == 1
    hw.write("sources/shop.yml", text.replace("cursor: updated_at", "cursor: updated_at\n      ordered: true"))
    broken.add(7)
    failed = hw("run", "tap-shop", "target-duckdb")
    assert failed.code == 1
    assert "was answered with status 400" in failed.err
    assert "page 7 is broken for (redacted)" in failed.err
    assert TOKEN not in failed.err
    assert hw.query(COUNTS)[0][:2] == (600, 600)

    broken.clear()
    hw.ok("run", "tap-shop", "target-duckdb")
    assert hw.query(COUNTS) == [(1050, 1050, 1050 * 1049 / 8)]

    # Held to the contract, and a Singer tap too.
    hw.ok("tap", "test", "tap-shop")
    line = json.loads(hw.ok("tap", "tap-shop").out.splitlines()[1])
    assert line["record"] == {"id": 0, "amount": 0.0, "updated_at": "2024-01-01T00:00:00.000000Z", "to__city": "Ulm"}

    # A mistake in the file is told with its line.
    hw.write("sources/shop.yml", text.replace("keys: id", "kys: id"))
    wrong = hw("run", "tap-shop", "target-duckdb")
    assert wrong.code == 2
    number = text.splitlines().index("    keys: id") + 1
    assert wrong.error.startswith(f"error: sources/shop.yml:{number}: there is nothing called `kys` here [bad-source]")
