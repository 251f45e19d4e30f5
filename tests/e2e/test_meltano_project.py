"""A folder with nothing of ours in it, only a `meltano.yml` as many have one, works as it is."""

from __future__ import annotations

import json

import pytest

MELTANO = """\
version: 1
default_environment: dev
project_id: 0fa0d53c-3ef6-4d61-8b5a-aa2d2a9a8a33
send_anonymous_usage_stats: false
requires_meltano: ">=3.0"
database_uri: sqlite:///$MELTANO_PROJECT_ROOT/.meltano/meltano.db
include_paths:
- ./loaders/*.meltano.yml
env:
  UPTO: "7"
environments:
- name: dev
  config:
    plugins:
      extractors:
      - name: tap-numbers
        config:
          upto: 5
- name: prod
  env:
    UPTO: "3"
  state_id_suffix: ${SUFFIX}
plugins:
  extractors:
  - name: tap-numbers
    label: Numbers
    namespace: numbers
    executable: ./bin/tap_numbers
    capabilities:
    - catalog
    - discover
    - state
    settings:
    - name: upto
      kind: integer
      value: 10
    - name: secret
      kind: password
    select:
    - numbers.*
    - '!numbers.name'
    metadata:
      numbers:
        replication-method: INCREMENTAL
        replication-key: id
    commands:
      hello: --discover
  - name: tap-numbers--few
    inherit_from: tap-numbers
    config:
      upto: $UPTO
    select:
    - '*.*'
  - name: tap-postgres
    variant: meltanolabs
    pip_url: meltanolabs-tap-postgres
  mappers:
  - name: shout
    namespace: shout
    executable: ./bin/map_shout
    mappings:
    - name: loud
      config:
        prefix: "<<"
  utilities:
  - name: clock
    namespace: clock
    executable: date
    commands:
      year:
        args: -u -d $WHEN +%Y
        description: Print the year
    env:
      WHEN: "2001-02-03"
jobs:
- name: nightly
  tasks:
  - tap-numbers target-lines
  - [tap-numbers--few, loud, target-jsonl]
  - clock:year
schedules:
- name: every-night
  interval: '@daily'
  job: nightly
- name: old-style
  extractor: tap-numbers
  loader: target-lines
  transform: skip
  interval: '@hourly'
  start_date: 2020-01-01
"""

LOADERS = """\
plugins:
  loaders:
  - name: target-jsonl
    variant: andyh1203
    pip_url: target-jsonl
    config:
      destination_path: output
      do_timestamp_file: false
  - name: target-lines
    namespace: lines
    executable: ./bin/target_lines
    config:
      file: $MELTANO_EXTRACTOR_NAME-$MELTANO_ENVIRONMENT.jsonl
"""


@pytest.fixture
def meltano(project, installed, tmp_path):
    hw = project(MELTANO, "meltano.yml")
    hw.write("loaders/all.meltano.yml", LOADERS)
    hw.write("output/.gitkeep", "")
    for name in ("tap_numbers", "target_lines", "map_shout"):
        hw.script(name)
    installed.copy(hw, "target-jsonl", "--variant", "andyh1203")
    return hw


def lines(hw, file):
    return [json.loads(line) for line in (hw.root / file).read_text().splitlines()]


def test_its_plugins_are_known_with_their_origin(meltano):
    rows = json.loads(meltano.ok("plugin", "list", "--json").out)
    assert [(row["kind"], row["name"], row["variant"], row["inherit_from"]) for row in rows] == [
        ("extractor", "tap-numbers", "original", None),
        ("extractor", "tap-numbers--few", "original", "tap-numbers"),
        ("extractor", "tap-postgres", "meltanolabs", None),
        ("mapper", "shout", "original", None),
        ("utility", "clock", "original", None),
        ("loader", "target-jsonl", "andyh1203", None),
        ("loader", "target-lines", "original", None),
    ]


def test_a_job_runs_all_its_tasks(meltano):
    done = meltano.ok("run", "nightly")
    # The environment's setting beats the definition's default; `select` leaves the name out.
    assert lines(meltano, "tap-numbers-dev.jsonl") == [{"id": number} for number in range(1, 6)]
    # The heir's own setting, from `env:`; its own `select`; the mapper with its mapping's config.
    assert lines(meltano, "output/numbers.jsonl") == [
        {"id": number, "name": f"<<NUMBER {number}"} for number in range(1, 8)
    ]
    assert "2001" in done.out + done.err
    ids = [row["state_id"] for row in json.loads(meltano.ok("state", "list", "--json").out)]
    assert sorted(ids) == ["dev:tap-numbers--few-to-target-jsonl", "dev:tap-numbers-to-target-lines"]
    assert meltano.state("dev:tap-numbers-to-target-lines") == {"bookmarks": {"numbers": {"id": 5}}}


def test_an_environment_brings_its_variables_and_its_state_ids(meltano):
    meltano.ok("--environment=prod", "run", "tap-numbers--few", "target-lines", SUFFIX="blue")
    assert [row["id"] for row in lines(meltano, "tap-numbers--few-prod.jsonl")] == [1, 2, 3]
    assert meltano.state("prod:tap-numbers--few-to-target-lines:blue") == {"bookmarks": {"numbers": {"id": 3}}}


def test_settings_come_from_where_meltano_takes_them(meltano):
    meltano.write(".env", "TAP_NUMBERS__FEW_UPTO=8\n")
    listed = json.loads(meltano.ok("config", "list", "tap-numbers--few", "--json").out)
    (upto,) = [row for row in listed if row["name"] == "upto"]
    assert (upto["value"], upto["source"]) == (8, ".env: TAP_NUMBERS__FEW_UPTO")
    # A variable of the shell is stronger than the same in .env.
    meltano.ok("run", "tap-numbers--few", "target-lines", TAP_NUMBERS__FEW_UPTO=2, MELTANO_ENVIRONMENT="prod")
    assert [row["id"] for row in lines(meltano, "tap-numbers--few-prod.jsonl")] == [1, 2]


def test_commands_of_plugins(meltano):
    assert json.loads(meltano.ok("invoke", "tap-numbers:hello").out)["streams"]
    assert meltano.ok("invoke", "clock:year").out == "2001\n"
    assert meltano.ok("invoke", "--list-commands", "clock").out == "clock:year  Print the year\n"


def test_an_edit_changes_its_lines_and_nothing_else(meltano):
    meltano.ok("config", "set", "tap-numbers--few", "upto", "4")
    meltano.ok("select", "tap-numbers--few", "numbers", "id")
    text = (meltano.root / "meltano.yml").read_text()
    assert text == MELTANO.replace("      upto: $UPTO\n", "      upto: 4\n").replace(
        "    - '*.*'\n", "    - '*.*'\n    - numbers.id\n"
    )


def test_nothing_is_written_that_meltano_would_stumble_over(meltano):
    meltano.ok("run", "tap-numbers", "target-lines")
    assert {path.name for path in meltano.root.iterdir()} <= {
        *("meltano.yml", "loaders", "output", "bin", "plugins", ".headwater"),
        "tap-numbers-dev.jsonl",
    }
