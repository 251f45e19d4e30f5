"""Takes ten taps and targets of the bundled index through the command line: `python scripts/try_plugins.py [NAME…]`.

Each is added, locked, installed and configured, then run: with files and pages that this script makes, or, where the
source is a service on the internet, up to `--discover` or `--about`. Prints a table, and ends with 1 when one did not
get there. When all ten did, the table is kept: docs/reference/meltano.md shows it. Needs a package index, nothing else,
and takes about two minutes.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from headwater.store import hub

KEPT = Path(__file__).parent / "tried_plugins.json"
HEADWATER = Path(sys.executable).parent / "headwater"
ROWS = [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"}]
PAGES = {
    "/people": json.dumps({"people": ROWS}),
    "/feed": '<rss version="2.0"><channel><title>People</title>'
    + "".join(
        f"<item><guid>{row['id']}</guid><title>{row['name']}</title>"
        f"<pubDate>Mon, 0{row['id']} Jan 2024 10:00:00 +0000</pubDate></item>"
        for row in ROWS
    )
    + "</channel></rss>",
}
PEOPLE = {"name": "people", "path": "/people", "primary_keys": ["id"], "records_path": "$.people[*]"}


class Trial(NamedTuple):
    """`words` is what is run; two rows must then stand in what it leaves behind, or its output hold `says`. In
    settings, `{url}` is the address of `PAGES` and `{root}` the project."""

    name: str
    variant: str
    config: dict[str, Any]
    words: str
    says: str = ""


TO_JSONL = "run {name} target-jsonl"
TRIALS = (
    Trial(
        "tap-singer-jsonl",
        "kgpayne",
        {"source": "local", "local.folders": ["{root}/singer"], "add_record_metadata": False},
        TO_JSONL,
    ),
    Trial(
        "tap-feed",
        "jawats",
        {"feed_urls": ["{url}/feed"], "feed_fields": ["title"], "feed_entry_fields": ["id", "title", "published"]},
        TO_JSONL,
    ),
    Trial("tap-rest-api-msdk", "widen", {"api_url": "{url}", "streams": [PEOPLE]}, TO_JSONL),
    Trial("tap-fedidb", "edgarrmondragon", {}, "invoke {name} --discover", '"streams"'),
    Trial(
        "tap-clinicaltrials",
        "edgarrmondragon",
        {"condition": "rabies"},
        "invoke {name} --about --format json",
        '"capabilities"',
    ),
    Trial("tap-github", "meltanolabs", {"repositories": ["a/b"]}, "invoke {name} --about --format json", '"settings"'),
    Trial(
        "target-jsonl",
        "andyh1203",
        {"destination_path": "{root}/out", "do_timestamp_file": False},
        "run tap-files {name}",
    ),
    Trial(
        "target-csv",
        "meltanolabs",
        {"output_path": "{root}/out", "file_naming_scheme": "{{stream_name}}.csv"},
        "run tap-files {name}",
    ),
    Trial(
        "target-singer-jsonl", "kgpayne", {"destination": "local", "local.folder": "{root}/out"}, "run tap-files {name}"
    ),
    Trial(
        "target-duckdb",
        "jwills",
        {"filepath": "{root}/out/people.duckdb", "default_target_schema": "main"},
        "run tap-files {name}",
    ),
)


def main(names: list[str]) -> int:
    failed = 0
    rows = []
    with serving(PAGES) as url:
        for trial in TRIALS:
            if names and trial.name not in names:
                continue
            entry = next(item for item in hub.search(trial.name) if item.variant == trial.variant)
            began = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="try-") as folder:
                outcome = attempt(trial, Path(folder), url)
                version = pinned(Path(folder), entry.package)
            failed += outcome != "ran"
            took = time.monotonic() - began
            command = trial.words.format(name=trial.name)
            rows.append({"name": trial.name, "variant": trial.variant, "version": version, "command": command})
            print(f"{trial.name:20} {trial.variant:16} {entry.package:24} {took:5.1f} s  {outcome}", flush=True)
    if not failed and not names:
        KEPT.write_text(json.dumps(rows, indent=1) + "\n")
    return 1 if failed else 0


def pinned(root: Path, package: str | None) -> str:
    """The version in the pins beside the lock file."""
    pins = "\n".join(file.read_text() for file in (root / "plugins").rglob("*.requirements.txt"))
    found = re.search(rf"^{re.escape(package or '')}==([^ ;]+)", pins, re.MULTILINE)
    return found[1] if found else ""


def attempt(trial: Trial, root: Path, url: str) -> str:
    """`ran`, or the first command that failed with the end of what it said."""
    (root / "singer").mkdir()
    (root / "out").mkdir()
    schema = {"properties": {"id": {"type": "integer"}, "name": {"type": "string"}}}
    lines = [{"type": "SCHEMA", "stream": "people", "schema": schema, "key_properties": ["id"]}]
    lines += [{"type": "RECORD", "stream": "people", "record": row} for row in ROWS]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (root / "singer" / "people.singer.gz").write_bytes(gzip.compress(text.encode()))
    (root / "people.csv").write_text("id,name\n" + "".join(f"{row['id']},{row['name']}\n" for row in ROWS))
    (root / "meltano.yml").write_text("default_environment: dev\nenvironments: [{name: dev}]\n")
    other = ["tap-files"] if "tap-files" in trial.words else ["target-jsonl"] if "run" in trial.words else []
    streams = [{"name": "people", "path": f"{root}/people.csv", "keys": ["id"]}]
    commands = [
        ["add", trial.name, "--variant", trial.variant, "--no-install"],
        ["lock", "--update", trial.name],
        ["install", trial.name],
        *([["add", *other, "--variant", "headwater", "--no-install"]] if other else []),
        *([["config", "set", "tap-files", "streams", json.dumps(streams)]] if other == ["tap-files"] else []),
        *([["config", "set", "target-jsonl", "destination_path", f"{root}/out"]] if other == ["target-jsonl"] else []),
    ]
    for name, value in trial.config.items():
        filled = json.dumps(value).replace("{url}", url).replace("{root}", str(root))
        commands.append(["config", "set", trial.name, name, filled.replace("{{", "{").replace("}}", "}")])
    commands.append(trial.words.format(name=trial.name).split())
    for command in commands:
        done = subprocess.run(
            [HEADWATER, *command],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env={**os.environ, "HEADWATER_HUB_OFFLINE": "1", "NO_COLOR": "1"},
        )
        if done.returncode != 0:
            return f"failed: {' '.join(command)}\n{(done.stdout + done.stderr)[-1500:]}"
    if trial.says:
        return "ran" if trial.says in done.stdout else f"said something else:\n{done.stdout[-500:]}"
    left = b"".join(_content(file) for file in (root / "out").rglob("*") if file.is_file())
    missing = [row["name"] for row in ROWS if str(row["name"]).encode() not in left]
    return "ran" if not missing else f"did not write {missing}"


def _content(file: Path) -> bytes:
    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


@contextlib.contextmanager
def serving(pages: dict[str, str]) -> Iterator[str]:
    """The address below which these pages stand."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path.partition("?")[0], "").encode()
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
