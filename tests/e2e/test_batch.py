"""A native source into a target of others by files instead of lines."""

from __future__ import annotations

import csv
import json

import pytest

pytestmark = pytest.mark.e2e

PROJECT = """\
default_environment: dev
environments: [{name: dev}]
plugins:
  extractors:
  - name: tap-files
    variant: headwater
    config:
      streams: [{name: people, path: people.jsonl, keys: [id]}]
  loaders:
  - name: target-csv
    namespace: target_csv
    pip_url: meltanolabs-target-csv==0.5.0
    executable: target-csv
    capabilities: [batch]
    config:
      output_path: out
      file_naming_scheme: "{stream_name}.csv"
      batch_config:
        storage: {root: "file://BATCHES", prefix: people-}
        encoding: {format: jsonl, compression: gzip}
"""


def test_a_target_reads_the_files_that_a_native_source_wrote(project):
    hw = project(PROJECT)
    batches = hw.root / "batches"
    hw.write("headwater.yml", PROJECT.replace("BATCHES", str(batches)))
    hw.write("people.jsonl", "".join(json.dumps({"id": n, "name": f'né "{n}"'}) + "\n" for n in range(5000)))
    (hw.root / "out").mkdir()
    hw.ok("install", timeout=600)
    hw.ok("run", "tap-files", "target-csv")
    with (hw.root / "out" / "people.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [str(n) for n in range(5000)]
    assert rows[-1]["name"] == 'né "4999"'
    assert "people.jsonl" in hw.ok("state", "get", "dev:tap-files-to-target-csv").out
    assert list(batches.iterdir()) == []  # made for the files, which go when the target has read them
