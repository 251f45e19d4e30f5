"""A tap as plain as they come: one `json.dumps` and one write a record. Nothing but the standard library."""

import json
import os
import sys

SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}, "name": {"type": "string"}}}


def main():
    if "--discover" in sys.argv:
        json.dump(
            {"streams": [{"tap_stream_id": "lines", "stream": "lines", "schema": SCHEMA, "metadata": []}]}, sys.stdout
        )
        return
    count = int(os.environ.get("BENCH_RECORDS", "1000000"))
    write = sys.stdout.write
    write(json.dumps({"type": "SCHEMA", "stream": "lines", "key_properties": ["id"], "schema": SCHEMA}) + "\n")
    for i in range(count):
        write(json.dumps({"type": "RECORD", "stream": "lines", "record": {"id": i, "name": f"name {i}"}}) + "\n")
    write(json.dumps({"type": "STATE", "value": {"bookmarks": {"lines": {"id": count}}}}) + "\n")


if __name__ == "__main__":
    main()
