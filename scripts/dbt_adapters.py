"""dbt with adapters whose warehouses can't be had here, each on a stand-in: `python scripts/dbt_adapters.py [NAME…]`.

For each of Snowflake, BigQuery, Redshift and ClickHouse: a new project, `headwater add dbt-NAME`, and a dbt project
with a seed, a snapshot, a view, tables, one that grows, and tests. It is built twice, the second time from a warm
worker, and once more with a row that a test must find. Nothing of the profile that was written is changed; what only
the stand-in needs is added.

Not part of CI: the environments take 2.5 GB. `--keep FOLDER` keeps those of the stand-ins for the next time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from uv import find_uv_bin

from headwater.base import yaml
from headwater.base.yaml_write import render

HERE = Path(__file__).parent
UV = str(find_uv_bin())
HEADWATER = str(Path(sys.executable).with_name("headwater"))
MODELS = {
    "seeds/shops.csv": "id,name,town\n1,Corner,Bonn\n2,Market,Ulm\n3,Station,Ulm\n",
    "seeds/sales.csv": "id,shop_id,amount\n1,1,10\n2,1,5\n3,2,7\n4,3,8\n",
    "models/stg_sales.sql": "select id, shop_id, amount from {{ ref('sales') }}\n",
    "models/by_shop.sql": (
        "{{ config(materialized='table') }}\n"
        "select shop_id, count(*) as sales, sum(amount) as amount from {{ ref('stg_sales') }} group by shop_id\n"
    ),
    "models/by_town.sql": (
        "{{ config(materialized='table') }}\n"
        "select s.town, sum(b.amount) as amount from {{ ref('by_shop') }} as b\n"
        "join {{ ref('shops') }} as s on s.id = b.shop_id group by s.town\n"
    ),
    "models/sale_log.sql": (
        "{{ config(materialized='incremental', unique_key='id', incremental_strategy='STRATEGY') }}\n"
        "select id, shop_id, amount from {{ ref('stg_sales') }}\n"
        "{% if is_incremental() %} where id >= (select max(id) from {{ this }}) {% endif %}\n"
    ),
    "snapshots/shops_history.yml": (
        "snapshots:\n- name: shops_history\n  relation: ref('shops')\n"
        "  config: {unique_key: id, strategy: check, check_cols: all}\n"
    ),
    "models/models.yml": """\
models:
- name: stg_sales
  columns:
  - name: id
    data_tests: [unique, not_null]
  - name: shop_id
    data_tests:
    - relationships: {arguments: {to: ref('shops'), field: id}}
- name: by_shop
  columns:
  - name: shop_id
    data_tests: [unique]
- name: by_town
  columns:
  - name: town
    data_tests:
    - accepted_values: {arguments: {values: [Bonn, Ulm]}}
""",
}
NODES = 2 + 4 + 1 + 5
ACCEPTED = "accepted_values_by_town_town__Bonn__Ulm"


class StandIn(Struct, frozen=True, kw_only=True):
    """`packages` is what it runs on, `settings` what dbt is told of it, and `profile` the words that no profile for the
    warehouse itself has. `without` are files of nodes that the stand-in can't build, though the warehouse can, and
    `strategy` is how a table grows there."""

    packages: tuple[str, ...]
    settings: dict[str, str]
    profile: dict[str, str] = {}
    without: tuple[str, ...] = ()
    strategy: str = "default"


STAND_INS = {
    "snowflake": StandIn(
        packages=("fakesnow[server]>=0.12", "snowflake-connector-python<5"),
        settings={"account": "stand-in", "user": "me", "password": "secret", "warehouse": "w", "database": "shop"},
        profile={"host": "{host}", "port": "{port}", "protocol": "http"},
        # Its MERGE takes a column that both sides have for ambiguous.
        without=("snapshots/shops_history.yml",),
        strategy="delete+insert",
    ),
    "bigquery": StandIn(
        packages=(
            "bqemulator>=1.4",
            *(f"{name}==1.5.5" for name in ("duckdb", "duckdb-extensions", "duckdb-extension-spatial")),
            "numpy",
            "pytz",
        ),
        settings={"project": "shop", "auth_method": "oauth-secrets"},
        profile={"token": "secret", "api_endpoint": "http://{host}:{port}"},
        strategy="merge",
    ),
    "redshift": StandIn(
        packages=("pgserver>=0.1.4",),
        settings={
            "host": "{host}",
            "port": "{port}",
            "user": "postgres",
            "password": "secret",
            "dbname": "shop",
            "sslmode": "disable",
        },
    ),
    "clickhouse": StandIn(
        packages=("chdb>=4",), settings={"host": "{host}", "port": "{port}", "password": "secret", "schema": "shop"}
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*STAND_INS, []], metavar="NAME")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="headwater-dbt-") as folder:
        for name in given.names or STAND_INS:
            try:
                told = tried(name, given.keep or Path(folder), Path(folder))
            except WrongError as error:
                failed += 1
                told = f"FAILED: {error}"
            print(f"{name:12} {told}", flush=True)
    return 1 if failed else 0


class WrongError(Exception):
    """What did not come out as it has to."""


def tried(name: str, kept: Path, folder: Path) -> str:
    root = folder / name
    root.mkdir()
    home = kept / name
    home.mkdir(parents=True, exist_ok=True)
    (root / "headwater.yml").write_text("{}\n")
    with stand_in(name, home) as place:
        return built(name, root, {key: str(value) for key, value in place.items()})


@contextmanager
def stand_in(name: str, home: Path) -> Iterator[dict[str, object]]:
    venv = home / "venv"
    if not (venv / "done").exists():
        run([UV, "venv", "-q", "--clear", str(venv)], home)
        python = str(venv / "bin" / "python")
        run([UV, "pip", "install", "-q", "--python", python, *STAND_INS[name].packages], home)
        (venv / "done").touch()
    server = subprocess.Popen(
        [venv / "bin" / "python", "-P", HERE / "stand_ins" / f"{name}.py"],
        cwd=home,
        env={**os.environ, "HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    assert server.stdin is not None
    try:
        while line := server.stdout.readline():
            if line.startswith(b"{"):
                yield json.loads(line)
                break
        else:
            raise WrongError("the stand-in did not start")
    finally:
        server.stdin.close()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def built(name: str, root: Path, place: dict[str, str]) -> str:
    known = STAND_INS[name]
    env = {f"DBT_{name}_{key}".upper(): value.format(**place) for key, value in known.settings.items()}
    headwater(root, env, "add", f"dbt-{name}")
    (profile,) = root.rglob("profiles.yml")
    data = yaml.read(profile, shown="profile").data
    (outputs,) = data.values()
    added = {key: word.format(**place) for key, word in known.profile.items()}
    outputs["outputs"]["warehouse"] |= {key: int(word) if word.isdigit() else word for key, word in added.items()}
    profile.write_text(render(data))
    for file in MODELS.keys() - set(known.without):
        path = root / "transform" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(MODELS[file].replace("STRATEGY", known.strategy))
    started = time.perf_counter()
    done = headwater(root, env, "--log-format", "json", "--log-level", "debug", "run", *[f"dbt-{name}:build"] * 2)
    seconds = [event["seconds"] for event in done if event.get("kind") == "step-finished"]
    nodes = [event for event in done if event.get("kind") in ("model-built", "checked")]
    outcomes = {event["outcome"] for event in nodes}
    count = NODES - len(known.without)
    if len(nodes) != 2 * count or outcomes != {"success"}:
        raise WrongError(f"{len(nodes)} nodes, {outcomes}")
    if not any(event.get("kind") == "lineage" for event in done):
        raise WrongError("no lineage")
    if any("secret" in json.dumps(event) for event in done):
        raise WrongError("the password shows")
    shops = root / "transform" / "seeds" / "shops.csv"
    shops.write_text(shops.read_text().replace("Station,Ulm", "Station,Rome"))
    bad = headwater(root, env, "--log-format", "json", "run", f"dbt-{name}:build", code=1)
    failing = [event["check"] for event in bad if event.get("kind") == "checked" and event["outcome"] == "failed"]
    if failing != [ACCEPTED]:
        raise WrongError(f"failing: {failing}")
    return (
        f"{count} of {count} nodes, {seconds[0]:.1f} s, again {seconds[1]:.1f} s; {time.perf_counter() - started:.0f} s"
    )


def headwater(root: Path, env: dict[str, str], *words: str, code: int = 0) -> list[dict]:
    done = run([HEADWATER, *words], root, env, code=code)
    return [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]


def run(
    argv: list[str], root: Path, env: dict[str, str] | None = None, *, code: int = 0
) -> subprocess.CompletedProcess[str]:
    # Python's cache is what makes the second start of dbt fast.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(argv, cwd=root, env={**environ, **(env or {})}, capture_output=True, text=True, check=False)
    if done.returncode != code:
        raise WrongError(f"{' '.join(map(str, argv))}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done


if __name__ == "__main__":
    sys.exit(main())
