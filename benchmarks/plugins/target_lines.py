"""A target that costs almost nothing: counts lines in large blocks and prints the last STATE it saw."""

import sys


def main():
    read = sys.stdin.buffer.read
    lines = 0
    tail = b""
    while block := read(1 << 20):
        lines += block.count(b"\n")
        tail = (tail + block)[-4096:]
    sys.stderr.write(f"{lines} lines\n")
    for line in tail.splitlines():
        if b'"STATE"' in line:
            state = line[line.index(b'"value":') + 8 : -1]
            sys.stdout.buffer.write(state + b"\n")


if __name__ == "__main__":
    main()
