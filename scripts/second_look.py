"""Ask the few tests that failed beside thousands of others once more, alone; called by `just check`.

A test run shares two cores with servers, plugins and other test processes, so a server may be slow to come up or a
port be taken. A test that passes alone is named as unsteady, so that it gets mended, but doesn't hold up a change.

Not for the tests of faults: what shows once in a hundred is just what those look for. Not for more than three: then
something is broken. And not for a run that was cut short (its exit code, the only argument, isn't 1). The first answer
then stands. Exit code 0 when every test asked again passes, else that of the first run.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FAILED = ROOT / ".pytest_cache" / "v" / "cache" / "lastfailed"
FINAL = "tests/e2e/reliability/"
MOST = 3
TESTS_FAILED = 1


def asked_again(failed: list[str]) -> bool:
    """Whether these tests may have a second try."""
    return 0 < len(failed) <= MOST and not any(name.startswith(FINAL) for name in failed)


def main() -> int:
    first = int(sys.argv[1])
    failed = list(json.loads(FAILED.read_text())) if FAILED.is_file() else []
    if first != TESTS_FAILED or not asked_again(failed):
        return first
    print("\nonce more, alone:", *failed, sep="\n  ", flush=True)
    asked = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *failed], cwd=ROOT, check=False
    )
    if asked.returncode:
        return first
    print("\nunsteady (passed alone, failed beside the others; to be mended):", *failed, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
