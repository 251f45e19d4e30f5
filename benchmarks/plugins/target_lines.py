"""A small target: parses each line, counts it, and prints the value of each STATE."""

import json
import sys


def main():
    lines = 0
    for line in sys.stdin.buffer:
        message = json.loads(line)
        lines += 1
        if message["type"] == "STATE":
            sys.stdout.write(json.dumps(message["value"]) + "\n")
    sys.stderr.write(f"{lines} lines\n")


if __name__ == "__main__":
    main()
