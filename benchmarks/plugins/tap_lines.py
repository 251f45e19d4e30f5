"""A small tap: one formatted line and one write a record. Nothing but the standard library."""

import json
import os
import sys

SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}, "name": {"type": "string"}}}
RECORD = '{"type": "RECORD", "stream": "lines", "record": {"id": %d, "name": "name %d"}}\n'


def main():
    if "--discover" in sys.argv:
        stream = {"tap_stream_id": "lines", "stream": "lines", "schema": SCHEMA, "metadata": []}
        json.dump({"streams": [stream]}, sys.stdout)
        return
    count = int(os.environ.get("BENCH_RECORDS", "1000000"))
    write = sys.stdout.write
    write(json.dumps({"type": "SCHEMA", "stream": "lines", "key_properties": ["id"], "schema": SCHEMA}) + "\n")
    for i in range(count):
        write(RECORD % (i, i))
    write(json.dumps({"type": "STATE", "value": {"bookmarks": {"lines": {"id": count}}}}) + "\n")


if __name__ == "__main__":
    main()
