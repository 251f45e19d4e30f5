"""A stand-in for BigQuery: bqemulator. Prints where it listens, and ends with its input."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from duckdb_extensions import import_extension

WORDS = ("start", "--rest-port", "0", "--grpc-port", "0", "--project", "shop", "--log-format", "json")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bigquery-") as folder:
        import_extension("spatial")  # which it needs, and would fetch
        program = str(Path(sys.executable).with_name("bqemulator"))
        emulator = subprocess.Popen([program, *WORDS], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert emulator.stdout is not None
        threading.Thread(target=lambda: (sys.stdin.read(), emulator.terminate()), daemon=True).start()
        for line in emulator.stdout:
            if b'"rest.listen"' in line:
                told = json.loads(line)
                print(json.dumps({"host": told["host"], "port": told["port"]}), flush=True)
        emulator.wait()


if __name__ == "__main__":
    main()
