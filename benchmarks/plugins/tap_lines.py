"""A tap that costs almost nothing: writes COUNT small records in large blocks. What is left is the runner's cost."""

import sys

COUNT = int(__import__("os").environ.get("BENCH_RECORDS", "1000000"))
HEAD = (
    b'{"type":"SCHEMA","stream":"lines","key_properties":["id"],"schema":{"properties":'
    b'{"id":{"type":"integer"},"name":{"type":"string"}}}}\n'
)


def main():
    if "--discover" in sys.argv:
        sys.stdout.write(
            '{"streams":[{"tap_stream_id":"lines","stream":"lines","schema":{"type":"object","properties":'
            '{"id":{"type":"integer"},"name":{"type":"string"}}},"metadata":[]}]}'
        )
        return
    out = sys.stdout.buffer
    out.write(HEAD)
    for start in range(0, COUNT, 1000):
        block = [
            b'{"type":"RECORD","stream":"lines","record":{"id":%d,"name":"name %d"}}\n' % (i, i)
            for i in range(start, min(start + 1000, COUNT))
        ]
        out.write(b"".join(block))
    out.write(b'{"type":"STATE","value":{"bookmarks":{"lines":{"id":%d}}}}\n' % COUNT)
    out.flush()


if __name__ == "__main__":
    main()
