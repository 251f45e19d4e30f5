"""A small target: counts lines and prints the value of each STATE. With BENCH_PARSE=1 it parses every line first."""

import json
import os
import sys


def main():
    parses = os.environ.get("BENCH_PARSE") == "1"
    lines = 0
    for line in sys.stdin.buffer:
        lines += 1
        if parses:
            json.loads(line)
        if line.startswith(b'{"type": "STATE"'):
            sys.stdout.write(json.dumps(json.loads(line)["value"]) + "\n")
    sys.stderr.write(f"{lines} lines\n")


if __name__ == "__main__":
    main()
