"""A target as plain as they come: looks at each line, counts it, and prints the value of each STATE."""

import json
import sys


def main():
    lines = 0
    for line in sys.stdin.buffer:
        lines += 1
        if line.startswith(b'{"type": "STATE"'):
            sys.stdout.write(json.dumps(json.loads(line)["value"]) + "\n")
    sys.stderr.write(f"{lines} lines\n")


if __name__ == "__main__":
    main()
