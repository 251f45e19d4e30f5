"""A source of dlt in the project's folder and a connector of Airbyte, with their packages from PyPI, into DuckDB."""

from __future__ import annotations

PROJECT = """\
plugins:
  loaders:
  - name: target-duckdb
    variant: headwater
    commit_seconds: 0
"""
SHOP = '''\
"""Orders of the shop."""

import dlt
import pyarrow as pa


@dlt.source
def shop(upto: int = 5, token: str = dlt.secrets.value, broken: bool = False):
    """A shop."""

    @dlt.resource(primary_key="id", write_disposition="merge", columns={"raw": {"data_type": "json"}})
    def orders(at=dlt.sources.incremental("rank", initial_value=0, row_order="asc")):
        print("from", at.last_value, "with", token)
        yield [{"id": number, "rank": number, "raw": {"n": number}, "to": {"city": "Ulm"}} for number in range(upto)]
        if broken:
            upto / 0

    @dlt.transformer(data_from=orders)
    def lines(page):
        yield [{"order": order["id"], "sku": "x"} for order in page]

    @dlt.resource(write_disposition="replace")
    def regions():
        yield pa.table({"name": ["north", "south"], "runs": [dlt.current.source_state().get("runs", 0)] * 2})

    @dlt.resource
    def visits():
        state = dlt.current.resource_state()
        state["count"] = state.get("count", 0) + 1
        yield {"count": state["count"]}

    return orders, lines, regions, visits
'''
FAKER = "source: airbyte:airbyte-source-faker\n"
SETTINGS = "    select: [users.*, products.id]\n    config: {count: 300, seed: 1, parallelism: 1}\n"


def test_a_dlt_source_goes_on_where_it_ended(project):
    hw = project(PROJECT)
    hw.write("sources/shop/__init__.py", SHOP)
    added = hw.ok("tap", "new", "dlt", "shop")
    assert added.out == "added extractor `tap-shop` with source `dlt:shop.shop`\n"
    assert "next: headwater config set tap-shop token VALUE" in added.err
    hw.write(".env", "TAP_SHOP_TOKEN=hush-hush\n")

    first = hw.ok("run", "tap-shop", "target-duckdb")
    assert "from 0 with (redacted)" in first.err
    orders = hw.query("select id, rank, raw->>'n', to__city from tap_shop.orders order by id")
    assert orders[3:] == [(3, 3, "3", "Ulm"), (4, 4, "4", "Ulm")]
    second = hw.ok("run", "tap-shop", "target-duckdb", TAP_SHOP_UPTO=8)
    assert "from 4 with" in second.err
    assert hw.query("select count(*), max(id) from tap_shop.orders") == [(8, 7)]
    # What is added to is asked for again where dlt asks again; what is replaced stays as large as it is.
    assert hw.query('select count(*), count(distinct "order") from tap_shop.lines') == [(8, 8)]
    assert hw.query("select name from tap_shop.regions order by 1") == [("north",), ("south",)]
    assert hw.query("select count from tap_shop.visits order by 1") == [(1,), (2,)]
    assert hw.state("tap-shop-to-target-duckdb")["dlt"]["shop"]["resources"]["visits"] == {"count": 2}

    broken = hw("run", "tap-shop", "target-duckdb", TAP_SHOP_UPTO=8, TAP_SHOP_BROKEN="true")
    assert broken.code == 1
    assert "error: sources/shop/__init__.py:16: the code of `dlt:shop.shop` failed in `orders`" in broken.error
    assert "ZeroDivisionError: division by zero [source-failed]" in broken.error


def test_an_airbyte_connector_loads_what_is_selected_and_keeps_its_state(project):
    hw = project(PROJECT)
    added = hw.ok("tap", "new", "airbyte", "faker")
    assert added.out == "added extractor `tap-faker` with source `airbyte:airbyte-source-faker`\n"
    assert "records_per_slice" in (hw.root / "plugins/extractors/airbyte-source-faker--airbyte.lock").read_text()
    hw.write("headwater.yml", (hw.root / "headwater.yml").read_text().replace(FAKER, FAKER + SETTINGS))

    hw.ok("run", "tap-faker", "target-duckdb")
    count = "select count(*), count(distinct id), count(address__city), any_value(typeof(updated_at))"
    assert hw.query(f"{count} from tap_faker.users") == [(300, 300, 300, "TIMESTAMP WITH TIME ZONE")]
    assert hw.query("select column_name from information_schema.columns where table_name = 'products' order by 1") == [
        *(("__loaded_at",), ("id",), ("updated_at",)),
    ]
    assert hw.state("tap-faker-to-target-duckdb")["streams"]["users"]["loop_offset"] == 300
